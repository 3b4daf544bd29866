"""Asks the run on a dead-letter queue to stop: its lanes finish what is under way, its report tells STOPPED.

Invoked by an operator, not by the workflow.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.errors import RejectedError
from redrive.domain.runs import Model
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_queues = Queues(sqs_client())
_table = RunTable(settings().run_table)


class StopTask(Model):
    """The dead-letter queue, by name, ARN or URL."""

    dlq: str


class Stopping(Model):
    """The run that was asked to stop; it does so within seconds."""

    run_id: str


@task
def handler(event: StopTask, _context: LambdaContext) -> Stopping:
    """Return the run that was asked to stop, or raise RejectedError where there is none."""
    queue = _queues.find(event.dlq)
    run_id = None if queue is None else _table.ask_to_stop(queue.arn)
    if run_id is None:
        raise RejectedError(
            f"No run is moving letters of {event.dlq}. Expected the dead-letter queue of a run in "
            "progress; list runs with: aws stepfunctions list-executions"
        )
    logger.info("asked to stop", runId=run_id)
    return Stopping(run_id=run_id)
