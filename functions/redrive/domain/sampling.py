"""Tells what a look at letters showed: groups, shares, ages, sizes and masked examples, never content.

Called by the sample handler, letter by letter, so that a census of a whole queue takes no more memory than a
sample.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redrive.domain.arns import arn_name
from redrive.domain.envelopes import Unwrapped
from redrive.domain.error_texts import normalised
from redrive.domain.errors import RejectedError
from redrive.domain.judging import Judgement
from redrive.domain.letters import Letter
from redrive.domain.masking import shown, size_of
from redrive.domain.runs import Example, RunPlan, Sample, SampleGroup, Shown, Sizes
from redrive.domain.verdicts import Reason, Redrive, Skip

# A letter that SQS drops within so many seconds is near its expiry.
NEAR_EXPIRY_SECONDS = 24 * 3600
# The sample is part of the report, which is the cause of a failed execution: 32,768 characters in all (Step
# Functions API reference, FailExecution).
MAX_GROUPS = 20
MAX_EXAMPLE_BYTES = 8_000
# Kinds of letters that are told apart while counting; more are counted as one.
_MAX_KINDS = 1_000
# 95 % of a normal distribution lie within so many standard deviations.
_Z = 1.96

_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
_MAX_NAME = 256


@dataclass(slots=True)
class Summary:
    """What letters looked at have in common.

    Attributes
    ----------
    plan : RunPlan
        The run.
    """

    plan: RunPlan
    _kinds: Counter[SampleGroup] = field(default_factory=Counter)
    _others: int = 0
    _examples: dict[SampleGroup, Example] = field(default_factory=dict)
    _example_bytes: int = 0
    _sent_at: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _homeless: int = 0

    def add(self, letter: Letter, judgement: Judgement) -> None:
        """Count a letter."""
        self._sent_at.append(letter.sent_at)
        self._sizes.append(letter.size)
        verdict = judgement.verdict
        self._homeless += isinstance(verdict, Skip) and verdict.reason == Reason.NO_DESTINATION
        kind = _kind(letter, judgement)
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            self._others += 1
            return
        self._kinds[kind] += 1
        if kind not in self._examples and self._example_bytes < MAX_EXAMPLE_BYTES:
            example = _example(judgement)
            size = size_of(example)
            if self._example_bytes + size <= MAX_EXAMPLE_BYTES:
                self._examples[kind] = example
                self._example_bytes += size

    def sample(self, now: datetime, *, complete: bool) -> Sample:
        """Return what was counted.

        Parameters
        ----------
        now : datetime
            The present time, for ages.
        complete : bool
            These were all letters of the queue.

        Raises
        ------
        RejectedError
            Where letters do not tell where they belong and the run names no destination.
        """
        looked_at = len(self._sent_at)
        self._refuse_homeless(looked_at)
        listed = self._kinds.most_common(MAX_GROUPS)
        unlisted = len(self._kinds) - len(listed)
        expires_before = now.timestamp() * 1000 + (NEAR_EXPIRY_SECONDS - self.plan.retention) * 1000
        return Sample(
            sampled=looked_at,
            complete=complete,
            groups=tuple(self._group(kind, letters, looked_at, complete) for kind, letters in listed),
            other_groups=unlisted + bool(self._others),
            in_other_groups=looked_at - sum(letters for _, letters in listed),
            oldest_sent_at=_time(min(self._sent_at, default=None)),
            newest_sent_at=_time(max(self._sent_at, default=None)),
            sizes=_sizes(self._sizes),
            near_expiry=sum(at < expires_before for at in self._sent_at),
        )

    def _refuse_homeless(self, looked_at: int) -> None:
        plan, homeless = self.plan, self._homeless
        known = plan.sources or plan.destination or plan.in_quarantine
        if not known and (homeless or not looked_at):
            raise RejectedError(
                f"{plan.dlq.name} is not the dead-letter queue of any queue, and {homeless} of {looked_at} "
                "sampled letters do not tell where they belong. Name a destination, or the dead-letter queue "
                "that you meant."
            )
        if homeless:
            raise RejectedError(
                f"{homeless} of {looked_at} sampled letters in {plan.dlq.name} do not tell which queue they "
                f"came from, or it is gone, and {len(plan.sources)} queues use it. Start the run with a "
                "destination."
            )

    def _group(self, kind: SampleGroup, letters: int, looked_at: int, complete: bool) -> SampleGroup:
        low, high = (letters / looked_at,) * 2 if complete else interval(letters, looked_at)
        return kind.model_copy(
            update={
                "letters": letters,
                "share": round(letters / looked_at, 4),
                "share_low": round(low, 4),
                "share_high": round(high, 4),
                "example": self._examples.get(kind),
            }
        )


def interval(found: int, of: int) -> tuple[float, float]:
    """Return the bounds of a share with 95 % confidence, from a sample (Wilson's score interval)."""
    share, spread = found / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    # Rounding must not move a bound across the share.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def _kind(letter: Letter, judgement: Judgement) -> SampleGroup:
    """Return the group of a letter, with a number of letters that is still to be counted."""
    verdict, unwrapped = judgement.verdict, judgement.unwrapped
    failure = unwrapped.failure
    name = failure.error_type if failure else None
    redrive = verdict if isinstance(verdict, Redrive) else None
    return SampleGroup(
        verdict="redrivable" if redrive else "skipped" if isinstance(verdict, Skip) else "quarantined",
        reason=None if isinstance(verdict, Redrive) else verdict.reason,
        destination=redrive.destination.name if redrive else None,
        envelope=unwrapped.envelopes[0],
        origin=_origin(letter, unwrapped),
        # A name, not a text: whatever else a function reports as its error's type stays out of the report.
        error_type=name if name and _ERROR_NAME.fullmatch(name) else None,
        error_message=normalised(failure.message, unwrapped.payload) if failure and failure.message else None,
        contract=judgement.contract.name if judgement.contract else None,
        repaired=judgement.repaired is not None,
        letters=0,
    )


def _origin(letter: Letter, unwrapped: Unwrapped) -> str | None:
    name = arn_name(letter.source_arn or unwrapped.origin)
    return name[:_MAX_NAME] if name else None


def _example(judgement: Judgement) -> Example:
    contract = judgement.contract
    schemas = (contract.body_schema, contract.attributes_schema) if contract else (None, None)

    def masked(unwrapped: Unwrapped, *, valid: bool) -> Shown:
        return shown(unwrapped.payload, unwrapped.payload_attributes, *schemas, valid=valid)

    accepted, repaired = isinstance(judgement.verdict, Redrive), judgement.repaired
    before = masked(judgement.unwrapped, valid=accepted and repaired is None)
    after = None if repaired is None else masked(repaired, valid=accepted)
    return Example(body=before.body, attributes=before.attributes, repaired=after)


def _sizes(sizes: list[int]) -> Sizes:
    if not sizes:
        return Sizes()
    ordered = sorted(sizes)
    last = len(ordered) - 1
    return Sizes(
        smallest=ordered[0],
        median=ordered[last // 2],
        p90=ordered[math.ceil(last * 0.9)],
        largest=ordered[-1],
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
