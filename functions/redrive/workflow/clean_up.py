"""Before the report: makes held messages visible again, adds up an interrupted round, releases the lock."""

from __future__ import annotations

from typing import NamedTuple

from redrive.domain.plan.rates import RateShares
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.tally import Tally, final_tally, moved_since, stayed_behind
from redrive.workflow.ports import Metrics, Queues, RunStore


class CleanedUp(NamedTuple):
    """The tally at the end of a run, and what became of the messages that it held."""

    tally: Tally
    released: int
    #: They become visible again when their timeout expires.
    not_released: int


def clean_up(
    plan: RunPlan, tally: Tally, *, queues: Queues, store: RunStore, shares: RateShares, metrics: Metrics
) -> CleanedUp:
    """Release what the run holds, and return its final tally, whether it went well or not.

    Parameters
    ----------
    plan, tally : RunPlan, Tally
        The run, and its tally after the last round that was added up.
    queues, store, shares, metrics
        Ports.
    """
    held = store.held(plan)
    not_released = queues.release(plan.dlq, [record.receipt_handle for record in held])
    final = final_tally(tally, store.unfinished(plan, tally.rounds), held)
    shares.release(plan.run_id)
    store.unlock(plan)
    # A round that was interrupted has not been published yet.
    counts = moved_since(tally, final) | stayed_behind(final)
    metrics.publish_once(plan.run_id, "clean-up", {"dlq": plan.dlq.name}, counts)
    return CleanedUp(final, len(held) - not_released, not_released)
