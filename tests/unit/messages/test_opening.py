"""Opening a message: what is recognized and what is not, how deep, and that hostile bodies do nothing."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.messages.opening import MAX_DEPTH, open_message, raw_delivery, with_forward
from redrive.domain.messages.provenance import ATTRIBUTE, Belief, Provenance
from tests.support import factories, wrapped

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
def test_nothing_is_taken_out_of_a_record_with_a_missing_field(missing):
    body = of_function(drop=missing)
    found = opened(body)
    assert (found.envelopes, found.payload.text, found.forward.body) == ((Envelope.LAMBDA_DESTINATION,), body, body)
    assert (found.blocked_reason, found.origin) == (BlockedReason.UNREADABLE_RECORD, None)


def test_an_error_text_that_was_cut_inside_a_character_does_not_hide_the_message():
    record = json.dumps(wrapped.lambda_record({"id": 1}, responsePayload={"errorType": "E", "errorMessage": "CUT"}))
    found = opened(record.replace("CUT", r"failed on \ud83d"))
    assert (found.forward.body, found.failure.error_type) == ('{"id": 1}', "E")
    found = opened(json.dumps(wrapped.subscriber_record(errorMessage="CUT")).replace("CUT", r"\ud83d"))
    assert found.envelopes == (Envelope.EVENTBRIDGE_SUBSCRIBER,)


@pytest.mark.parametrize("count", ["1e999999999", "1e5", "3.0", "-0", "-1", "true", '"3"', "null", "9" * 5_000])
def test_a_record_whose_count_is_no_count_is_raw(count):
    body = json.dumps(wrapped.lambda_record({})).replace(
        '"approximateInvokeCount": 3', f'"approximateInvokeCount": {count}'
    )
    assert opened(body).forward.body == body


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
        '{"requestContext":' + "[" * 199 + "]" * 199 + "}",
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


# Payloads in S3, records inside notifications


@pytest.mark.parametrize("source", ["orders", None])
def test_a_pointer_into_s3_has_a_payload_that_nothing_can_read(source):
    found = opened(wrapped.pointer(), source, attributes=wrapped.size_attribute())
    assert (found.envelopes, found.forward) == ((Envelope.S3_POINTER,), found.received)
    assert found.payload.is_in_s3
    with pytest.raises(NotJsonError):
        assert found.payload.content


def test_a_pointer_inside_a_notification_is_recognized_with_the_notifications_attributes():
    attributes = {"SQSLargePayloadSize": wrapped.number("300000")}
    found = opened(wrapped.notification(wrapped.pointer(wrapped.POINTER_CLASSES[1]), attributes))
    assert found.envelopes == (Envelope.SNS_NOTIFICATION, Envelope.S3_POINTER)
    assert (found.envelope, found.payload.attributes) == (Envelope.S3_POINTER, attributes)
    raw = raw_delivery(found)
    assert (raw.forward.body, raw.forward.attributes) == (wrapped.pointer(wrapped.POINTER_CLASSES[1]), attributes)
    assert raw.payload.is_in_s3


def test_a_pointer_stays_one_when_a_repair_adds_an_attribute():
    before = opened(wrapped.pointer(), attributes=wrapped.size_attribute())
    after = with_forward(before, before.forward.with_content(before.forward.body, factories.store_id()))
    assert after.payload.is_in_s3


def test_an_iot_record_says_which_action_failed():
    found = opened(json.dumps(wrapped.iot_record()))
    assert (found.envelopes, found.blocked_reason) == ((Envelope.IOT_ERROR_ACTION,), BlockedReason.NOT_REDRIVABLE)
    assert (found.failure.error_type, found.failure.message) == ("S3Action", "No such bucket")


@pytest.mark.parametrize(
    ("record", "origin"),
    [
        (wrapped.batch_record(), wrapped.FUNCTION),
        (wrapped.batch_record("KafkaBatchInfo"), wrapped.FUNCTION),
        (wrapped.pipe_record(), "arn:aws:pipes:us-east-1:123456789012:pipe/p"),
    ],
)
def test_a_failed_batch_says_what_failed_on_it(record, origin):
    found = opened(json.dumps(record))
    assert (found.envelopes, found.origin) == ((Envelope.STREAM_BATCH_POINTER,), origin)
    assert (found.blocked_reason, found.failure.code) == (BlockedReason.NO_PAYLOAD, "RetryAttemptsExhausted")


def test_a_record_in_a_notification_is_opened_as_if_it_had_come_to_the_queue():
    found = opened(wrapped.notification(json.dumps(wrapped.lambda_record({"a": 1}))))
    assert found.envelopes == (Envelope.SNS_NOTIFICATION, Envelope.LAMBDA_DESTINATION)
    assert (found.forward.body, found.claimed_destination) == ('{"a": 1}', wrapped.FUNCTION)
    assert found.payload.content == {"a": 1}


def test_lambdas_attributes_in_a_notification_are_the_failure_and_do_not_go_on():
    added = {
        "RequestID": factories.string("r"),
        "ErrorCode": wrapped.number("200"),
        "ErrorMessage": factories.string("m"),
    }
    body = wrapped.notification('{"a": 1}', added | factories.store_id())
    found = opened(body)
    assert found.envelopes == (Envelope.SNS_NOTIFICATION, Envelope.LAMBDA_ASYNC_DLQ)
    assert (found.failure.code, found.failure.message) == ("200", "m")
    assert (found.forward.body, found.payload.attributes) == (body, factories.store_id())
    assert raw_delivery(found).forward.attributes == factories.store_id()
    moved = opened(body, source="orders")
    assert (moved.envelopes, moved.failure) == ((Envelope.SNS_NOTIFICATION,), None)
    assert raw_delivery(moved) is moved


def test_the_contract_looks_into_a_notification_that_a_function_could_not_process():
    added = {
        "RequestID": factories.string("r"),
        "ErrorCode": wrapped.number("200"),
        "ErrorMessage": factories.string("m"),
    }
    found = opened(notification('{"a": 1}'), attributes=added)
    assert found.envelopes == (Envelope.LAMBDA_ASYNC_DLQ, Envelope.SNS_NOTIFICATION)
    assert (found.forward.body, found.payload.text) == (notification('{"a": 1}'), '{"a": 1}')


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_a_record_is_found_as_deep_as_envelopes_are_opened(depth):
    body = json.dumps(wrapped.iot_record())
    for _ in range(depth):
        body = notification(body)
    assert (opened(body).blocked_reason is None) is (depth > MAX_DEPTH)


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
    for body in ("hello", notification("x")):
        message = factories.received(body, source=None, attributes=attributes, sender=factories.MOVER)
        found = open_message(message, Belief(frozenset({factories.MOVER}), quarantine=True))
        assert (found.origin, found.forward, found.envelopes[0]) == (ORDERS, message, found.envelope)


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


@pytest.mark.parametrize("arn", ["RULE_ARN", "SCHEDULE_ARN"])
def test_the_attributes_of_two_services_are_the_record_of_neither(arn):
    values = {
        arn: f"arn:aws:events:us-east-1:123456789012:{'rule' if arn == 'RULE_ARN' else 'schedule/default'}/nightly",
        "TARGET_ARN": "arn:aws:sqs:us-east-1:123456789012:orders",
        "IS_PAYLOAD_TRUNCATED": "false",
    }
    attributes = {name: factories.string(value) for name, value in values.items()} | wrapped.async_attributes()
    opened = open_message(factories.received(source=None, attributes=attributes))
    assert opened.blocked_reason is BlockedReason.UNREADABLE_RECORD
    assert opened.forward.attributes == attributes
