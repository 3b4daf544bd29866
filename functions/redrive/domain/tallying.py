"""Adds up what the lanes did and decides where the run goes: on, a pause, a new execution, or the end.

Called by the tally handler after each round of slices and by the plan handler for the first one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from redrive.domain.lane import HeldRecord
from redrive.domain.runs import LaneWork, Next, RunPlan, SliceResult, Tally, added
from redrive.domain.verdicts import Reason

# Messages per second that one lane is given at most: well below what one Lambda of this size moves.
LANE_RATE = 500.0
MAX_LANES = 20
# A FIFO queue keeps its order only if one lane moves it.
FIFO_LANES = 1
# Step Functions ends an execution at 25,000 history events (Step Functions developer guide, "Quotas"); the
# run goes on in a new one long before.
MAX_HISTORY_EVENTS = 12_000
# Events of one round, counted in an execution's history: the Map, the tally and the choice, and each lane's
# task.
_ROUND_EVENTS = 14
_LANE_EVENTS = 9
# Pauses, in seconds, for letters that are in flight and not ours: those of a lane that died come back.
WAIT_SECONDS = 10
MAX_WAITS = 5


def first_tally(plan: RunPlan) -> Tally:
    """Return the tally of a run that has not moved anything yet, with the work of its first round."""
    return Tally(lanes=_lanes(plan, Tally()))


def tally_round(
    plan: RunPlan,
    before: Tally,
    slices: Sequence[SliceResult],
    *,
    in_queue: int,
    in_flight: int,
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
    in_queue : int
        Letters visible in the dead-letter queue, approximately.
    in_flight : int
        Letters in flight there, approximately; those that this run keeps invisible are among them.
    max_history_events : int
        Events in an execution's history after which the run goes on in a new one.
    """
    counted = plus(before, slices).model_copy(
        update={
            "seconds": before.seconds + max((result.seconds for result in slices), default=0.0),
            "rounds": before.rounds + 1,
            "history_events": before.history_events + _ROUND_EVENTS + _LANE_EVENTS * len(slices),
            "stopped": before.stopped or any(result.stopped for result in slices),
            "failure": next((result.failure for result in slices if result.failure), before.failure),
        }
    )
    finished = (
        counted.stopped or counted.failure is not None or counted.moved >= (plan.max_messages or math.inf)
    )
    seen_empty = all(result.drained for result in slices)
    # Counts that lag behind, or letters in flight that are not kept by this run, get some time.
    drained = seen_empty and in_queue == 0 and in_flight <= counted.left
    step, waits = Next.MOVE, 0
    if finished or drained or (seen_empty and before.waits >= MAX_WAITS):
        step = Next.SETTLE
    elif seen_empty:
        step, waits = Next.WAIT, before.waits + 1
    elif counted.history_events >= max_history_events:
        step = Next.CONTINUE
    return counted.model_copy(
        update={
            "next": step,
            "waits": waits,
            "wait_seconds": WAIT_SECONDS if step is Next.WAIT else 0,
            "drained": drained,
            "lanes": () if step is Next.SETTLE else _lanes(plan, counted),
            "history_events": 0 if step is Next.CONTINUE else counted.history_events,
        }
    )


def plus(tally: Tally, slices: Iterable[SliceResult]) -> Tally:
    """Return the tally with the counts of slices added."""
    for result in slices:
        tally = tally.model_copy(
            update={
                "redriven": tally.redriven + result.redriven,
                "repaired": tally.repaired + result.repaired,
                "without_contract": tally.without_contract + result.without_contract,
                "quarantined": tally.quarantined + result.quarantined,
                "failed": tally.failed + result.failed,
                "skipped": added(tally.skipped, result.skipped),
                "quarantine_reasons": added(tally.quarantine_reasons, result.quarantine_reasons),
                "failure_codes": added(tally.failure_codes, result.failure_codes),
                "duplicates_possible": tally.duplicates_possible + result.duplicates_possible,
                "calls": added(tally.calls, result.calls),
            }
        )
    return tally


def settled_tally(tally: Tally, unfinished: Iterable[SliceResult], held: Iterable[HeldRecord]) -> Tally:
    """Return the tally at the end of a run.

    Parameters
    ----------
    tally : Tally
        The tally after the last round that was added up.
    unfinished : Iterable[SliceResult]
        What the lanes of a round that broke off had written down.
    held : Iterable[HeldRecord]
        The letters that the run kept invisible, each once: they are what was skipped and what failed. A
        letter that came up twice while the run was on was counted twice by the lanes.
    """
    records = list(held)
    skipped = Counter(record.reason for record in records if not record.failed)
    failures = Counter(record.reason for record in records if record.failed)
    return plus(tally, unfinished).model_copy(
        update={"skipped": dict(skipped), "failed": failures.total(), "failure_codes": dict(failures)}
    )


def moved_since(before: Tally, after: Tally) -> dict[str, int]:
    """Return what was taken out of the queue between two tallies, by name of the metric."""
    return {
        "Redriven": after.redriven - before.redriven,
        "Quarantined": after.quarantined - before.quarantined,
    }


def left_behind(tally: Tally) -> dict[str, int]:
    """Return what a settled run has seen and left in the queue, by name of the metric.

    Not by round: lanes count a letter that comes up twice twice, which only the end of a run sets right.
    """
    return {
        "Skipped": sum(tally.skipped.values()),
        "Bounced": tally.skipped.get(Reason.CAME_BACK, 0),
        "Failed": tally.failed,
    }


def _lanes(plan: RunPlan, tally: Tally) -> tuple[LaneWork, ...]:
    """Return the next round's work: as many lanes as the rate needs, with exact shares of the quota."""
    left = None if plan.max_messages is None else plan.max_messages - tally.moved
    number = FIFO_LANES if plan.dlq.fifo else min(MAX_LANES, math.ceil(plan.rate / LANE_RATE))
    if left is not None:
        number = min(number, max(1, left))
    quotas = [None if left is None else left // number + (lane < left % number) for lane in range(number)]
    return tuple(
        LaneWork(lane=lane, round=tally.rounds, rate=plan.rate / number, quota=quota)
        for lane, quota in enumerate(quotas)
    )
