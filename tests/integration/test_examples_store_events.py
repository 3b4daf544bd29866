"""The store events consumer returns invalid messages item by item and never logs them."""

import itertools
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from examples import batches
from tests.support import factories
from tests.support.definitions import functions
from tests.support.moto_cloud import moto_cloud
from tests.support.samples import load

MARK = "73190001"
_numbers = itertools.count()

BAD = {
    "malformed JSON": ("{" + MARK, factories.store_id()),
    "not a JSON object": (f'["{MARK}"]', factories.store_id()),
    "an empty body": ("", factories.store_id()),
    "no store": (factories.store_event(), {}),
    "a store that is not a number": (factories.store_event(), factories.store_id(MARK)),
    "a number as name": (factories.store_event(name=int(MARK)), factories.store_id()),
    "an object as date of birth": (factories.store_event(dob={"year": MARK}), factories.store_id()),
    "letters in the social security number": (
        factories.store_event(ssn_no=f"x{MARK}"),
        factories.store_id(),
    ),
    "null as time": (factories.store_event(evnt_time=None), factories.store_id()),
    "a missing field": (json.dumps({"event_id": MARK}), factories.store_id()),
    "deep nesting": ("[" * 100_000, factories.store_id()),
}


def record(body: str, attributes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a message as Lambda passes it to a consumer."""
    number = next(_numbers)
    return {
        "messageId": f"message-{number}",
        "receiptHandle": f"handle-{number}",
        "body": body,
        "attributes": {},
        "messageAttributes": {
            name: {"dataType": value["DataType"], "stringValue": value["StringValue"]}
            for name, value in attributes.items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:store-events",
    }


def good(event_id: str, **changes: Any) -> dict[str, Any]:
    return record(factories.store_event(event_id=event_id, **changes), factories.store_id())


Consume = Callable[..., list[str]]


@pytest.fixture
def consume() -> Iterator[Consume]:
    """Return a callable that passes records to the consumer and returns the ids of those to retry."""
    with moto_cloud():
        boto3.client("dynamodb").create_table(
            TableName="store-events",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
        )
        boto3.client("ssm").put_parameter(Name="store-events-outage", Value="none", Type="String")
        handler = load(functions()["StoreEventsConsumer"])

        def consumed(*records: dict[str, Any]) -> list[str]:
            response = handler({"Records": list(records)})
            return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]

        yield consumed


def processed() -> set[str]:
    return {item["event_id"]["S"] for item in boto3.client("dynamodb").scan(TableName="store-events")["Items"]}


@pytest.mark.parametrize(("body", "attributes"), BAD.values(), ids=BAD.keys())
def test_only_the_bad_message_of_a_batch_is_returned(consume, body, attributes):
    bad = record(body, attributes)
    nine = [good(f"good-{number}") for number in range(9)]
    assert consume(*nine[:4], bad, *nine[4:]) == [bad["messageId"]]
    assert processed() == {f"good-{number}" for number in range(9)}


def test_unknown_fields_and_attributes_are_ignored(consume):
    attributes = factories.store_id() | {"color": factories.string("blue")}
    assert consume(record(factories.store_event(event_id="more", color="blue"), attributes)) == []
    assert processed() == {"more"}


def test_an_event_that_is_twice_in_a_batch_is_recorded_once(consume):
    assert consume(good("twice"), good("twice")) == []
    assert processed() == {"twice"}


def test_a_redriven_event_is_processed_like_any_other(consume):
    attributes = factories.store_id() | {"redrive": factories.string('{"run":"r","count":1}')}
    assert consume(record(factories.store_event(event_id="redriven"), attributes)) == []
    assert processed() == {"redriven"}


def test_the_whole_batch_is_retried_if_every_message_is_bad(consume):
    with pytest.raises(BatchProcessingError, match="All records failed"):
        consume(*(record(*message) for message in BAD.values()))


def test_no_part_of_a_bad_message_is_logged(consume):
    stream = StringIO()
    handler = batches.logger.registered_handler
    earlier = handler.setStream(stream)
    consume(good("fine"), *(record(*message) for message in BAD.values()))
    handler.setStream(earlier)
    assert "batch done" in stream.getvalue()
    assert MARK not in stream.getvalue()
