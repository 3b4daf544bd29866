"""Opening a message: what is recognized and what is not, how deep, and that hostile bodies do nothing."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.envelopes import Envelope
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.messages.opening import MAX_DEPTH, open_message, raw_delivery, with_forward
from redrive.domain.messages.provenance import ATTRIBUTE, Provenance
from tests.support import factories

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
ORDERS = factories.queue("orders").arn


def of_function(payload: str = '{"a": 1}', *, condition: str = "RetriesExhausted", drop: str | None = None) -> str:
    context = {"requestId": "r", "functionArn": FUNCTION, "condition": condition, "approximateInvokeCount": 3}
    context.pop(drop, None)
    return (
        f'{{"version": "1.0", "timestamp": "2026-01-01T00:00:00Z", "requestContext": {json.dumps(context)}, '
        f'"requestPayload": {payload}, "responsePayload": {{"errorType": "E"}}}}'
    )


def notification(message: str, **members) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "m", "TopicArn": TOPIC, "Message": message} | members)


def opened(body: str, source: str | None = None, **values):
    return open_message(factories.received(body, source=source, **values))


def of_scheduler(truncated: str):
    added = {"SCHEDULE_ARN": "arn:s", "TARGET_ARN": FUNCTION, "IS_PAYLOAD_TRUNCATED": truncated, "mine": "kept"}
    return opened("{}", attributes={name: factories.string(value) for name, value in added.items()})


def test_a_schedules_message_claims_its_target_and_loses_the_services_attributes():
    found = of_scheduler("false")
    assert (found.envelopes, found.claimed_destination) == ((Envelope.EVENTBRIDGE_SCHEDULER,), FUNCTION)
    assert found.forward.attributes.keys() == found.payload.attributes.keys() == {"mine"}
    assert found.blocked_reason is None


@pytest.mark.parametrize("truncated", ["true", "TRUE"])
def test_a_truncated_payload_of_a_schedule_is_blocked(truncated):
    assert of_scheduler(truncated).blocked_reason is BlockedReason.PAYLOAD_TRUNCATED


def test_a_success_is_blocked_and_has_no_failure():
    found = opened(of_function(condition="Success"))
    assert (found.blocked_reason, found.failure) == (BlockedReason.SUCCEEDED, None)


@pytest.mark.parametrize("missing", ["requestId", "functionArn", "condition", "approximateInvokeCount"])
def test_an_envelope_with_a_missing_field_is_raw(missing):
    body = of_function(drop=missing)
    found = opened(body)
    assert (found.envelopes, found.payload.text, found.forward.body) == ((Envelope.NONE,), body, body)


def test_a_message_moved_by_an_sqs_redrive_policy_is_forwarded_as_it_is_whatever_it_looks_like():
    body = of_function()
    found = opened(body, source="orders")
    assert (found.forward.body, found.claimed_destination) == (body, None)


def test_attributes_named_like_a_services_stay_on_a_message_of_an_sqs_queue():
    attributes = {"RequestID": factories.string("r"), "ErrorCode": {"DataType": "Number", "StringValue": "7"}}
    assert opened("x", source="orders", attributes=attributes).forward.attributes == attributes


def test_an_error_code_that_is_not_a_number_is_not_lambdas():
    attributes = {"RequestID": factories.string("r"), "ErrorCode": factories.string("7")}
    found = opened("x", attributes=attributes)
    assert (found.envelopes, found.forward.attributes) == ((Envelope.NONE,), attributes)


def test_notifications_inside_notifications_are_opened():
    body = notification(notification(notification('{"a": 1}')))
    found = opened(body, source="orders")
    assert found.envelopes == (Envelope.SNS_NOTIFICATION,) * 3
    assert (found.payload.text, found.forward.body) == ('{"a": 1}', body)


def test_an_s3_event_inside_a_notification_is_recognized():
    event = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"arn": "arn:aws:s3:::b"}}}]})
    assert opened(notification(event)).envelopes == (Envelope.SNS_NOTIFICATION, Envelope.S3_EVENT)


def test_envelopes_deeper_than_the_limit_stay_closed():
    body = '{"a": 1}'
    for _ in range(MAX_DEPTH + 3):
        body = notification(body)
    assert len(opened(body).envelopes) == MAX_DEPTH


def test_json_inside_a_json_string_is_read():
    found = opened(json.dumps(of_function()))
    assert (found.envelopes, found.forward.body) == ((Envelope.LAMBDA_DESTINATION,), '{"a": 1}')
    assert opened(json.dumps(notification("x"))).envelopes == (Envelope.SNS_NOTIFICATION,)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[" * 100_000,
        "requestContext" + "[" * 500_000,
        '{"requestContext":' + "[" * 200 + "]" * 200 + "}",
        '{"requestContext": NaN, "requestContext": {}}',
        of_function("NaN"),
        of_function("-Infinity"),
        '{"TopicArn": "\\ud800"}',
        '{"Records": "aws:s3"}',
        '{"Type": "Notification", "TopicArn": 5}',
    ],
)
def test_a_body_that_is_no_envelope_is_raw_and_untouched(body):
    found = opened(body)
    assert (found.envelopes, found.payload.text, found.forward.body) == ((Envelope.NONE,), body, body)


def test_a_mebibyte_made_to_be_slow_is_opened_within_a_second():
    body = '{"requestContext": ' + json.dumps([[[]]] * 130_000) + "}"
    began = time.process_time()
    opened(body)
    assert time.process_time() - began < 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
@settings(deadline=None)
def test_the_payload_of_a_function_comes_back_character_for_character(value):
    payload = json.dumps(value)
    assert opened(of_function(payload)).forward.body == payload


# The origin: one name, decided in one place


@pytest.mark.parametrize(
    ("body", "values", "origin"),
    [
        ("hello", {"source": "orders"}, ORDERS),
        ("hello", {}, None),
        (of_function(), {}, FUNCTION),
        (notification("x"), {}, TOPIC),
        (notification("x"), {"source": "orders"}, ORDERS),
        ("{}", {"attributes": {"RULE_ARN": factories.string("arn:r"), "TARGET_ARN": factories.string("t")}}, "arn:r"),
    ],
)
def test_the_origin_is_the_queue_that_sqs_names_or_else_what_the_envelope_says(body, values, origin):
    assert opened(body, **values).origin == origin


def test_the_origin_of_a_quarantined_message_is_the_source_that_our_attribute_kept():
    kept = Provenance("run-0", 0, "m-1", 5, ORDERS).to_json("invalid-body", ())
    attributes = {ATTRIBUTE: factories.string(kept)}
    assert opened("hello", attributes=attributes).origin == ORDERS
    assert opened(notification("x"), attributes=attributes).origin == ORDERS


# What goes on after a repair, or with raw delivery


def test_a_repaired_raw_message_has_the_new_body_as_its_payload():
    before = opened('{"a": 1}')
    after = with_forward(before, before.forward.with_content('{"a": 2}', factories.store_id("3")))
    assert (after.payload.text, after.payload.attributes) == ('{"a": 2}', factories.store_id("3"))
    assert (after.received, after.origin) == (before.received, before.origin)


def test_the_payload_of_a_repaired_notification_is_still_inside_it():
    before = opened(notification('{"a": 1}'), source="orders")
    after = with_forward(before, before.forward.with_content(notification('{"a": 2}'), {}))
    assert after.payload.text == '{"a": 2}'
    assert json.loads(after.forward.body)["Message"] == '{"a": 2}'


def test_raw_delivery_forwards_the_message_inside_a_notification_with_its_attributes():
    attributes = {
        "store": {"Type": "String", "Value": "north"},
        "stamp": {"Type": "Binary", "Value": "YWJj"},
    }
    ours = {ATTRIBUTE: factories.string("ours")}
    found = raw_delivery(opened(notification('{"a": 1}', MessageAttributes=attributes), attributes=ours))
    assert found.forward.body == '{"a": 1}'
    assert found.forward.attributes == {
        **ours,
        "store": {"DataType": "String", "StringValue": "north"},
        "stamp": {"DataType": "Binary", "BinaryValue": b"abc"},
    }
    assert found.payload.attributes == found.forward.attributes


def test_raw_delivery_leaves_a_raw_message_as_it_is():
    found = opened("hello")
    assert raw_delivery(found) is found
