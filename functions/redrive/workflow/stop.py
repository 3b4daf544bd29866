"""Asks the run on a dead-letter queue to stop; called by an operator rather than by the workflow."""

from __future__ import annotations

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.planning import QueueDirectory
from redrive.workflow.ports import RunStore


class Stopping(Model):
    """The run that was asked to stop; it does so within seconds."""

    run_id: str


def stop(dlq: str, *, queues: QueueDirectory, store: RunStore) -> Stopping:
    """Return the run that was asked to stop: its lanes finish what is under way, and its report says STOPPED.

    Parameters
    ----------
    dlq : str
        The dead-letter queue: its name, ARN, or URL.
    queues, store
        Ports.

    Raises
    ------
    RejectedError
        If no run is in progress on the queue.
    """
    queue = queues.find(dlq)
    run_id = None if queue is None else store.ask_to_stop(queue.arn)
    if run_id is None:
        raise RejectedError(
            f"No run is moving messages of {dlq}. Expected the dead-letter queue of a run in progress; list runs "
            "with: aws stepfunctions list-executions"
        )
    return Stopping(run_id=run_id)
