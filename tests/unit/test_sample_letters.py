"""Letters as AWS's services put them into a dead-letter queue: read, judged and sent on whole."""

import json
import time
from types import SimpleNamespace

import pytest

from redrive.domain.destinations import Destination, Kind
from redrive.domain.envelopes import Failure, unwrap
from redrive.domain.judging import Judge
from redrive.domain.letters import Letter, outgoing
from redrive.domain.verdicts import Reason, Skip
from tests.support import factories
from tests.support.samples import EVENTS

LETTERS = {path.stem: json.loads(path.read_text()) for path in sorted((EVENTS / "letters").glob("*.json"))}
DESTINATION = factories.queue("replay")
each_letter = pytest.mark.parametrize("name", LETTERS)
# Sent long before the run: the recorded letters are of the years 2021 to 2025.
STARTED_AT = 1_790_000_000_000


def letter(name: str) -> Letter:
    return Letter.from_message(LETTERS[name]["message"])


def verdict_on(name: str, **plan):
    plan = factories.plan(started_at=STARTED_AT, sources=(), **plan)
    # The recorded letters come from several accounts: each is judged as by a deployment at home there.
    anything = SimpleNamespace(destination=lambda arn, _home: Destination(Kind.FUNCTION, arn, "function"))
    judge = Judge(plan, {}.get, lambda _: factories.queue("looked-up"), anything, time.monotonic)
    return judge(letter(name))


@each_letter
def test_a_sample_tells_what_it_is_and_where_it_is_from(name):
    assert all(LETTERS[name][key] for key in ("about", "source", "envelope"))


@each_letter
def test_a_letter_of_any_service_is_sent_on_as_it_is(name):
    message = LETTERS[name]["message"]
    found = letter(name)
    request = outgoing(found, found.attributes, found.size, None).request
    assert request["MessageBody"] == message["Body"]
    assert request.get("MessageAttributes", {}) == message.get("MessageAttributes", {})


def test_every_envelope_is_recognised():
    told = {name: unwrap(letter(name)).envelopes for name in LETTERS}
    assert told == {name: (LETTERS[name]["envelope"],) for name in LETTERS}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("lambda-destination-on-failure", {"raise_error": 1}),
        ("lambda-async-dlq", {"raise_error": 1}),
        ("sns-notification", {"message": "hello world", "username": "lessa"}),
    ],
)
def test_the_payload_is_what_was_wrapped(name, payload):
    assert json.loads(unwrap(letter(name)).payload) == payload


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
def test_the_failure_is_told_as_far_as_the_envelope_knows_it(name, failure):
    assert unwrap(letter(name)).failure == failure


def test_what_services_added_does_not_go_on():
    assert verdict_on("lambda-async-dlq", destination=DESTINATION).letter.attributes == {}
    assert verdict_on("eventbridge-rule-target").letter.attributes == {}


def test_a_function_that_failed_gets_its_payload_again_at_the_version_that_failed():
    verdict = verdict_on("lambda-destination-on-failure")
    arn = "arn:aws:lambda:eu-central-1:111111111111:function:resource-2:$LATEST"
    assert verdict.destination.address == arn
    assert verdict.letter.body == '{"raise_error": 1}'


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("kinesis-stream-on-failure", "no-payload"),
        ("eventbridge-subscriber", "no-payload"),
        ("lambda-destination-on-success", "succeeded"),
    ],
)
def test_what_holds_no_failed_payload_is_quarantined_wherever_it_should_go(name, reason):
    assert verdict_on(name, destination=DESTINATION).reason == reason


@pytest.mark.parametrize("name", ["lambda-async-dlq", "sns-notification", "s3-notification"])
def test_what_does_not_tell_where_it_belongs_needs_a_destination(name):
    assert verdict_on(name) == Skip(Reason.NO_DESTINATION)
    assert verdict_on(name, destination=DESTINATION).destination.address == DESTINATION.url


@pytest.mark.parametrize("name", ["sns-notification", "s3-notification"])
def test_a_queues_consumer_gets_a_notification_in_the_form_that_it_reads(name):
    assert verdict_on(name, destination=DESTINATION).letter.body == LETTERS[name]["message"]["Body"]


def test_the_trace_of_a_letter_is_read():
    assert letter("sqs-with-attributes").trace_header.startswith("Root=1-5759e988-")
