"""Simulates five stores: sends a stream of store events, some of them without the `store_id` attribute.

Invoked manually, by the demo, and by the tests. The store events consumer processes the events.
"""

from __future__ import annotations

import itertools
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
from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from examples.store_events.contract import StoreEvent
from redrive.aws_session import set_up_boto3
from redrive.contracts.contract import Contract, ContractModel, ContractViolationError
from redrive.domain.errors import guarded

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

_STORES = 5
# Entries of SendMessageBatch (SQS API reference).
_MAX_BATCH_ENTRIES = 10
_NAMES = ("Shifter", "Ariel", "Bran", "Cosmo", "Dara", "Echo", "Fable", "Gale")
_STREAM_SECONDS = 5.0

logger = Logger()
set_up_boto3()
_sqs = boto3.client("sqs")


class Order(ContractModel):
    """What to send: a number of events at once, or a stream (5 seconds by default)."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")

    #: Number of events to send as fast as SQS accepts them.
    count: int | None = Field(default=None, ge=1, le=10_000)
    #: Duration of a stream.
    seconds: float | None = Field(default=None, gt=0, le=50, allow_inf_nan=False)
    #: Events per second of a stream.
    rate: float = Field(default=20, ge=0.1, le=500, allow_inf_nan=False)
    #: Share of events without `store_id`, from 0 to 1: exact for a count, random in a stream.
    bad_share: float = Field(default=0.2, ge=0, le=1)
    #: Prefix of the event ids, so every event can be accounted for; random by default.
    prefix: str = Field(default_factory=lambda: uuid4().hex[:8], pattern=r"^[A-Za-z0-9-]{1,40}$")

    @model_validator(mode="after")
    def _is_count_or_stream(self) -> Self:
        if self.count is not None and (self.seconds is not None or "rate" in self.model_fields_set):
            raise ValueError("expected either count, or seconds and rate: a count is sent at once")
        return self


ORDER = Contract("store-events-order", Order, ContractModel)


class NotSentError(Exception):
    """SQS didn't accept some of the events."""


@guarded(ContractViolationError, NotSentError)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Send the events; return how many were sent and how many of them are bad."""
    order, randomness = ORDER.parse(json.dumps(event), {}).body, random.Random()
    sent = bad = 0
    for flags in batches(order, randomness):
        numbered = enumerate(flags, start=sent)
        _send([_entry(f"{order.prefix}-{number:05}", number, flag, randomness) for number, flag in numbered])
        sent, bad = sent + len(flags), bad + sum(flags)
    logger.info("sent", events=sent, bad=bad)
    result = {"message": {"status": True, "msg_cnt": sent, "bad_msg": bad}}
    return {"statusCode": 200, "body": json.dumps(result)}


def batches(
    order: Order,
    chance: random.Random,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[bool, ...]]:
    """Yield each batch when it is time to send it, as one flag per event that says whether the event is bad.

    Parameters
    ----------
    order : Order
        What to send.
    chance : random.Random
        Chooses the bad events.
    now : Callable[[], float]
        A monotonic clock in seconds.
    wait : Callable[[float], None]
        Waits for a number of seconds.
    """
    if order.count is not None:
        bad = round(order.count * order.bad_share)
        flags = [number < bad for number in range(order.count)]
        chance.shuffle(flags)
        yield from batched(flags, _MAX_BATCH_ENTRIES, strict=False)
        return
    # Ten batches a second at most; smaller batches at low rates.
    size = max(1, min(_MAX_BATCH_ENTRIES, round(order.rate / 10)))
    started = now()
    for number in itertools.count():
        leaves_at = started + number * size / order.rate
        if leaves_at >= started + (order.seconds or _STREAM_SECONDS):
            return
        wait(max(0.0, leaves_at - now()))
        yield tuple(chance.random() < order.bad_share for _ in range(size))


def _send(entries: list[SendMessageBatchRequestEntryTypeDef]) -> None:
    failed = _sqs.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=entries).get("Failed", [])
    if failed:
        codes = ", ".join(sorted({entry["Code"] for entry in failed}))
        raise NotSentError(
            f"SQS accepted {len(entries) - len(failed)} of {len(entries)} events and rejected the others: "
            f"{codes}. Send them again with another prefix."
        )


def _entry(event_id: str, number: int, bad: bool, chance: random.Random) -> SendMessageBatchRequestEntryTypeDef:
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
        # As counters with old software send it: the store is in the body, where no consumer expects it.
        body["store_id"] = store
    else:
        attributes["store_id"] = {"DataType": "Number", "StringValue": str(store)}
    return {"Id": str(number), "MessageBody": json.dumps(body), "MessageAttributes": attributes}
