"""Unwrapping: what is recognised and what is not, how deep, and what hostile bodies do (nothing)."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.envelopes import MAX_DEPTH, Envelope, NotRedrivable, member_text, unwrap
from tests.support import factories

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


def of_function(
    payload: str = '{"a": 1}', *, condition: str = "RetriesExhausted", drop: str | None = None
) -> str:
    context = {"requestId": "r", "functionArn": ARN, "condition": condition, "approximateInvokeCount": 3}
    context.pop(drop, None)
    return (
        f'{{"version": "1.0", "timestamp": "2026-01-01T00:00:00Z", "requestContext": {json.dumps(context)}, '
        f'"requestPayload": {payload}, "responsePayload": {{"errorType": "E"}}}}'
    )


def notification(message: str) -> str:
    return json.dumps(
        {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:t", "Message": message}
    )


def letter(body: str, source: str | None = None, **told):
    return factories.letter(body, source=source, **told)


def scheduled(truncated: str):
    told = {"SCHEDULE_ARN": "arn:s", "TARGET_ARN": ARN, "IS_PAYLOAD_TRUNCATED": truncated, "mine": "kept"}
    return letter("{}", attributes={name: factories.string(value) for name, value in told.items()})


def test_a_schedules_letter_goes_to_its_target_without_the_services_attributes():
    found = unwrap(scheduled("false"))
    assert (found.envelopes, found.destination) == ((Envelope.EVENTBRIDGE_SCHEDULER,), ARN)
    assert found.letter.attributes.keys() == {"mine"}
    assert found.obstacle is None


def test_a_truncated_payload_of_a_schedule_cannot_be_redriven():
    assert unwrap(scheduled("true")).obstacle is NotRedrivable.PAYLOAD_TRUNCATED


def test_a_success_is_no_failure():
    assert unwrap(letter(of_function(condition="Success"))).obstacle is NotRedrivable.SUCCEEDED


@pytest.mark.parametrize("missing", ["requestId", "functionArn", "condition", "approximateInvokeCount"])
def test_an_envelope_with_a_field_missing_is_raw(missing):
    body = of_function(drop=missing)
    found = unwrap(letter(body))
    assert (found.envelopes, found.payload, found.letter.body) == ((Envelope.NONE,), body, body)


def test_what_an_sqs_redrive_policy_moved_goes_on_as_it_is_whatever_it_looks_like():
    body = of_function()
    found = unwrap(letter(body, source="orders"))
    assert (found.letter.body, found.destination) == (body, None)


def test_own_attributes_that_look_like_a_services_stay_on_a_letter_of_an_sqs_queue():
    attributes = {"RequestID": factories.string("r"), "ErrorCode": {"DataType": "Number", "StringValue": "7"}}
    found = unwrap(letter("x", source="orders", attributes=attributes))
    assert found.letter.attributes == attributes


def test_notifications_in_notifications_are_opened():
    body = notification(notification(notification('{"a": 1}')))
    found = unwrap(letter(body, source="orders"))
    assert found.envelopes == (Envelope.SNS_NOTIFICATION,) * 3
    assert (found.payload, found.letter.body) == ('{"a": 1}', body)


def test_an_s3_event_in_a_notification_is_recognised():
    event = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"arn": "arn:aws:s3:::b"}}}]})
    assert unwrap(letter(notification(event))).envelopes == (Envelope.SNS_NOTIFICATION, Envelope.S3_EVENT)


def test_what_lies_deeper_than_the_bound_is_left_as_it_is():
    body = '{"a": 1}'
    for _ in range(MAX_DEPTH + 3):
        body = notification(body)
    assert len(unwrap(letter(body)).envelopes) == MAX_DEPTH


def test_json_in_a_json_string_is_read():
    found = unwrap(letter(json.dumps(of_function())))
    assert (found.envelopes, found.letter.body) == ((Envelope.LAMBDA_DESTINATION,), '{"a": 1}')
    assert unwrap(letter(json.dumps(notification("x")))).envelopes == (Envelope.SNS_NOTIFICATION,)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[" * 100_000,
        "requestContext" + "[" * 500_000,
        '{"requestContext":' + "[" * 200 + "]" * 200 + "}",
        '{"requestContext": NaN, "requestContext": {}}',
        '{"TopicArn": "\\ud800"}',
        '{"Records": "aws:s3"}',
        '{"Type": "Notification", "TopicArn": 5}',
    ],
)
def test_a_body_that_is_no_envelope_is_raw_and_untouched(body):
    found = unwrap(letter(body))
    assert (found.envelopes, found.payload, found.letter.body) == ((Envelope.NONE,), body, body)


def test_a_mebibyte_made_to_be_slow_is_judged_within_a_second():
    body = '{"requestContext": ' + json.dumps([[[]]] * 130_000) + "}"
    began = time.process_time()
    unwrap(letter(body))
    assert time.process_time() - began < 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
@settings(deadline=None)
def test_the_payload_of_a_function_comes_back_letter_for_letter(value):
    payload = json.dumps(value)
    assert unwrap(letter(of_function(payload))).letter.body == payload


@pytest.mark.parametrize(
    "payload", ["1.0", "1E5", "12345678901234567890.123456789", '"\\u00fc"', "[ 1 ,2]", "null"]
)
def test_numbers_and_spelling_of_a_payload_are_not_bent(payload):
    assert member_text(of_function(payload), "requestPayload") == payload
