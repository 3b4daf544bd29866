"""After each round: adds up what the lanes did and decides where the run goes."""

from __future__ import annotations

from collections.abc import Sequence

from redrive.domain.moving.results import SliceResult
from redrive.domain.plan.planning import QueueDirectory
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.tally import MAX_HISTORY_EVENTS, Tally, moved_since, tally_round
from redrive.workflow.ports import Metrics


def tally(
    plan: RunPlan,
    before: Tally,
    slices: Sequence[SliceResult],
    *,
    queues: QueueDirectory,
    metrics: Metrics,
    max_history_events: int = MAX_HISTORY_EVENTS,
) -> Tally:
    """Return the tally after a round, with what comes next.

    Parameters
    ----------
    plan, before, slices : RunPlan, Tally, Sequence[SliceResult]
        The run, its tally before the round, and what the lanes did.
    queues, metrics
        Ports.
    max_history_events : int
        Events in an execution's history after which the run continues in a new one.
    """
    after = tally_round(
        plan,
        before,
        slices,
        queue=queues.facts(plan.dlq).counts,
        max_history_events=max_history_events,
    )
    metrics.publish_once(plan.run_id, f"round-{after.rounds}", {"dlq": plan.dlq.name}, moved_since(before, after))
    return after
