"""Does the work: one slice of one lane moves messages for about a minute and returns counts.

Called by the state MoveSlice, once for each lane in each round.
"""

import time
from functools import cache, lru_cache

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.batch_client import batch_client
from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.contract_store import ContractStore
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.executions import Executions
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.pipeline import THREADS, Pipeline
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.adapters.table import dynamodb_client
from redrive.domain.model import Model
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.plan.run_plan import RunPlan
from redrive.runtime.message_errors import MessageErrors
from redrive.runtime.settings import settings
from redrive.runtime.start import started
from redrive.runtime.task import logger, task
from redrive.workflow.move import VISIBILITY_SECONDS, Mover

_settings = settings()
_dynamodb = dynamodb_client()
_client = batch_client(THREADS) if _settings.sqs_client == "lean" else sqs_client(THREADS, retries=False)
_deliveries = Deliveries(THREADS)
_failure_destinations = FailureDestinations()
_mover = Mover(
    lane_runner=lambda memory, log_error: Pipeline(
        _client, memory.plan.dlq.url, VISIBILITY_SECONDS, THREADS, time.monotonic, _deliveries, memory, log_error
    ),
    # Few runs meet a message of a queue that they don't know, so the client isn't created in every cold start.
    queues=cache(lambda: Queues(sqs_client())),
    store=RunTable(_settings.run_table, _dynamodb),
    checkpoints=Checkpoints(_settings.run_table, _dynamodb),
    shares=RateShares(_settings.run_table, Executions(), _dynamodb),
    facts=MessageFacts(_settings.run_table, _dynamodb),
    contracts=lambda: ContractStore(_settings.queue_contracts, _settings.account_id).find,
    error_log=MessageErrors,
    delivery_policy=_settings.delivery_policy,
    confirms=lru_cache(maxsize=2)(lambda _run_id: cache(_failure_destinations.confirm)),
    movers=_settings.movers,
    time=time.time,
    pause=time.sleep,
)


class MoveTask(Model):
    """The run, the lane's part in it, and how many attempts at the slice came before."""

    plan: RunPlan
    work: LaneWork
    retries: int = 0


@task
def handler(event: MoveTask, context: LambdaContext) -> SliceResult:
    """Return what the slice moved."""
    seconds_left = context.get_remaining_time_in_millis() / 1000
    result = _mover.move(event.plan, event.work, _settings.slice_seconds, seconds_left)
    result = result.model_copy(update={"retries": event.retries})
    logger.info("slice done", lane=event.work.lane, round=event.work.round, **result.model_dump())
    return result


started()
