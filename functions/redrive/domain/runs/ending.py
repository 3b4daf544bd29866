"""How a run ended, and the sentence that says why: what is left, for which reasons, and what to do.

Called when the report is made. The status is the first row of one table that applies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from redrive.domain import errors
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.model import Model
from redrive.domain.names import display_name
from redrive.domain.plan.rates import less_than_wanted
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.leftovers import Leftover, counted, leftovers, none_selected, out_of_reach
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample

_LOGS = "the logs of the run's functions. Messages that aren't counted as moved are still in the queue."


class Status(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    INCOMPLETE = "INCOMPLETE"
    DRY_RUN = "DRY_RUN"
    HALTED = "HALTED"
    STOPPED = "STOPPED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class StateError(Model):
    """An error as Step Functions passes it to a Catch."""

    error: Annotated[str, Field(alias="Error")]
    cause: Annotated[str, Field(alias="Cause")] = ""


class End(NamedTuple):
    """What is known of a run at its end."""

    plan: RunPlan | None
    sample: Sample | None
    tally: Tally
    #: What ended the workflow early.
    error: StateError | None
    #: The dead-letter queue now; None if it can't be read.
    queue: QueueCounts | None
    #: Messages in the dead-letter queue, as far as is known.
    remaining: int
    #: Messages that the dead-letter queue's own redrive policy moved on; None if that isn't known.
    pushed_on: int | None

    @property
    def dry_run(self) -> bool:
        """Whether the run was only to look."""
        return self.plan is not None and self.plan.request.dry_run

    @property
    def rejected(self) -> bool:
        """Whether the run was rejected before it moved anything."""
        name = self.error.error if self.error else None
        return name == errors.RejectedError.__name__ and not self.tally.taken

    @property
    def used_up(self) -> bool:
        """Whether the run took as many messages as it may."""
        limit = self.plan.request.max_messages if self.plan else None
        return self.tally.taken >= (limit or math.inf)

    @property
    def left(self) -> tuple[Leftover, ...]:
        """What the run left, by reason."""
        if self.plan is None:
            return ()
        # If the queue is empty by now, the counts after the last round lagged behind.
        emptied = self.queue is not None and not self.queue.total
        tally = self.tally.model_copy(update={"queue": None}) if emptied else self.tally
        return tuple(leftovers(self.plan, tally))


#: How a run ended: the first row that applies.
STATUSES: tuple[tuple[Callable[[End], bool], Status], ...] = (
    (lambda end: end.rejected, Status.REJECTED),
    (lambda end: end.error is not None or end.tally.failure is not None, Status.FAILED),
    (lambda end: end.dry_run, Status.DRY_RUN),
    (lambda end: end.tally.stopped, Status.STOPPED),
    (lambda end: end.used_up, Status.SUCCEEDED),
    (lambda end: any(leftover.movable for leftover in end.left), Status.INCOMPLETE),
    (lambda _: True, Status.SUCCEEDED),
)


def status_of(end: End) -> Status:
    """Return how a run ended."""
    return next(status for applies, status in STATUSES if applies(end))


def reason_of(end: End) -> str | None:
    """Return why a run ended the way it did, in one sentence; None if everything was moved."""
    status = status_of(end)
    if status in {Status.REJECTED, Status.FAILED}:
        why = error_text(end.error) or end.tally.failure
    elif end.plan is None:
        why = None
    elif status is Status.DRY_RUN:
        why = _sentence("nothing was moved", _dry_run_parts(end.plan, end.sample, end.queue))
    elif status is Status.STOPPED:
        why = _stopped(end)
    elif end.used_up:
        why = _limited(end, end.plan.request.max_messages or 0)
    else:
        why = _sentence(_lead(end), [leftover.text for leftover in end.left])
    return " ".join(filter(None, (why, *_explanations(end, status), _pushed(end)))) or None


def error_text(error: StateError | None) -> str | None:
    """Return what the report says about an error.

    The texts of this app's own errors are written for operators. Of all others only the name is shown, because their
    text may quote a message.
    """
    if error is None:
        return None
    kind = getattr(errors, error.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.RedriveError):
        try:
            text = str(json.loads(error.cause)["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return error.error
        return f"{text} See {_LOGS}" if kind is errors.UnexpectedError else text
    return f"{display_name(error.error)}: see {_LOGS}"


def _lead(end: End) -> str | None:
    if end.plan is None or not end.remaining:
        return None
    about = "" if end.tally.drained else "about "
    is_left = "is left" if end.remaining == 1 else "are left"
    return f"{about}{counted(end.remaining)} {is_left} in {end.plan.dlq.name}"


def _stopped(end: End) -> str | None:
    parts = [leftover.text for leftover in _judged(end)]
    if released := end.tally.counts.released:
        parts.append(f"{released:,} received and released without being moved")
    stopped = f"an operator stopped the run; {_lead(end) or 'nothing is left'}"
    if end.remaining:
        stopped += "; start another run to move the rest"
    return _sentence(stopped if parts else None, parts or [stopped])


def _limited(end: End, limit: int) -> str | None:
    """Return what a run says that took as many messages as it may; None if that were all."""
    lead = _lead(end)
    if lead is None:
        return None
    parts = [leftover.text for leftover in _judged(end)]
    uncounted = end.tally.unaccounted
    of_these = f", of which it may have moved {uncounted:,} without counting them" if uncounted else ""
    reached = f"the run has reached maxMessages ({limit:,}{of_these}), and {lead}; start another run for them"
    return _sentence(reached if parts else None, parts or [reached])


def _judged(end: End) -> list[Leftover]:
    """Return what the run itself left, without what it couldn't get hold of."""
    if end.plan is None:
        return []
    return list(leftovers(end.plan, end.tally.model_copy(update={"queue": None})))


def _dry_run_parts(plan: RunPlan, sample: Sample | None, queue: QueueCounts | None) -> list[str]:
    parts = []
    if sample is not None and plan.request.select is not None and none_selected(sample):
        sampled = counted(sample.sampled)
        if not sample.complete:
            sampled = f"the {sampled} that were sampled" if sample.sampled > 1 else f"{sampled} that was sampled"
        parts.append(f"select matched none of {sampled}; check its conditions")
    if sample is not None and queue is not None:
        # What was peeked at may still count as in flight.
        out = out_of_reach(plan, queue.model_copy(update={"visible": 0}), held=sample.sampled)
        parts += [leftover.text for leftover in out]
    return parts


def _explanations(end: End, status: Status) -> Iterable[str | None]:
    """Return what explains skips and a rate below the requested one."""
    if end.plan is None or status in {Status.REJECTED, Status.FAILED}:
        return ()
    if end.dry_run:
        return end.sample.explanations if end.sample else ()
    rate = end.plan.request.rate
    return (*(less_than_wanted(limit, rate) for limit in end.plan.max_rates), *end.tally.explanations)


def _pushed(end: End) -> str | None:
    following = end.plan.next_queue if end.plan else None
    if following is None or end.pushed_on == 0:
        return None
    name = f"{following.name}, its own dead-letter queue"
    if end.pushed_on is None:
        return f"How many messages were pushed on to {name} isn't known, because its messages can't be counted."
    were = "1 message was" if end.pushed_on == 1 else f"about {end.pushed_on:,} messages were"
    return _sentence(None, [f"{were} pushed on to {name}, because receiving them used up its maxReceiveCount"])


def _sentence(lead: str | None, parts: list[str]) -> str | None:
    if not parts:
        return None
    text = (f"{lead}: " if lead else "") + "; ".join(parts) + "."
    return text[0].upper() + text[1:]
