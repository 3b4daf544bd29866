"""Before the report: makes kept letters visible again, adds up what broke off, gives the queue's lock back.

Called by the state Settle, whether the run went well or not.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.runs import Model, RunPlan, Tally
from redrive.domain.tallying import left_behind, moved_since, settled_tally
from redrive.handlers.metrics import publish_once
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_queues = Queues(sqs_client())
_table = RunTable(settings().run_table)


class SettleTask(Model):
    """The run and its tally after the last round that was added up."""

    plan: RunPlan
    tally: Tally


@task
def handler(event: SettleTask, _context: LambdaContext) -> Tally:
    """Return the tally at the end."""
    plan = event.plan
    held = _table.held(plan)
    not_released = _queues.release(plan.dlq, [record.receipt_handle for record in held])
    tally = settled_tally(event.tally, _table.unfinished(plan, event.tally.rounds), held)
    _table.unlock(plan)
    logger.info("settled", released=len(held) - not_released, notReleased=not_released)
    # A round that broke off was not added up before.
    counts = moved_since(event.tally, tally) | left_behind(tally)
    publish_once(_table, plan.run_id, "settled", {"dlq": plan.dlq.name}, counts)
    return tally
