"""Versions of records and data types of attributes: what services write is read, and anything else is not."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Quarantine, Redrive
from tests.support import factories, wrapped

NEIGHBORS = settings(max_examples=100, derandomize=True, deadline=None)
REPLAY = factories.queue("replay")

RECORDS = [
    wrapped.lambda_record({"id": 1}),
    wrapped.lambda_record({"id": 1}) | {"requestContext": {"functionArn": wrapped.FUNCTION, "attempts": 1}},
    wrapped.invocation(),
    wrapped.batch_record("KinesisBatchInfo"),
    wrapped.batch_record("KafkaBatchInfo"),
    wrapped.pipe_record(),
    wrapped.subscriber_record(),
]
versions = (
    st.sampled_from(["1", "1.1", "2.0", "1.00", "01.0", "1.0 ", "v1.0", "1.0.0", "", "0", 1, 1.0, 0, True, None])
    | st.text(string.digits + ".", max_size=4).filter(lambda version: version != "1.0")
    | st.lists(st.just("1.0"), max_size=2)
    | st.just({"version": "1.0"})
)


def judged(body, attributes=None):
    plan = factories.plan(sources=(), destination=REPLAY)
    return factories.judge(plan)(factories.received(body, source=None, attributes=attributes))


def sent(verdict):
    request = verdict.outbound.request
    carried = {name: value for name, value in request.get("MessageAttributes", {}).items() if name != "redrive"}
    return request["MessageBody"], carried


@NEIGHBORS
@given(st.sampled_from(RECORDS), versions, st.integers(0, 3))
def test_a_record_of_another_version_is_refused_and_not_opened(record, version, depth):
    body = json.dumps(record | {"version": version})
    for _ in range(depth):
        body = wrapped.notification(body)
    verdict = judged(body)
    assert isinstance(verdict, Quarantine)
    assert (verdict.reason, sent(verdict)) == ("unknown-version", (body, {}))


@pytest.mark.parametrize(
    "body",
    [
        # A request of API Gateway, which has a version and a context too.
        {"version": "2.0", "routeKey": "$default", "requestContext": {"accountId": "1", "http": {"method": "GET"}}},
        {"version": "2.0", "requestContext": {"functionArn": wrapped.FUNCTION}},
        {"version": "3", "requestContext": [wrapped.FUNCTION], "requestPayload": {}},
        {"version": "0", "id": "e", "detail-type": "placed", "source": "orders", "detail": {"requestContext": {}}},
    ],
)
def test_a_version_of_something_else_says_nothing(body):
    verdict = judged(json.dumps(body))
    assert isinstance(verdict, Redrive)
    assert sent(verdict)[0] == json.dumps(body)


# Data types


RULE = {
    "RULE_ARN": factories.string("arn:aws:events:us-east-1:123456789012:rule/r"),
    "TARGET_ARN": factories.string(wrapped.FUNCTION),
    "ERROR_CODE": factories.string("NO_PERMISSIONS"),
    "ERROR_MESSAGE": factories.string("not authorized"),
    "EXHAUSTED_RETRY_CONDITION": factories.string("MaximumRetryAttempts"),
    "RETRY_ATTEMPTS": wrapped.number("3"),
}
SCHEDULE = {
    **{name: value for name, value in RULE.items() if name != "RULE_ARN"},
    "SCHEDULE_ARN": factories.string("arn:aws:scheduler:us-east-1:123456789012:schedule/default/s"),
    "SCHEDULED_TIME": factories.string("2026-01-01T00:00:00Z"),
    "EXECUTION_ID": factories.string("e"),
    "IS_PAYLOAD_TRUNCATED": factories.string("false"),
}
ASYNC = wrapped.async_attributes()
OTHER_TYPES = [
    {"DataType": "Binary", "BinaryValue": b"200"},
    {"DataType": "Binary.arn", "BinaryValue": b"arn:aws:events:us-east-1:123456789012:rule/r"},
    {"DataType": "String.arn", "StringValue": "arn:aws:events:us-east-1:123456789012:rule/r"},
    {"DataType": "string", "StringValue": "arn:aws:events:us-east-1:123456789012:rule/r"},
    {"DataType": "Number.int", "StringValue": "200"},
    {"DataType": "Number.float", "StringValue": "200"},
]


@pytest.mark.parametrize("attributes", [RULE, SCHEDULE, ASYNC], ids=["rule", "schedule", "async"])
def test_a_services_attributes_are_not_sent_on(attributes):
    assert sent(judged("{}", attributes | factories.store_id())) == ("{}", factories.store_id())


@pytest.mark.parametrize("other", OTHER_TYPES, ids=lambda other: other["DataType"])
@pytest.mark.parametrize(
    ("attributes", "name"), [(attributes, name) for attributes in (RULE, SCHEDULE, ASYNC) for name in attributes]
)
def test_an_attribute_of_another_data_type_is_not_the_services(attributes, name, other):
    changed = attributes | {name: other}
    verdict = judged("{}", changed)
    assert sent(verdict) == ("{}", changed)
    assert getattr(verdict, "reason", None) == (None if attributes is ASYNC else "unreadable-record")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [(RULE, "RULE_ARN"), (RULE, "TARGET_ARN"), (SCHEDULE, "SCHEDULE_ARN"), (SCHEDULE, "TARGET_ARN")]
    + [(ASYNC, name) for name in ASYNC],
)
def test_without_one_of_its_attributes_it_is_not_the_services(attributes, name):
    rest = {other: value for other, value in attributes.items() if other != name}
    verdict = judged("{}", rest)
    assert sent(verdict) == ("{}", rest)
    assert getattr(verdict, "reason", None) == (None if attributes is ASYNC else "unreadable-record")


@pytest.mark.parametrize("mixed", [RULE | SCHEDULE, RULE | ASYNC, SCHEDULE | ASYNC, RULE | SCHEDULE | ASYNC])
def test_the_attributes_of_two_services_are_neithers(mixed):
    # SQS allows ten; more are checked all the same.
    verdict = judged("{}", mixed)
    assert (verdict.reason, sent(verdict)[1]) == ("unreadable-record", mixed)


@NEIGHBORS
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
def test_only_a_payload_that_is_said_to_be_whole_is_sent(truncated):
    verdict = judged("{}", SCHEDULE | {"IS_PAYLOAD_TRUNCATED": factories.string(truncated)})
    assert isinstance(verdict, Redrive) is (truncated.lower() == "false")


@pytest.mark.parametrize("attempts", ["", "-1", "many", "1.5", "²", "9" * 5_000])
def test_a_number_of_attempts_that_is_none_changes_nothing(attempts):
    changed = RULE | {"RETRY_ATTEMPTS": factories.string(attempts)}
    assert sent(judged("{}", changed)) == ("{}", {})
