"""Asks the run on a dead-letter queue to stop.

Invoked by an operator. A function of its own, so that a person may stop runs without being able to run other steps.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.executions import Executions
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.adapters.table import dynamodb_client
from redrive.domain.errors import RedriveError, guarded
from redrive.domain.plan.stop_request import parse_stop_request
from redrive.runtime.settings import settings
from redrive.runtime.start import started
from redrive.runtime.task import logger
from redrive.workflow.stop import stop

_queues = Queues(sqs_client())
_table = RunTable(settings().run_table, dynamodb_client())
_executions = Executions()


@guarded()
def handler(event: Any, _context: LambdaContext) -> dict[str, Any]:
    """Return the run that was asked to stop, or what is wrong, in the form in which Lambda returns errors.

    Lambda would add a stack trace to an error that leaves the handler, in its answer and in the log (Lambda developer
    guide, "Lambda function exceptions in Python"): nothing for a person who mistyped a queue's name.
    """
    try:
        stopping = stop(parse_stop_request(event).dlq, queues=_queues, store=_table, executions=_executions)
    except RedriveError as error:
        logger.warning(str(error), error=type(error).__name__)
        return {"errorType": type(error).__name__, "errorMessage": str(error)}
    logger.info("asked to stop", runId=stopping.run_id)
    return stopping.model_dump(mode="json")


started()
