"""Second step: looks at some letters and tells what they are, without moving or deleting any.

Called by the state Sample.
"""

from datetime import UTC, datetime

from aws_lambda_powertools.utilities.typing import LambdaContext

from contracts.registry import contracts_by_queue
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.judging import Judge
from redrive.domain.letters import Letter
from redrive.domain.runs import Model, RunPlan, Sample
from redrive.domain.sampling import summarize
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

_queues = Queues(sqs_client())
_settings = settings()
_contracts = contracts_by_queue(_settings.queue_contracts)


class SampleTask(Model):
    """The run to sample for."""

    plan: RunPlan


@task
def handler(event: SampleTask, _context: LambdaContext) -> Sample:
    """Return what the sampled letters are, or raise RejectedError where they have nowhere to go."""
    plan = event.plan
    judge = Judge(plan, _contracts, _queues.find, _settings.allowed)
    letters = [Letter.from_message(message) for message in _queues.peek(plan.dlq, plan.sample_size)]
    sample = summarize(plan, [(letter, judge(letter)) for letter in letters], datetime.now(UTC))
    logger.info("sampled", dlq=plan.dlq.name, sampled=sample.sampled, nearExpiry=sample.near_expiry)
    return sample
