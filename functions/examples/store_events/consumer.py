"""Processes store events: rejects those that break the contract and passes the rest to the stores' back office.

Triggered by the store events queue. Reports failures item by item, so the rest of a batch isn't retried.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from examples.batches import process_batch
from examples.store_events.contract import STORE_EVENT
from redrive.aws_session import set_up_boto3

# How long the outage switch's value is cached, in seconds.
_OUTAGE_MAX_AGE = 1

_processor = BatchProcessor(event_type=EventType.SQS)
set_up_boto3()
# Without a client, SSMProvider would create its own session, which reads all of botocore's data again.
_parameters = SSMProvider(boto3_client=boto3.client("ssm"))
# By default, boto3 retries a throttled request for longer than this function may run. SQS redelivers the event instead.
_table = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2}),
)


class BackOfficeDownError(Exception):
    """A store's back office doesn't respond."""


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the batch items to retry."""
    return process_batch(event, context, _processor, _process, BackOfficeDownError)


def _process(record: SQSRecord) -> None:
    message = STORE_EVENT.parse(record.body, record.raw_event.get("messageAttributes", {}))
    _record(message.attributes.store_id, message.body.event_id)


def _record(store_id: int, event_id: str) -> None:
    """Record an event in the back office. This is idempotent.

    Raises
    ------
    BackOfficeDownError
        If the outage switch (an SSM parameter: store numbers separated by commas, or `none`) names the store.
    """
    outage = str(_parameters.get(os.environ["OUTAGE_PARAMETER"], max_age=_OUTAGE_MAX_AGE) or "none")
    if str(store_id) in outage.split(","):
        raise BackOfficeDownError(f"the back office of store {store_id} does not respond")
    _table.put_item(
        TableName=os.environ["EVENTS_TABLE"],
        Item={"event_id": {"S": event_id}, "store_id": {"N": str(store_id)}},
    )
