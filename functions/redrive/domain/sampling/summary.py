"""Summarizes what peeking at messages showed, message by message.

Called by the sample step. A full scan of a whole queue takes no more memory than a sample.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judgment
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.envelopes import Envelope
from redrive.domain.messages.opened import OpenedMessage
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.error_texts import normalized
from redrive.domain.sampling.masking import masked_message, size_of
from redrive.domain.sampling.sample import Example, MaskedMessage, Sample, SampleGroup, Sizes

# A message that SQS drops within this many seconds is near its expiry.
NEAR_EXPIRY_SECONDS = 24 * 3600
# The sample is part of the report, which is the cause of a failed execution: 32,768 characters in all (Step
# Functions API reference, FailExecution).
MAX_GROUPS = 20
MAX_EXAMPLE_BYTES = 8_000
# Groups that are counted separately; all others are counted as one.
_MAX_GROUPS_COUNTED = 1_000
# 95 % of a normal distribution is within this many standard deviations.
_Z = 1.96

_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
_MAX_NAME = 256


@dataclass(slots=True)
class Summary:
    """What the messages peeked at have in common."""

    plan: RunPlan
    _groups: Counter[SampleGroup] = field(default_factory=Counter)
    _events: Counter[SampleGroup] = field(default_factory=Counter)
    _examples: dict[SampleGroup, Example] = field(default_factory=dict)
    _example_bytes: int = 0
    _uncounted: int = 0
    _sampled: int = 0
    _sent_at: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _redrivable: int = 0
    _quarantined: Counter[str] = field(default_factory=Counter)
    _skipped: Counter[str] = field(default_factory=Counter)

    def add(self, judgment: Judgment) -> None:
        """Count a message. Whatever this raises, nothing has been counted."""
        verdict, opened, group = judgment.verdict, judgment.opened, _group_of(judgment)
        wants_example = group not in self._examples and self._example_bytes < MAX_EXAMPLE_BYTES
        example = _example(judgment) if wants_example else None
        size = 0 if example is None else size_of(example)
        self._sampled += 1
        if opened is not None:
            self._sent_at.append(opened.received.sent_at)
            self._sizes.append(opened.received.size)
        match verdict:
            case Redrive():
                self._redrivable += 1
            case Quarantine():
                self._quarantined[verdict.reason] += 1
            case Skip():
                self._skipped[verdict.reason] += 1
        if group not in self._groups and len(self._groups) >= _MAX_GROUPS_COUNTED:
            self._uncounted += 1
            return
        self._groups[group] += 1
        if opened is not None and opened.events is not None:
            self._events[group] += opened.events
        if example is not None and self._example_bytes + size <= MAX_EXAMPLE_BYTES:
            self._examples[group] = example
            self._example_bytes += size

    def sample(self, now: datetime, *, complete: bool) -> Sample:
        """Return what was counted.

        Parameters
        ----------
        now : datetime
            The current time, for ages.
        complete : bool
            These were all messages of the queue.

        Raises
        ------
        RejectedError
            If the queue is nobody's dead-letter queue, and nothing says where its messages belong.
        """
        sampled = self._sampled
        self._refuse_unroutable(sampled)
        listed = self._groups.most_common(MAX_GROUPS)
        expires_before = now.timestamp() * 1000 + (NEAR_EXPIRY_SECONDS - self.plan.retention) * 1000
        return Sample(
            sampled=sampled,
            complete=complete,
            redrivable=self._redrivable,
            quarantined=dict(self._quarantined),
            skipped=dict(self._skipped),
            groups=tuple(self._listed(group, messages, sampled, complete) for group, messages in listed),
            other_groups=len(self._groups) - len(listed) + bool(self._uncounted),
            in_other_groups=sampled - sum(messages for _, messages in listed),
            oldest_sent_at=_time(min(self._sent_at, default=None)),
            newest_sent_at=_time(max(self._sent_at, default=None)),
            sizes=_sizes(self._sizes),
            near_expiry=sum(at < expires_before for at in self._sent_at),
        )

    def _refuse_unroutable(self, sampled: int) -> None:
        """Refuse a queue that is most likely not the dead-letter queue that the operator meant.

        Single messages that belong nowhere stay while the others go.
        """
        plan, name = self.plan, self.plan.dlq.name
        if plan.sources or plan.destination or plan.in_quarantine:
            return
        if not sampled:
            raise RejectedError(
                f"{name} is not the dead-letter queue of any queue, and no message could be received from it that says "
                "where it belongs. Name the dead-letter queue that you meant. If this is the queue, start the run "
                "again once it has visible messages, or with a destination."
            )
        if self._skipped[Reason.NO_DESTINATION] == sampled:
            raise RejectedError(
                f"{name} is not the dead-letter queue of any queue, and nothing says where its messages belong "
                f"({sampled} sampled). Start the run with a destination, or name the dead-letter queue that you meant."
            )

    def _listed(self, group: SampleGroup, messages: int, sampled: int, complete: bool) -> SampleGroup:
        low, high = (messages / sampled,) * 2 if complete else interval(messages, sampled)
        return group.model_copy(
            update={
                "messages": messages,
                "events": self._events.get(group),
                "share": round(messages / sampled, 4),
                "share_low": round(low, 4),
                "share_high": round(high, 4),
                "example": self._examples.get(group),
            }
        )


def interval(found: int, of: int) -> tuple[float, float]:
    """Return the bounds of a share with 95 % confidence, from a sample (Wilson's score interval)."""
    share, spread = found / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    # Rounding must not move a bound across the share.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def _group_of(judgment: Judgment) -> SampleGroup:
    """Return the group of a message, with a number of messages that is yet to be counted."""
    verdict, opened = judgment.verdict, judgment.opened
    if opened is None:
        assert isinstance(verdict, Skip)
        return SampleGroup(
            verdict="skipped",
            reason=verdict.reason,
            destination=None,
            envelope=Envelope.NONE,
            error_type=None,
            contract=None,
            messages=0,
        )
    failure, origin = opened.failure, arn_name(opened.origin)
    error_type = failure.error_type if failure else None
    redrive = verdict if isinstance(verdict, Redrive) else None
    return SampleGroup(
        verdict="redrivable" if redrive else "skipped" if isinstance(verdict, Skip) else "quarantined",
        reason=None if isinstance(verdict, Redrive) else verdict.reason,
        destination=redrive.outbound.destination.name if redrive else None,
        envelope=opened.envelope,
        origin=origin[:_MAX_NAME] if origin else None,
        # A name, not a text: whatever else a function reports as its error type stays out of the report.
        error_type=error_type if error_type and _ERROR_NAME.fullmatch(error_type) else None,
        error_message=normalized(failure.message, opened.payload) if failure and failure.message else None,
        contract=judgment.contract.name if judgment.contract else None,
        repaired=judgment.repaired is not None,
        messages=0,
    )


def _example(judgment: Judgment) -> Example | None:
    if judgment.opened is None:
        return None
    contract = judgment.contract
    schemas = (contract.body_schema, contract.attributes_schema) if contract else (None, None)

    def masked(opened: OpenedMessage, *, valid: bool) -> MaskedMessage:
        return masked_message(opened.payload, *schemas, valid=valid)

    accepted, repaired = isinstance(judgment.verdict, Redrive), judgment.repaired
    before = masked(judgment.opened, valid=accepted and repaired is None)
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
