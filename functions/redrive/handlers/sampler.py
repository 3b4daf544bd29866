"""Peeks at messages and summarizes them. It can neither send nor delete messages.

Called by the state Sample.
"""

import time
from datetime import UTC, datetime

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.contract_store import ContractStore
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.sqs import PEEK_THREADS, Queues, sqs_client
from redrive.domain.model import Model
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.sample import Sample
from redrive.runtime.message_errors import MessageErrors
from redrive.runtime.settings import settings
from redrive.runtime.start import started
from redrive.runtime.task import logger, task
from redrive.workflow.sample import sample

# Seconds before Lambda's timeout at which receiving ends, so that all messages can be made visible again.
_RESERVE = 120.0

_queues = Queues(sqs_client(PEEK_THREADS))
_settings = settings()
_failure_destinations = FailureDestinations()
# Few runs meet a message that something is recorded about, so the client isn't created in every cold start.
_facts = MessageFacts(_settings.run_table)


class SampleTask(Model):
    """The run to sample for, and how many attempts at it came before."""

    plan: RunPlan
    retries: int = 0


@task
def handler(event: SampleTask, context: LambdaContext) -> Sample:
    """Return what the messages are, or raise RejectedError if nothing says where they belong."""
    found = sample(
        event.plan,
        queues=_queues,
        facts=_facts,
        find_contract=ContractStore(_settings.queue_contracts, _settings.account_id).find,
        delivery_policy=_settings.delivery_policy,
        confirm=_failure_destinations.confirm,
        movers=_settings.movers,
        log_error=MessageErrors(),
        seconds=context.get_remaining_time_in_millis() / 1000 - _RESERVE,
        retries=event.retries,
        pause=time.sleep,
        now=lambda: datetime.now(UTC),
        show_error_texts=_settings.show_error_texts,
    )
    logger.info("sampled", dlq=event.plan.dlq.name, sampled=found.sampled, nearExpiry=found.near_expiry)
    return found


started()
