"""Tells what a look at some letters showed: verdicts, ages and sizes, never content.

Called by the sample handler.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from redrive.domain.envelopes import unwrap
from redrive.domain.errors import RejectedError
from redrive.domain.letters import Letter
from redrive.domain.runs import RunPlan, Sample, SampleGroup
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip, Verdict

# A letter that SQS drops within so many seconds is near its expiry.
NEAR_EXPIRY_SECONDS = 24 * 3600

_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")


class _Kind(NamedTuple):
    """What letters of one group have in common."""

    verdict: Literal["redrivable", "quarantined", "skipped"]
    reason: str | None
    destination: str | None
    envelope: str
    error_type: str | None
    contract: str | None


def summarize(plan: RunPlan, judged: Iterable[tuple[Letter, Verdict]], now: datetime) -> Sample:
    """Return the summary of sampled letters.

    Parameters
    ----------
    plan : RunPlan
        The run.
    judged : Iterable[tuple[Letter, Verdict]]
        Letters and their verdicts.
    now : datetime
        The present time, for ages.

    Raises
    ------
    RejectedError
        Where letters do not tell where they belong and the run names no destination.
    """
    letters = list(judged)
    groups = Counter(_kind(letter, verdict) for letter, verdict in letters)
    homeless = sum(number for kind, number in groups.items() if kind.reason == Reason.NO_DESTINATION)
    known = plan.sources or plan.destination or plan.in_quarantine
    if not known and (homeless or not letters):
        raise RejectedError(
            f"{plan.dlq.name} is not the dead-letter queue of any queue, and {homeless} of {len(letters)} "
            "sampled letters do not tell where they belong. Name a destination, or the dead-letter queue "
            "that you meant."
        )
    if homeless:
        raise RejectedError(
            f"{homeless} of {len(letters)} sampled letters in {plan.dlq.name} do not tell which queue they "
            f"came from, or it is gone, and {len(plan.sources)} queues use it. Start the run with a "
            "destination."
        )
    sent = [letter.sent_at for letter, _ in letters]
    expires_before = now.timestamp() * 1000 + (NEAR_EXPIRY_SECONDS - plan.retention) * 1000
    return Sample(
        sampled=len(letters),
        groups=tuple(SampleGroup(**kind._asdict(), letters=number) for kind, number in groups.most_common()),
        oldest_sent_at=_time(min(sent, default=None)),
        newest_sent_at=_time(max(sent, default=None)),
        largest_bytes=max((letter.size for letter, _ in letters), default=0),
        near_expiry=sum(at < expires_before for at in sent),
    )


def _kind(letter: Letter, verdict: Verdict) -> _Kind:
    unwrapped = unwrap(letter)
    name = unwrapped.failure.error_type if unwrapped.failure else None
    # A name, not a text: whatever else a function reports as its error's type stays out of the report.
    wrapped = (unwrapped.envelopes[0], name if name and _ERROR_NAME.fullmatch(name) else None)
    match verdict:
        case Redrive():
            return _Kind("redrivable", None, verdict.destination.name, *wrapped, verdict.contract)
        case Quarantine():
            return _Kind("quarantined", verdict.reason, None, *wrapped, None)
        case Skip():
            return _Kind("skipped", verdict.reason, None, *wrapped, None)


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
