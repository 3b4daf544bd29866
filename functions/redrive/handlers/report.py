"""Last step: the report of the run, whatever became of it, and the SNS message that carries it.

Called by the state Report; the workflow publishes the message and ends as the report's status says.
"""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.reporting import Failure, Notification, make_report, notification_of
from redrive.domain.runs import Execution, Model, Report, RunPlan, Sample, Tally
from redrive.handlers.metrics import publish_once
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_queues = Queues(sqs_client())
_table = RunTable(settings().run_table)
# What was asked for and refused may be any text: that is for the report, not for the name of a metric.
_NO_QUEUE = "none"


class ReportTask(Model):
    """How far the run came, and what ended it early."""

    input: Any
    execution: Execution
    plan: RunPlan | None = None
    sample: Sample | None = None
    tally: Tally | None = None
    failure: Failure | None = None


class Reported(Model):
    """The report and the message to publish."""

    report: Report
    notification: Notification


@task
def handler(event: ReportTask, _context: LambdaContext) -> Reported:
    """Return the report of the run."""
    report = make_report(
        given=event.input,
        execution=event.execution,
        plan=event.plan,
        sample=event.sample,
        tally=event.tally,
        failure=event.failure,
        in_queue=_in_queue(event.plan),
        now=datetime.now(UTC),
    )
    logger.info("reported", status=report.status, dlq=report.dlq, **report.counts.model_dump())
    dimensions = {"dlq": event.plan.dlq.name if event.plan else _NO_QUEUE, "status": report.status.value}
    publish_once(_table, report.run_id, "ended", dimensions, {"RunsEnded": 1})
    return Reported(report=report, notification=notification_of(report))


def _in_queue(plan: RunPlan | None) -> int | None:
    if plan is None:
        return None
    try:
        return _queues.facts(plan.dlq).letters
    except ClientError as error:
        # The report goes out all the same; without the count it tells what the lanes know.
        logger.warning("the queue cannot be read", error=error.response["Error"]["Code"])
        return None
