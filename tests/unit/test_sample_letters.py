"""Letters as AWS's services put them into a dead-letter queue: read, judged and sent on whole."""

import json

import pytest

from redrive.domain.judging import Judge
from redrive.domain.letters import Letter, outgoing
from redrive.domain.verdicts import Reason, Redrive, Skip
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
    return Judge(plan, {}, lambda _: factories.queue("looked-up"))(letter(name))


@each_letter
def test_a_sample_tells_what_it_is_and_where_it_is_from(name):
    assert all(LETTERS[name][key] for key in ("about", "source", "envelope"))


@each_letter
def test_a_letter_of_any_service_is_sent_on_as_it_is(name):
    message = LETTERS[name]["message"]
    found = letter(name)
    request = outgoing(found, DESTINATION.url, found.attributes, found.size, None).request
    assert request["MessageBody"] == message["Body"]
    assert request.get("MessageAttributes", {}) == message.get("MessageAttributes", {})


@each_letter
def test_a_letter_of_any_service_goes_where_the_run_says(name):
    verdict = verdict_on(name, destination=DESTINATION)
    assert isinstance(verdict, Redrive)
    assert verdict.queue_url == DESTINATION.url


@each_letter
def test_without_a_destination_only_a_letter_that_names_its_queue_goes_back(name):
    verdict = verdict_on(name)
    if name.startswith("sqs-"):
        assert verdict.queue_url == factories.queue("looked-up").url
    else:
        assert verdict == Skip(Reason.NO_DESTINATION)


def test_the_trace_of_a_letter_is_read():
    assert letter("sqs-with-attributes").trace_header.startswith("Root=1-5759e988-")
