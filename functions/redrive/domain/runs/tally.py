"""Adds up what the lanes did and decides where the run goes: on, a pause, a new execution, or the end.

Called by the tally step after each round of slices, and by the plan step for the first one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import reduce
from typing import Annotated

from pydantic import WrapValidator

from redrive.domain.judging.verdicts import Reason, explained
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import LaneWork, SliceResult, Totals, smallest
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.rate_over_time import RatePoint

# Messages per second for which a run starts a lane: well below what one Lambda of this size moves.
LANE_RATE = 500.0
# Messages for which a run starts a lane: two seconds of work, about what it takes to start the lane's function.
LANE_MESSAGES = 1000
MAX_LANES = 20
# A FIFO queue keeps its order only if one lane moves it, and messages of FIFO queues may be in quarantine.
FIFO_LANES = 1
# Step Functions ends an execution at 25,000 history events (Step Functions developer guide, "Step Functions service
# quotas"). The run continues in a new one so long before that a last round of 20 lanes, all of them and all steps after
# it retried as often as the workflow allows, still fits.
MAX_HISTORY_EVENTS = 12_000
# Events of one round in an execution's history: the Map, the tally, the choice, a pause, and each lane's task.
_ROUND_EVENTS = 15
_LANE_EVENTS = 9
# A retry schedules and starts the task once more, after an event that says what failed.
_RETRY_EVENTS = 3
# Pauses, in seconds, for messages that are in flight elsewhere: those of a lane that died come back.
WAIT_SECONDS = 10
MAX_WAITS = 5


class Next(StrEnum):
    """Where the workflow goes after a tally."""

    MOVE = "move"
    WAIT = "wait"
    CONTINUE = "continue"
    CLEAN_UP = "clean-up"


class Tally(Totals):
    """The run so far, added up from what the lanes did themselves."""

    #: The dead-letter queue after the last round; None before that. What the run keeps invisible is in flight.
    queue: QueueCounts | None = None
    #: Seconds in which messages were sent.
    seconds: float = 0.0
    drained: bool = False
    stopped: bool = False
    failure: str | None = None
    #: The smallest rate that a queue declares which was first met in mid-run; None if none does.
    max_rate: float | None = None
    #: What lanes learned that explains skips or the rate: sentences for an operator.
    explanations: tuple[str, ...] = ()
    #: How far the run was after its rounds, or after as many of them as a plot needs.
    rate_over_time: tuple[RatePoint, ...] = ()
    rounds: int = 0
    #: Pauses in a row.
    waits: int = 0
    history_events: int = 0
    next: Next = Next.MOVE
    wait_seconds: int = 0
    #: Name of the execution that the run continues in; None unless it does so next.
    successor: str | None = None
    #: The next round's work.
    lanes: tuple[LaneWork, ...] = ()


#: A tally that another version may have made.
AnyTally = Annotated[Tally, WrapValidator(Tally.as_far_as_readable)]


def first_tally(plan: RunPlan) -> Tally:
    """Return the tally of a run that hasn't moved anything yet, with the work of its first round."""
    return Tally(lanes=_lanes(plan, Tally(), plan.waiting))


def in_one_lane(tally: Tally) -> Tally:
    """Return a tally whose next round has a single lane, because more lanes would share one processor."""
    if len(tally.lanes) < 2:
        return tally
    first, quotas = tally.lanes[0], [lane.quota for lane in tally.lanes if lane.quota is not None]
    rate = sum(lane.rate for lane in tally.lanes)
    only = first.model_copy(update={"lanes": 1, "rate": rate, "quota": sum(quotas) if quotas else None})
    return tally.model_copy(update={"lanes": (only,)})


def tally_round(
    plan: RunPlan,
    before: Tally,
    slices: Sequence[SliceResult],
    *,
    queue: QueueCounts,
    retries: int = 0,
    max_history_events: int = MAX_HISTORY_EVENTS,
) -> Tally:
    """Return the tally after a round, with what comes next.

    Parameters
    ----------
    plan : RunPlan
        The run.
    before : Tally
        The tally before the round.
    slices : Sequence[SliceResult]
        What the lanes did.
    queue : QueueCounts
        The dead-letter queue now; the messages that this run keeps invisible are in flight.
    retries : int
        How many attempts at this tally came before.
    max_history_events : int
        Events in an execution's history after which the run continues in a new one.
    """
    total = _plus_all(before, slices)
    counts = total.counts
    counted = total.model_copy(
        update={
            "counts": counts.model_copy(update={"released": _released(slices)}),
            "queue": queue,
            "seconds": before.seconds + max((result.seconds for result in slices), default=0.0),
            "rounds": before.rounds + 1,
            "history_events": before.history_events
            + _ROUND_EVENTS
            + _LANE_EVENTS * len(slices)
            + _RETRY_EVENTS * (retries + sum(result.retries for result in slices)),
            "stopped": before.stopped or any(result.stopped for result in slices),
            "failure": next((result.failure for result in slices if result.failure), before.failure),
        }
    )
    # What a killed lane may have moved counts as moved: the limit is never exceeded.
    used_up = counted.taken >= (plan.request.max_messages or math.inf)
    finished = counted.stopped or counted.failure is not None or used_up
    seen_empty = all(result.drained for result in slices)
    # Counts that lag behind, and messages in flight that this run doesn't keep, get some time.
    # At the limit of messages in flight, an empty answer says nothing.
    others = queue.visible + queue.delayed + max(0, queue.in_flight - counted.counts.stayed)
    drained = seen_empty and not others and not counted.counts.released and not queue.near_limit
    step, waits = Next.MOVE, 0
    if finished or drained or (seen_empty and before.waits >= MAX_WAITS):
        step = Next.CLEAN_UP
    else:
        # Pauses are bounded over all executions of a run, and the history before them.
        waits = before.waits + 1 if seen_empty else 0
        if counted.history_events >= max_history_events:
            step = Next.CONTINUE
        elif seen_empty:
            step = Next.WAIT
    return counted.model_copy(
        update={
            "next": step,
            "waits": waits,
            "wait_seconds": WAIT_SECONDS if step is Next.WAIT else 0,
            "drained": drained,
            "lanes": () if step is Next.CLEAN_UP else _lanes(plan, counted, others),
            "history_events": 0 if step is Next.CONTINUE else counted.history_events,
            "successor": None,
        }
    )


