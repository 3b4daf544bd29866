"""Plays five stores: sends a stream of store events, a share of which lacks the `store_id` attribute.

Invoked by hand, by the demo and by the tests; the events go to the queue of the store events consumer.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from contracts.store_event import StoreEvent
from redrive.domain.letters import MAX_BATCH_ENTRIES
from redrive.domain.pacing import Pacer

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

_STORES = 5
_NAMES = ("Shifter", "Ariel", "Bran", "Cosmo", "Dara", "Echo", "Fable", "Gale")
_STREAM_SECONDS = 5.0

logger = Logger()
_sqs = boto3.client("sqs")


class Order(BaseModel):
    """What to send: so many events at once, or a stream for so many seconds (5 where nothing is told).

    Attributes
    ----------
    count : int | None
        Number of events, sent as fast as SQS takes them.
    seconds : float | None
        How long events are sent.
    rate : float
        Events per second of a stream.
    bad_share : float
        Share of them, from 0 to 1, that lacks `store_id`: exact for a count, a matter of chance in a stream.
    prefix : str
        Start of each event's id, so that every event can be accounted for; made up where it is not told.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")

    count: int | None = Field(default=None, ge=1, le=10_000)
    seconds: float | None = Field(default=None, gt=0, le=50, allow_inf_nan=False)
    rate: float = Field(default=20, ge=0.1, le=500, allow_inf_nan=False)
    bad_share: float = Field(default=0.2, ge=0, le=1)
    prefix: str = Field(default_factory=lambda: uuid4().hex[:8], pattern=r"^[A-Za-z0-9-]{1,40}$")

    @model_validator(mode="after")
    def _is_count_or_stream(self) -> Self:
        if self.count is not None and (self.seconds is not None or "rate" in self.model_fields_set):
            raise ValueError("give either count, or seconds and rate: a count is sent at once")
        return self


class NotSentError(Exception):
    """SQS did not take some of the events."""


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Send the events and return how many were sent and how many of them are bad."""
    order, chance = Order.model_validate(event), random.Random()
    sent = bad = 0
    for flags in batches(order, chance):
        numbered = enumerate(flags, start=sent)
        _send([_entry(f"{order.prefix}-{number:05}", number, flag, chance) for number, flag in numbered])
        sent, bad = sent + len(flags), bad + sum(flags)
    logger.info("sent", events=sent, bad=bad)
    answer = {"message": {"status": True, "msg_cnt": sent, "bad_msg": bad}}
    return {"statusCode": 200, "body": json.dumps(answer)}


def batches(
    order: Order,
    chance: random.Random,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[bool, ...]]:
    """Yield the batches to send, each when it may leave, as whether each of its events is bad.

    Parameters
    ----------
    order : Order
        What to send.
    chance : random.Random
        Which events are bad.
    now : Callable[[], float]
        Seconds on a clock that never goes back.
    wait : Callable[[float], None]
        Lets so many seconds pass.
    """
    if order.count is not None:
        bad = round(order.count * order.bad_share)
        flags = [number < bad for number in range(order.count)]
        chance.shuffle(flags)
        yield from batched(flags, MAX_BATCH_ENTRIES, strict=False)
        return
    pacer, end = Pacer(order.rate), now() + (order.seconds or _STREAM_SECONDS)
    while (leaves_at := pacer.ready_at(now())) < end:
        wait(max(0.0, leaves_at - now()))
        pacer.take(pacer.batch_size, now())
        yield tuple(chance.random() < order.bad_share for _ in range(pacer.batch_size))


def _send(entries: list[SendMessageBatchRequestEntryTypeDef]) -> None:
    failed = _sqs.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=entries).get("Failed", [])
    if failed:
        codes = ", ".join(sorted({entry["Code"] for entry in failed}))
        raise NotSentError(
            f"SQS took {len(entries) - len(failed)} of {len(entries)} events and refused the others: "
            f"{codes}. Send them again with another prefix."
        )


def _entry(
    event_id: str, number: int, bad: bool, chance: random.Random
) -> SendMessageBatchRequestEntryTypeDef:
    now = datetime.now(UTC)
    event = StoreEvent(
        event_id=event_id,
        name=chance.choice(_NAMES),
        dob=date(1940, 1, 1) + timedelta(days=chance.randrange(25_000)),
        gender=chance.choice(("F", "M", "X")),
        ssn_no=f"{chance.randrange(10**9):09}",
        data_share_consent=chance.random() < 0.5,
        evnt_time=now,
    )
    attributes: dict[str, MessageAttributeValueTypeDef] = {
        "project": {"DataType": "String", "StringValue": "store-events"},
        "contact_me": {"DataType": "String", "StringValue": "example.com/store-events"},
        "ts": {"DataType": "Number", "StringValue": str(int(now.timestamp()))},
    }
    body, store = event.model_dump(mode="json"), number % _STORES + 1
    if bad:
        # What counters with old software send: the store is in the body, where nobody looks for it.
        body["store_id"] = store
    else:
        attributes["store_id"] = {"DataType": "Number", "StringValue": str(store)}
    return {"Id": str(number), "MessageBody": json.dumps(body), "MessageAttributes": attributes}
