"""After each round: adds up what the lanes did, decides where the run goes, and records it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from redrive.domain.moving.results import SliceResult
from redrive.domain.plan.directories import QueueDirectory
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.continuation import RunProgress, successor_name
from redrive.domain.runs.rate_over_time import with_point
from redrive.domain.runs.tally import MAX_HISTORY_EVENTS, Next, Tally, moved_since, tally_round
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Metrics, RunStore


def tally(
    plan: RunPlan,
    sample: Sample,
    before: Tally,
    slices: Sequence[SliceResult],
    *,
    queues: QueueDirectory,
    store: RunStore,
    metrics: Metrics,
    token: Callable[[], str],
    now: datetime,
    retries: int = 0,
    max_history_events: int = MAX_HISTORY_EVENTS,
) -> Tally:
    """Return the tally after a round, with what comes next.

    Parameters
    ----------
    plan, sample, before, slices : RunPlan, Sample, Tally, Sequence[SliceResult]
        The run, what its sample showed, its tally before the round, and what the lanes did.
    queues, store, metrics
        Ports.
    token : Callable[[], str]
        Returns a short text that nobody can guess, for the name of the run's next execution.
    now : datetime
        When the round ended.
    retries : int
        How many attempts at this tally came before.
    max_history_events : int
        Events in an execution's history after which the run continues in a new one.
    """
    after = tally_round(
        plan,
        before,
        slices,
        queue=queues.facts(plan.dlq).counts,
        retries=retries,
        max_history_events=max_history_events,
    )
    points = with_point(
        before.rate_over_time,
        after.counts,
        seconds=(now - plan.started).total_seconds(),
        sending=after.seconds - before.seconds,
    )
    after = after.model_copy(update={"rate_over_time": points})
    if after.next is Next.CONTINUE:
        after = after.model_copy(update={"successor": successor_name(plan.run_id, token())})
    after = store.record(RunProgress(plan=plan, sample=sample, tally=after))
    metrics.publish_once(plan.run_id, f"round-{after.rounds}", {"dlq": plan.dlq.name}, moved_since(before, after))
    return after