def final_tally(
    tally: Tally, unfinished: Iterable[SliceResult], held: Iterable[HeldRecord], *, undeleted: int = 0
) -> Tally:
    """Return the tally at the end of a run.

    Parameters
    ----------
    tally : Tally
        The tally after the last round that was added up.
    unfinished : Iterable[SliceResult]
        The checkpoints of the lanes of a round that was interrupted.
    held : Iterable[HeldRecord]
        The messages that the run kept invisible, each once: what was skipped and what failed. The lanes may have
        counted a message twice that came up twice while the run was on.
    undeleted : int
        Messages that were sent, may still be in the queue, and aren't counted as possible duplicates yet.
    """
    records = list(held)
    skipped = Counter(record.reason for record in records if not record.failed)
    failures = Counter(record.reason for record in records if record.failed)
    interrupted = list(unfinished)
    total = _plus_all(tally, interrupted)
    counts = total.counts.model_copy(
        update={
            "released": _released(interrupted) if interrupted else tally.counts.released,
            "skipped": skipped.total(),
            "bounced": skipped[Reason.CAME_BACK],
            "failed": failures.total(),
        }
    )
    return total.model_copy(
        update={
            "counts": counts,
            "skip_reasons": dict(skipped),
            "failure_codes": dict(failures),
            "duplicates_possible": total.duplicates_possible + undeleted,
        }
    )


def moved_since(before: Tally, after: Tally) -> dict[str, int]:
    """Return what was taken out of the queue between two tallies, by name of the metric."""
    return {
        "Redriven": after.counts.redriven - before.counts.redriven,
        "Quarantined": after.counts.quarantined - before.counts.quarantined,
    }


def stayed_behind(tally: Tally) -> dict[str, int]:
    """Return what the run has judged and left in the queue, by name of the metric.

    At the end only: lanes count a message that comes up twice twice, which `final_tally` corrects.
    """
    counts = tally.counts
    return {"Skipped": counts.skipped, "Bounced": counts.bounced, "Failed": counts.failed}


def _plus_all(tally: Tally, slices: Iterable[SliceResult]) -> Tally:
    slices = list(slices)
    max_rate = smallest(tally.max_rate, *(result.max_rate for result in slices))
    explanations = explained(tally.explanations, *(result.explanations for result in slices))
    return reduce(Tally.plus, slices, tally).model_copy(update={"max_rate": max_rate, "explanations": explanations})


def _released(last: Iterable[SliceResult]) -> int:
    """Return what was given back in the last round: earlier rounds' messages were in reach of a later one."""
    return sum(result.counts.released for result in last)


def _lanes(plan: RunPlan, tally: Tally, waiting: int) -> tuple[LaneWork, ...]:
    """Return the next round's work: as many lanes as the rate and the queue need, with exact shares of the quota.

    Parameters
    ----------
    plan : RunPlan
        The run.
    tally : Tally
        What it has done so far.
    waiting : int
        Messages in the queue that the run doesn't hold, approximately.
    """
    limit = plan.request.max_messages
    remaining = None if limit is None else limit - tally.taken
    left = waiting if remaining is None else min(waiting, remaining)
    wanted = min(MAX_LANES, math.ceil(plan.rate / LANE_RATE), math.ceil(left / LANE_MESSAGES))
    number = FIFO_LANES if plan.dlq.fifo or plan.in_quarantine else max(1, wanted)
    quotas = [
        None if remaining is None else remaining // number + (lane < remaining % number) for lane in range(number)
    ]
    return tuple(
        LaneWork(lane=lane, lanes=number, round=tally.rounds, rate=plan.rate / number, quota=quota)
        for lane, quota in enumerate(quotas)
    )
