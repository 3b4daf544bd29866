"""Plays five stores: sends a stream of store events, a share of which lacks the `store_id` attribute.

Invoked by hand, by the demo and by the tests; the events go to the queue of the store events consumer.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from contracts.store_event import StoreEvent

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_STORES = 5
_NAMES = ("Shifter", "Ariel", "Bran", "Cosmo", "Dara", "Echo", "Fable", "Gale")

logger = Logger()
_sqs = boto3.client("sqs")


class Order(BaseModel):
    """What to send.

    Attributes
    ----------
    count : int
        Number of events.
    bad_share : float
        Share of them, from 0 to 1, that lacks `store_id`; the number of bad events is exact.
    prefix : str
        Start of each event's id, so that every event can be accounted for.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")

    count: int = Field(default=100, ge=1, le=10_000)
    bad_share: float = Field(default=0.2, ge=0, le=1)
    prefix: str = Field(default="event", pattern=r"^[A-Za-z0-9-]{1,40}$")


class NotSentError(Exception):
    """SQS did not take some of the events."""


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Send the events and return how many were sent and how many of them are bad."""
    order = Order.model_validate(event)
    bad = round(order.count * order.bad_share)
    is_bad = [number < bad for number in range(order.count)]
    random.shuffle(is_bad)
    for chunk in batched(_entries(order, is_bad), 10, strict=False):
        failed = _sqs.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=list(chunk)).get(
            "Failed", []
        )
        if failed:
            codes = sorted({entry["Code"] for entry in failed})
            raise NotSentError(f"SQS did not take {len(failed)} of {len(chunk)} events: {', '.join(codes)}")
    logger.info("sent", events=order.count, bad=bad)
    answer = {"message": {"status": True, "msg_cnt": order.count, "bad_msg": bad}}
    return {"statusCode": 200, "body": json.dumps(answer)}


def _entries(order: Order, is_bad: list[bool]) -> Iterator[SendMessageBatchRequestEntryTypeDef]:
    now = datetime.now(UTC)
    for number, bad in enumerate(is_bad):
        event = StoreEvent(
            event_id=f"{order.prefix}-{number:05}",
            name=random.choice(_NAMES),
            dob=date(1940, 1, 1) + timedelta(days=random.randrange(25_000)),
            gender=random.choice(("F", "M", "X")),
            ssn_no=f"{random.randrange(10**9):09}",
            data_share_consent=random.random() < 0.5,
            evnt_time=now,
        )
        entry: SendMessageBatchRequestEntryTypeDef = {
            "Id": str(number),
            "MessageBody": event.model_dump_json(),
            "MessageAttributes": {
                "project": {"DataType": "String", "StringValue": "store-events"},
                "ts": {"DataType": "Number", "StringValue": str(int(now.timestamp()))},
            },
        }
        if not bad:
            store = str(number % _STORES + 1)
            entry["MessageAttributes"] = {
                **entry["MessageAttributes"],
                "store_id": {"DataType": "Number", "StringValue": store},
            }
        yield entry
