"""The sample: what a look at some letters tells, and when it ends the run."""

import json
from datetime import UTC, datetime

import pytest

from redrive.domain.destinations import queue
from redrive.domain.errors import RejectedError
from redrive.domain.history import History
from redrive.domain.runs import SampleGroup
from redrive.domain.sampling import NEAR_EXPIRY_SECONDS, summarize
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip
from tests.support import factories

NOW = datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC)
HISTORY = History("run-1", 1, "m-1", 5, None)
GO = Redrive(queue(factories.queue("orders")), factories.letter(), HISTORY)


def test_an_empty_queue_gives_an_empty_sample():
    sample = summarize(factories.plan(), [], NOW)
    assert (sample.sampled, sample.groups, sample.oldest_sent_at, sample.largest_bytes) == (0, (), None, 0)


def test_letters_are_grouped_by_verdict_reason_and_destination_the_largest_group_first():
    verdicts = [GO, Quarantine("not-json", (), HISTORY), GO, Skip(Reason.CAME_BACK), GO]
    sample = summarize(factories.plan(), [(factories.letter(), verdict) for verdict in verdicts], NOW)
    raw = {"envelope": "none", "error_type": None, "contract": None}
    assert sample.groups == (
        SampleGroup(verdict="redrivable", reason=None, destination="orders", letters=3, **raw),
        SampleGroup(verdict="quarantined", reason="not-json", destination=None, letters=1, **raw),
        SampleGroup(verdict="skipped", reason="came-back", destination=None, letters=1, **raw),
    )


def failed_with(error_type: str):
    context = {
        "requestId": "r",
        "functionArn": "arn:f",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    told = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": 1}
    return factories.letter(json.dumps(told | {"responsePayload": {"errorType": error_type}}), source=None)


def test_letters_of_functions_are_grouped_by_the_error_they_failed_with():
    letters = [failed_with("TimeoutError"), failed_with("KeyError"), failed_with("TimeoutError")]
    groups = summarize(factories.plan(), [(letter, GO) for letter in letters], NOW).groups
    assert [(group.envelope, group.error_type, group.letters) for group in groups] == [
        ("lambda-destination", "TimeoutError", 2),
        ("lambda-destination", "KeyError", 1),
    ]


def test_an_error_type_that_is_no_name_is_not_told():
    (group,) = summarize(factories.plan(), [(failed_with("no store for 123-45-6789"), GO)], NOW).groups
    assert group.error_type is None


def test_a_group_tells_the_contract_that_its_letters_satisfy():
    judged = Redrive(GO.destination, GO.letter, HISTORY, "store-event")
    groups = summarize(factories.plan(), [(factories.letter(), judged), (factories.letter(), GO)], NOW).groups
    assert {group.contract for group in groups} == {"store-event", None}


def test_a_queue_that_is_nobodys_dead_letter_queue_is_refused_where_its_letters_do_not_tell_more():
    plan = factories.plan(sources=())
    with pytest.raises(RejectedError, match=r"is not the dead-letter queue of any queue.*Name a destination"):
        summarize(plan, [(factories.letter(source=None), Skip(Reason.NO_DESTINATION))], NOW)
    with pytest.raises(RejectedError, match="is not the dead-letter queue of any queue"):
        summarize(plan, [], NOW)


def test_it_tells_the_oldest_the_newest_and_the_largest_letter():
    letters = [factories.letter("x", sent_at=2_000), factories.letter("x" * 900, sent_at=5_000)]
    sample = summarize(factories.plan(), [(letter, GO) for letter in letters], NOW)
    assert (sample.oldest_sent_at, sample.newest_sent_at) == (
        datetime.fromtimestamp(2, UTC),
        datetime.fromtimestamp(5, UTC),
    )
    assert sample.largest_bytes == 900


@pytest.mark.parametrize(
    ("spare_seconds", "near"), [(NEAR_EXPIRY_SECONDS + 1, 0), (NEAR_EXPIRY_SECONDS - 1, 1)]
)
def test_letters_that_sqs_drops_within_a_day_are_counted(spare_seconds, near):
    plan = factories.plan(retention=1_209_600)
    sent_at = factories.STARTED_AT - (plan.retention - spare_seconds) * 1000
    assert summarize(plan, [(factories.letter(sent_at=sent_at), GO)], NOW).near_expiry == near


def test_letters_with_nowhere_to_go_end_the_run_with_what_to_do():
    plan = factories.plan(sources=(factories.queue("orders"), factories.queue("invoices")))
    judged = [(factories.letter(), GO), (factories.letter(source=None), Skip(Reason.NO_DESTINATION))]
    with pytest.raises(
        RejectedError, match=r"^1 of 2 sampled letters in orders-dlq.*2 queues use it.*with a destination"
    ):
        summarize(plan, judged, NOW)


def test_nothing_of_a_body_is_told():
    letter = factories.letter("secret", attributes={"token": factories.string("secret")})
    assert "secret" not in summarize(factories.plan(), [(letter, GO)], NOW).model_dump_json()
