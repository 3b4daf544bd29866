"""Summarizes what peeking at messages showed, message by message.

Called by the sample step. A full scan of a whole queue takes no more memory than a sample.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judgment
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.opening import raw_delivery
from redrive.domain.names import hash_of
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.error_texts import error_type_name, normalized
from redrive.domain.sampling.masking import masked_message, size_of
from redrive.domain.sampling.origins import origin_of
from redrive.domain.sampling.sample import Example, Sample, SampleGroup, Sizes, interval

# A message that SQS drops within this many seconds is near its expiry.
NEAR_EXPIRY_SECONDS = 24 * 3600
# The sample is part of the report, which is the cause of a failed execution: 32,768 characters in all (Step
# Functions API reference, FailExecution).
MAX_GROUPS = 20
MAX_EXAMPLE_BYTES = 8_000
# Groups that are counted separately; all others are counted as one.
_MAX_GROUPS_COUNTED = 1_000


@dataclass(slots=True)
class Summary:
    """What the messages peeked at have in common."""

    plan: RunPlan
    #: Whether AWS's configuration has confirmed an ARN that a message says it came from.
    confirmed: Callable[[str], bool] = field(default=lambda _: False)
    #: Whether the deployment shows error texts.
    show_error_texts: bool = False
    #: Key of the hashes of error texts and types, which nobody else knows.
    _key: bytes = field(default_factory=secrets.token_bytes)
    _groups: Counter[SampleGroup] = field(default_factory=Counter)
    _events: Counter[SampleGroup] = field(default_factory=Counter)
    #: One for each group that was looked at; None if it was too large.
    _examples: dict[SampleGroup, Example | None] = field(default_factory=dict)
    _example_bytes: int = 0
    _uncounted: int = 0
    _sampled: int = 0
    _sent_at: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _redrivable: int = 0
    _quarantined: Counter[str] = field(default_factory=Counter)
    _skipped: Counter[str] = field(default_factory=Counter)

    def add(self, judgment: Judgment) -> SampleGroup:
        """Count a message, and return its group. Whatever this raises, nothing has been counted."""
        verdict, opened, group = judgment.verdict, judgment.opened, self._group_of(judgment)
        wants_example = group not in self._examples and self._example_bytes < MAX_EXAMPLE_BYTES
        example = example_of(judgment) if wants_example else None
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
            return group
        self._groups[group] += 1
        if opened is not None and opened.events is not None:
            self._events[group] += opened.events
        if wants_example:
            fits = self._example_bytes + size <= MAX_EXAMPLE_BYTES
            self._examples[group] = example if fits else None
            self._example_bytes += size if fits else 0
        return group

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

    def _group_of(self, judgment: Judgment) -> SampleGroup:
        """Return the group of a message, with a number of messages that is yet to be counted."""
        verdict, opened = judgment.verdict, judgment.opened
        redrive = verdict if isinstance(verdict, Redrive) else None
        failure = opened.failure if opened else None
        text = normalized(failure.message, opened.payload) if opened and failure and failure.message else None
        origin, kind = (None, None) if opened is None else origin_of(opened, verdict, self.plan, self.confirmed)
        return SampleGroup(
            verdict="redrivable" if redrive else "skipped" if isinstance(verdict, Skip) else "quarantined",
            reason=None if isinstance(verdict, Redrive) else verdict.reason,
            destination=redrive.outbound.destination.name if redrive else None,
            envelope=opened.envelope if opened else Envelope.NONE,
            origin=origin,
            origin_kind=kind,
            error_type=error_type_name(failure.error_type, self._key) if failure and failure.error_type else None,
            error_text_hash=None if text is None else hash_of(text, self._key),
            error_message=text if self.show_error_texts else None,
            contract=judgment.contract.name if judgment.contract else None,
            repaired=judgment.repaired is not None,
            in_a_loop=opened is not None and opened.in_a_loop,
            messages=0,
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


def example_of(judgment: Judgment) -> Example | None:
    """Return a message with its values masked; None if it raised an unexpected error."""
    if judgment.opened is None:
        return None
    contract, repaired = judgment.contract, judgment.repaired
    # As the contract judged it.
    raw = contract is not None and contract.sns_delivery == "raw"
    opened = raw_delivery(judgment.opened) if raw else judgment.opened
    before = masked_message(opened.payload, contract)
    after = None if repaired is None else masked_message(repaired.payload, contract)
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
