"""Asks the run on a dead-letter queue to stop.

Invoked by an operator. A separate function, so someone can be allowed to stop runs but not to run other steps.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.model import Model
from redrive.runtime.settings import settings
from redrive.runtime.task import logger, task
from redrive.workflow.stop import Stopping, stop

_queues = Queues(sqs_client())
_table = RunTable(settings().run_table)


class StopTask(Model):
    """The dead-letter queue: its name, ARN, or URL."""

    dlq: str


@task
def handler(event: StopTask, _context: LambdaContext) -> Stopping:
    """Return the run that was asked to stop, or raise RejectedError if there is none."""
    stopping = stop(event.dlq, queues=_queues, store=_table)
    logger.info("asked to stop", runId=stopping.run_id)
    return stopping
