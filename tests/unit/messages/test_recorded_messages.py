"""Messages as AWS services put them into a dead-letter queue: opened, judged, and sent on in full."""

import json
from types import SimpleNamespace

import pytest

from redrive.domain.judging.authority import Authority
from redrive.domain.judging.verdicts import Reason, Skip
from redrive.domain.messages.destinations import function, queue
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.opened import Failure
from redrive.domain.messages.opening import open_message
from redrive.domain.messages.outbound import outbound
from tests.support import factories
from tests.support.samples import EVENTS

RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted((EVENTS / "messages").glob("*.json"))}
DESTINATION = factories.queue("replay")
each_recorded_message = pytest.mark.parametrize("name", RECORDED)
# After they were sent: they are of the years 2021 to 2025.
STARTED_AT = 1_790_000_000_000


def message(name: str) -> ReceivedMessage:
    return ReceivedMessage.from_sqs(RECORDED[name]["message"])


def verdict_on(name: str, **plan):
    plan = factories.plan(started_at=STARTED_AT, sources=(), **plan)
    # They come from several accounts: each is judged as by a deployment in its own.
    anything = SimpleNamespace(destination=lambda arn, _home: function(arn, "function"))
    authority = Authority(plan, lambda _: factories.queue("found"), anything, factories.confirmed)
    return factories.judge(plan, where=authority)(message(name))


@each_recorded_message
def test_a_recorded_message_says_what_it_is_and_where_it_is_from(name):
    assert all(RECORDED[name][key] for key in ("about", "source", "envelope"))


@each_recorded_message
def test_a_message_of_any_service_is_sent_on_as_it_is(name):
    raw = RECORDED[name]["message"]
    request = outbound(message(name), queue(DESTINATION), "ours", "id").request
    attributes = {key: value for key, value in request["MessageAttributes"].items() if key != "redrive"}
    assert request["MessageBody"] == raw["Body"]
    assert attributes == raw.get("MessageAttributes", {})


def test_every_envelope_is_recognized():
    recognized = {name: open_message(message(name)).envelopes for name in RECORDED}
    assert recognized == {name: (RECORDED[name]["envelope"],) for name in RECORDED}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("lambda-destination-on-failure", {"raise_error": 1}),
        ("lambda-async-dlq", {"raise_error": 1}),
        ("sns-notification", {"message": "hello world", "username": "lessa"}),
    ],
)
def test_the_payload_is_what_was_wrapped(name, payload):
    assert open_message(message(name)).payload.content == payload


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        (
            "lambda-destination-on-failure",
            Failure(
                "Exception",
                "Test exception (this is intentional)",
                "RetriesExhausted",
                1,
                "2025-11-24T23:11:12.000Z",
            ),
        ),
        ("lambda-async-dlq", Failure(message="Test exception (this is intentional)", code="200")),
        (
            "eventbridge-rule-target",
            Failure(None, "User is not authorized to perform lambda:InvokeFunction", "NO_PERMISSIONS", 0),
        ),
        (
            "kinesis-stream-on-failure",
            Failure(code="RetryAttemptsExhausted", attempts=2, failed_at="2022-07-13T13:48:01.000Z"),
        ),
        (
            "eventbridge-subscriber",
            Failure(
                None,
                "The delivery role is not authorized to perform sqs:SendMessage on the target.",
                "ACCESS_DENIED",
                4,
            ),
        ),
        ("lambda-destination-on-success", None),
        ("sqs-plain", None),
    ],
)
def test_the_failure_is_as_far_as_the_envelope_says(name, failure):
    assert open_message(message(name)).failure == failure


@pytest.mark.parametrize("name", ["lambda-async-dlq", "eventbridge-rule-target"])
def test_attributes_that_a_service_added_are_not_sent_on(name):
    request = verdict_on(name, destination=DESTINATION).outbound.request
    assert request["MessageAttributes"].keys() == {"redrive"}


def test_a_function_that_failed_gets_its_payload_again():
    sent = verdict_on("lambda-destination-on-failure").outbound
    assert sent.destination.address == "arn:aws:lambda:eu-central-1:111111111111:function:resource-2"
    assert sent.request == {"Payload": '{"raise_error": 1}'}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("kinesis-stream-on-failure", "no-payload"),
        ("eventbridge-subscriber", "no-payload"),
        ("iot-error-action", "not-redrivable"),
        ("kafka-on-failure", "no-payload"),
        ("pipe-on-failure", "no-payload"),
        ("lambda-destination-on-success", "succeeded"),
    ],
)
def test_a_message_without_a_failed_payload_is_quarantined_whatever_its_destination(name, reason):
    assert verdict_on(name, destination=DESTINATION).reason == reason


@pytest.mark.parametrize("name", ["lambda-async-dlq", "s3-notification"])
def test_a_message_that_does_not_say_where_it_belongs_needs_a_destination(name):
    assert verdict_on(name) == Skip(Reason.NO_DESTINATION)
    assert verdict_on(name, destination=DESTINATION).outbound.destination.address == DESTINATION.url


@pytest.mark.parametrize("name", ["sns-notification", "s3-notification"])
def test_a_queues_consumer_gets_a_notification_in_the_form_that_it_reads(name):
    request = verdict_on(name, destination=DESTINATION).outbound.request
    assert request["MessageBody"] == RECORDED[name]["message"]["Body"]


@pytest.mark.parametrize("name", ["s3-pointer", "s3-pointer-legacy", "s3-pointer-dotnet", "sns-subscription-dlq-raw"])
def test_a_pointer_and_what_sns_could_not_deliver_go_on_with_everything_that_they_carry(name):
    request = verdict_on(name, destination=DESTINATION).outbound.request
    raw = RECORDED[name]["message"]
    attributes = {key: value for key, value in request["MessageAttributes"].items() if key != "redrive"}
    assert (request["MessageBody"], attributes) == (raw["Body"], raw["MessageAttributes"])


def test_the_trace_header_of_a_message_is_read():
    assert message("sqs-with-attributes").trace_header.startswith("Root=1-5759e988-")
