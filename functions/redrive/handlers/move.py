"""The work: one slice of one lane moves letters for about a minute and reports counts.

Called by the state MoveSlice, once for each lane in each round.
"""

import time

from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.adapters.contract_store import ContractStore
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.run_table import RunTable
from redrive.adapters.slices import VISIBILITY_SECONDS, Slices
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.runs import LaneWork, Model, RunPlan, SliceResult
from redrive.handlers.settings import settings
from redrive.handlers.task import logger, task

# More bring nothing: then the processor is the limit (docs/benchmarks.md).
THREADS = 32

_settings = settings()
_client = sqs_client(THREADS, retries=False)
_deliveries = Deliveries(THREADS)
_slices = Slices(
    pipeline=lambda url: Pipeline(_client, url, VISIBILITY_SECONDS, THREADS, time.monotonic, _deliveries),
    # Few runs meet a letter of a queue that they do not know, so its client is not made in the cold start.
    find_queue=lambda arn: Queues(sqs_client()).find(arn),
    table=RunTable(_settings.run_table),
    contracts=lambda: ContractStore(_settings.queue_contracts).find,
    allowed=_settings.allowed,
)


class MoveTask(Model):
    """The run and the lane's part in it."""

    plan: RunPlan
    work: LaneWork


@task
def handler(event: MoveTask, context: LambdaContext) -> SliceResult:
    """Return what the slice moved."""
    seconds_left = context.get_remaining_time_in_millis() / 1000
    result = _slices.run(event.plan, event.work, _settings.slice_seconds, seconds_left)
    logger.info("slice done", lane=event.work.lane, round=event.work.round, **result.model_dump())
    return result
