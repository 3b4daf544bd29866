"""Asks the run on a dead-letter queue to stop; called by an operator rather than by the workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.domain.errors import RejectedError
from redrive.domain.messages.arns import arn_name
from redrive.domain.model import Model
from redrive.domain.plan.directories import ExecutionDirectory, QueueDirectory, find_queue

if TYPE_CHECKING:
    from redrive.workflow.ports import RunStore


class Stopping(Model):
    """The run that was asked to stop; it does so within seconds."""

    run_id: str


def stop(dlq: str, *, queues: QueueDirectory, store: RunStore, executions: ExecutionDirectory) -> Stopping:
    """Return the run that was asked to stop: its lanes finish what is under way, and its report says STOPPED.

    Parameters
    ----------
    dlq : str
        The dead-letter queue: its name, ARN, or URL.
    queues, store, executions
        Ports.

    Raises
    ------
    RejectedError
        If there is no such queue, or no run is in progress on it.
    """
    queue = find_queue(queues, dlq, "dlq")
    asked = store.ask_to_stop(queue.arn)
    if asked is None:
        following = arn_name(queues.facts(queue).dead_letter_queue)
        raise RejectedError(
            f"No run is moving messages of {queue.name}, so there is nothing to stop."
            f"{f' Its dead-letter queue is {following}: to stop a run on that, name it as dlq.' if following else ''} "
            "List the runs in progress with: aws stepfunctions list-executions --status-filter RUNNING "
            "--state-machine-arn STATE_MACHINE_ARN"
        )
    run_id, execution_arn = asked
    if not executions.is_running(execution_arn):
        raise RejectedError(
            f"The run {run_id} was moving messages of {queue.name}, but its execution has ended without releasing "
            "them. Lanes that it left behind stop within seconds. Start another run: it makes visible again what this "
            "one kept invisible."
        )
    return Stopping(run_id=run_id)
