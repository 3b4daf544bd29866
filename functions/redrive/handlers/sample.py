"""Second step: looks at some letters, or at all, and tells what they are, without moving or deleting any.

Called by the state Sample.
"""

import time
from contextlib import closing
from datetime import UTC, datetime

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.contract_store import ContractStore
from redrive.adapters.sqs import LOOKERS, Look, Queues, sqs_client
from redrive.domain.judging import Judge
from redrive.domain.letters import Letter
from redrive.domain.runs import Model, RunPlan, Sample
from redrive.domain.sampling import Summary
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

# Seconds before Lambda's timeout at which the look ends, so that all letters can be made visible again.
_RESERVE = 120.0

_queues = Queues(sqs_client(LOOKERS))
_settings = settings()


class SampleTask(Model):
    """The run to sample for."""

    plan: RunPlan


@task
def handler(event: SampleTask, context: LambdaContext) -> Sample:
    """Return what the letters are, or raise RejectedError where they have nowhere to go."""
    plan = event.plan
    contracts = ContractStore(_settings.queue_contracts)
    judge = Judge(plan, contracts.find, _queues.find, _settings.allowed, time.monotonic)
    summary, look = Summary(plan), Look(plan.dlq, None if plan.census else plan.sample_size)
    seconds = context.get_remaining_time_in_millis() / 1000 - _RESERVE
    # Closed here, so that the letters are visible again before an error ends the invocation.
    with closing(_queues.look(look, seconds)) as messages:
        for message in messages:
            letter = Letter.from_message(message)
            summary.add(letter, judge.judge(letter))
    sample = summary.sample(datetime.now(UTC), complete=look.complete)
    logger.info("sampled", dlq=plan.dlq.name, sampled=sample.sampled, nearExpiry=sample.near_expiry)
    return sample
