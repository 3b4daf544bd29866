"""Asks the run on a dead-letter queue to stop; called by an operator rather than by the workflow."""

from __future__ import annotations

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.planning import QueueDirectory, find_queue
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
        If there is no such queue, or no run is in progress on it.
    """
    queue = find_queue(queues, dlq, "dlq")
    run_id = store.ask_to_stop(queue.arn)
    if run_id is None:
        raise RejectedError(
            f"No run is moving messages of {queue.name}, so there is nothing to stop. List the runs in progress with: "
            "aws stepfunctions list-executions --status-filter RUNNING --state-machine-arn STATE_MACHINE_ARN"
        )
    return Stopping(run_id=run_id)
