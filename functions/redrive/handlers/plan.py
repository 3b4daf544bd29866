"""First step: checks what the operator asks for, makes the plan and takes the queue's lock.

Called by the state Plan.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.contract_store import ContractStore
from redrive.adapters.executions import Executions
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.planning import check_contracts, parse_request, plan_run, take_lock
from redrive.domain.runs import Execution, Model, QueueRef, RunPlan, Tally
from redrive.domain.tallying import first_tally
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_settings = settings()
_queues = Queues(sqs_client())
_table = RunTable(_settings.run_table)
_executions = Executions()
_quarantine = QueueRef(
    name=_settings.quarantine_queue_arn.rsplit(":", 1)[-1],
    arn=_settings.quarantine_queue_arn,
    url=_settings.quarantine_queue_url,
    fifo=False,
)


class PlanTask(Model):
    """The execution's input as it came, and the execution."""

    input: Any
    execution: Execution


class Planned(Model):
    """The plan, and the tally with the first round's work."""

    plan: RunPlan
    tally: Tally


@task
def handler(event: PlanTask, _context: LambdaContext) -> Planned:
    """Return the plan of the run, or raise RejectedError."""
    plan = plan_run(parse_request(event.input), event.execution, _queues, _quarantine)
    check_contracts(plan, ContractStore(_settings.queue_contracts).find)
    take_lock(plan, _table, _executions)
    logger.info(
        "planned",
        dlq=plan.dlq.name,
        waiting=plan.waiting,
        rate=plan.rate,
        ceiling=plan.ceiling,
        dryRun=plan.dry_run,
    )
    return Planned(plan=plan, tally=first_tally(plan))
