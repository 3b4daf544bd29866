"""After each round: adds up what the lanes did and decides where the run goes.

Called by the state Tally.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.runs import Model, RunPlan, SliceResult, Tally
from redrive.domain.tallying import moved_since, tally_round
from redrive.handlers.metrics import publish_once
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_settings = settings()
_queues = Queues(sqs_client())
_table = RunTable(_settings.run_table)


class TallyTask(Model):
    """The run, its tally before the round and what the lanes did in it."""

    plan: RunPlan
    tally: Tally
    slices: tuple[SliceResult, ...]


@task
def handler(event: TallyTask, _context: LambdaContext) -> Tally:
    """Return the tally after the round, with what comes next."""
    facts = _queues.facts(event.plan.dlq)
    tally = tally_round(
        event.plan,
        event.tally,
        event.slices,
        in_queue=facts.waiting + facts.delayed,
        in_flight=facts.in_flight,
        max_history_events=_settings.max_history_events,
    )
    logger.info("round done", round=tally.rounds, moved=tally.moved, waiting=facts.waiting, next=tally.next)
    publish_once(
        _table,
        event.plan.run_id,
        f"round-{tally.rounds}",
        {"dlq": event.plan.dlq.name},
        moved_since(event.tally, tally),
    )
    return tally
