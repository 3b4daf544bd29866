"""Before the report: makes held messages visible again, adds up an interrupted round, releases the lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from redrive.domain.plan.rates import RateShares
from redrive.domain.plan.run_plan import RunIdentity
from redrive.domain.runs.tally import Tally, final_tally, moved_since, stayed_behind
from redrive.workflow.ports import LEASE_SECONDS, CheckpointStore, Metrics, Queues, RunStore


class CleanedUp(NamedTuple):
    """The tally at the end of a run, and what became of the messages that it held."""

    tally: Tally
    released: int
    #: They become visible again when their timeout expires.
    not_released: int


def clean_up(
    plan: RunIdentity,
    tally: Tally,
    *,
    queues: Queues,
    store: RunStore,
    checkpoints: CheckpointStore,
    shares: RateShares,
    metrics: Metrics,
    pause: Callable[[float], None],
) -> CleanedUp:
    """Release what the run holds, and return its final tally, whether it went well or not.

    It can be repeated at any point, and the lock is released only after the messages are.

    Parameters
    ----------
    plan, tally : RunIdentity, Tally
        The run, and its tally as far as this execution knows. One that the run continued in may have got further.
    queues, store, checkpoints, shares, metrics
        Ports.
    pause : Callable[[float], None]
        Waits for so many seconds.

    Raises
    ------
    NotReleasedError
        If messages are still invisible, and trying again may help.
    """
    recorded = store.progress(plan.run_id)
    if recorded is not None and recorded.tally.rounds > tally.rounds:
        tally = recorded.tally
    if checkpoints.fence(plan, tally.rounds):
        # After a round that failed, other lanes may still be running. Now they can't record anything more.
        pause(LEASE_SECONDS)
    held = checkpoints.held(plan.run_id)
    released, not_released = 0, 0
    if not store.lost(plan):
        released, not_released = release_held(plan, queues, checkpoints, (*store.taken_over_from(plan), plan.run_id))
    unfinished = checkpoints.unfinished(plan, tally.rounds)
    final = final_tally(tally, unfinished, held, undeleted=checkpoints.undeleted_uncounted(plan))
    shares.release(plan.run_id)
    store.unlock(plan)
    # A round that was interrupted has not been published yet.
    counts = moved_since(tally, final) | stayed_behind(final)
    metrics.publish_once(plan.run_id, "clean-up", {"dlq": plan.dlq.name}, counts)
    return CleanedUp(final, released, not_released)


def release_held(
    plan: RunIdentity, queues: Queues, checkpoints: CheckpointStore, run_ids: tuple[str, ...]
) -> tuple[int, int]:
    """Make the messages visible again that runs keep invisible; return how many now are, and how many can't be.

    Raises
    ------
    NotReleasedError
        If trying again may help.
    """
    for run_id in run_ids:
        checkpoints.adopt_undeleted(plan, run_id)
    handles = [record.receipt_handle for run_id in run_ids for record in checkpoints.held(run_id)]
    not_released = queues.release(plan.dlq, handles)
    return len(handles) - not_released, not_released
