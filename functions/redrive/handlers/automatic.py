"""Decides what an automatic start does next: wait, start a run, notify operators, or end.

Called by the state Decide of statemachines/automatic.asl.yaml, which an alarm's event or a schedule starts.
"""

import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.alarms import Alarms
from redrive.adapters.executions import Executions
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.adapters.table import dynamodb_client
from redrive.domain.automatic.decisions import AnyProgress, Automation, Ended, Progress, Step, notify
from redrive.domain.automatic.limits import Limits
from redrive.domain.automatic.triggers import trigger_of
from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.run_plan import Execution
from redrive.runtime.settings import settings
from redrive.runtime.start import started
from redrive.runtime.task import logger, task

_settings = settings()
_automation = Automation(
    limits=Limits(
        first_delay=_settings.automatic_delay_minutes * 60,
        most_runs=_settings.automatic_max_runs,
        after_alarm=_settings.automatic_after_minutes * 60,
    ),
    records=RunTable(_settings.run_table, dynamodb_client()),
    alarms=Alarms(),
    queues=Queues(sqs_client()),
    executions=Executions(),
    quarantine_arn=_settings.quarantine_queue_arn,
    clock=time.time,
)


class AutomaticTask(Model):
    """What started the state machine, how far it is, and how the run ended that it started last."""

    trigger: Any
    execution: Execution
    progress: AnyProgress = Progress()
    ended: Ended | None = None


@task
def handler(event: AutomaticTask, _context: LambdaContext) -> Step:
    """Return the next step; if the queue can't be redriven automatically, that is to notify operators."""
    try:
        trigger = trigger_of(event.trigger, _settings.automatic_run_input)
        step = _automation.next_step(trigger, event.execution, event.progress, event.ended)
    except RejectedError as error:
        step = notify(str(error), "REJECTED", "none", event.progress)
    logger.info("decided", next=step.next, reason=step.reason, waitSeconds=step.wait_seconds)
    return step


started()
