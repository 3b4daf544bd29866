"""Tells what a look at some letters showed: verdicts, ages and sizes, never content.

Called by the sample handler.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from redrive.domain.envelopes import unwrap
from redrive.domain.errors import RejectedError
from redrive.domain.letters import Letter
from redrive.domain.runs import RunPlan, Sample, SampleGroup
from redrive.domain.verdicts import Reason, Redrive, Skip, Verdict

# A letter that SQS drops within so many seconds is near its expiry.
NEAR_EXPIRY_SECONDS = 24 * 3600

_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")


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
    groups = Counter(_group(letter, verdict) for letter, verdict in letters)
    homeless = sum(number for group, number in groups.items() if group.reason == Reason.NO_DESTINATION)
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
        groups=tuple(group.model_copy(update={"letters": number}) for group, number in groups.most_common()),
        oldest_sent_at=_time(min(sent, default=None)),
        newest_sent_at=_time(max(sent, default=None)),
        largest_bytes=max((letter.size for letter, _ in letters), default=0),
        near_expiry=sum(at < expires_before for at in sent),
    )


def _group(letter: Letter, verdict: Verdict) -> SampleGroup:
    """Return the group of a letter, with a number of letters that is still to be counted."""
    unwrapped = unwrap(letter)
    name = unwrapped.failure.error_type if unwrapped.failure else None
    redrive = verdict if isinstance(verdict, Redrive) else None
    return SampleGroup(
        verdict="redrivable" if redrive else "skipped" if isinstance(verdict, Skip) else "quarantined",
        reason=None if isinstance(verdict, Redrive) else verdict.reason,
        destination=redrive.destination.name if redrive else None,
        envelope=unwrapped.envelopes[0],
        # A name, not a text: whatever else a function reports as its error's type stays out of the report.
        error_type=name if name and _ERROR_NAME.fullmatch(name) else None,
        contract=redrive.contract if redrive else None,
        letters=0,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
