"""Processes store events: refuses what breaks the contract, passes the rest on to the stores' back office.

Triggered by the store events queue. What fails is reported item by item, so that the rest of a batch is not
repeated.
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

from consumers.batches import process_batch
from contracts.store_event import STORE_EVENT

# Seconds for which the state of the back office is believed.
_OUTAGE_MAX_AGE = 1

_processor = BatchProcessor(event_type=EventType.SQS)
_parameters = SSMProvider()
# By itself boto3 tries a throttled DynamoDB for longer than this function has; SQS brings the event again.
_table = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2}),
)


class BackOfficeDownError(Exception):
    """The back office of a store does not answer."""


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the items of the batch that have to be tried again."""
    return process_batch(event, context, _processor, _process)


def _process(record: SQSRecord) -> None:
    message = STORE_EVENT.parse(record.body, record.raw_event.get("messageAttributes", {}))
    _back_office(message.attributes.store_id, message.body.event_id)


def _back_office(store_id: int, event_id: str) -> None:
    """Enter an event into the back office. Doing so twice has the effect of doing it once.

    Raises
    ------
    BackOfficeDownError
        Where the outage switch (an SSM parameter: store numbers with commas between, or `none`) names the
        store.
    """
    outage = str(_parameters.get(os.environ["OUTAGE_PARAMETER"], max_age=_OUTAGE_MAX_AGE) or "none")
    if str(store_id) in outage.split(","):
        raise BackOfficeDownError(f"the back office of store {store_id} does not answer")
    _table.put_item(
        TableName=os.environ["EVENTS_TABLE"],
        Item={"event_id": {"S": event_id}, "store_id": {"N": str(store_id)}},
    )
