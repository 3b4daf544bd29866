"""The sample: what a look at some letters tells, and when it ends the run."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.store_event import STORE_EVENT
from redrive.domain.destinations import queue
from redrive.domain.envelopes import mended, unwrap
from redrive.domain.errors import RejectedError
from redrive.domain.history import History
from redrive.domain.judging import Judgement
from redrive.domain.letters import Letter
from redrive.domain.runs import Sample
from redrive.domain.sampling import (
    MAX_EXAMPLE_BYTES,
    MAX_GROUPS,
    NEAR_EXPIRY_SECONDS,
    Summary,
    interval,
)
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip
from tests.support import factories

NOW = datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC)
HISTORY = History("run-1", 1, "m-1", 5, None)
GO = Redrive(queue(factories.queue("orders")), factories.letter(), HISTORY)


def summarize(plan, judged, now=NOW, *, complete=False) -> Sample:
    """Return the sample of letters, each given with its verdict or whole judgement."""
    summary = Summary(plan)
    for letter, found in judged:
        judgement = found if isinstance(found, Judgement) else Judgement(found, unwrap(letter))
        summary.add(letter, judgement)
    return summary.sample(now, complete=complete)


def test_an_empty_queue_gives_an_empty_sample():
    sample = summarize(factories.plan(), [], NOW)
    assert (sample.sampled, sample.groups, sample.oldest_sent_at, sample.sizes.largest) == (0, (), None, 0)


def test_letters_are_grouped_by_verdict_reason_and_destination_the_largest_group_first():
    verdicts = [GO, Quarantine("not-json", (), HISTORY), GO, Skip(Reason.CAME_BACK), GO]
    sample = summarize(factories.plan(), [(factories.letter(), verdict) for verdict in verdicts], NOW)
    told = [
        (group.verdict, group.reason, group.destination, group.letters, group.share)
        for group in sample.groups
    ]
    assert told == [
        ("redrivable", None, "orders", 3, 0.6),
        ("quarantined", "not-json", None, 1, 0.2),
        ("skipped", "came-back", None, 1, 0.2),
    ]


def test_the_share_of_a_small_sample_comes_with_wide_bounds():
    (group,) = summarize(factories.plan(), [(factories.letter(), GO)] * 10).groups
    assert (group.share, group.share_high) == (1, 1)
    assert group.share_low == pytest.approx(0.7225, abs=0.001)


def test_a_census_has_no_bounds_to_tell():
    judged = [(factories.letter(), GO), (factories.letter(), Skip("came-back"))]
    groups = summarize(factories.plan(), judged, complete=True).groups
    assert {(group.share_low, group.share, group.share_high) for group in groups} == {(0.5, 0.5, 0.5)}


@given(st.integers(1, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_bounds_enclose_the_share(numbers):
    found, of = numbers
    low, high = interval(found, of)
    assert 0 <= low <= found / of <= high <= 1


def test_letters_of_different_queues_are_in_different_groups():
    judged = [(factories.letter(source=name), GO) for name in ("orders", "invoices", "orders")]
    groups = summarize(factories.plan(), judged).groups
    assert [(group.origin, group.letters) for group in groups] == [("orders", 2), ("invoices", 1)]


def failed_with(error_type: str, message: str | None = None, payload: object = 1):
    context = {
        "requestId": "r",
        "functionArn": "arn:f",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    told = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": payload}
    return factories.letter(
        json.dumps(told | {"responsePayload": {"errorType": error_type, "errorMessage": message}}),
        source=None,
    )


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


def test_errors_that_differ_in_numbers_only_are_one_group():
    letters = [failed_with("TimeoutError", f"no answer within {seconds} s") for seconds in (3, 30, 3)]
    (group,) = summarize(factories.plan(), [(letter, GO) for letter in letters]).groups
    assert (group.error_message, group.letters) == ("no answer within # s", 3)


def test_what_an_error_quotes_from_the_payload_is_not_told():
    letter = failed_with("ValueError", "no customer Shifter in store", {"name": "Shifter"})
    (group,) = summarize(factories.plan(), [(letter, GO)]).groups
    assert group.error_message == "no customer … in store"


def judged_by_contract(letter: Letter, repaired: Letter | None = None) -> Judgement:
    unwrapped = unwrap(letter)
    after = None if repaired is None else mended(unwrapped, repaired)
    return Judgement(Redrive(GO.destination, letter, HISTORY, "store-event"), unwrapped, STORE_EVENT, after)


def test_a_group_tells_the_contract_that_its_letters_were_judged_with():
    letter = factories.letter(factories.store_event())
    judged = [(letter, judged_by_contract(letter)), (factories.letter(), GO)]
    assert {group.contract for group in summarize(factories.plan(), judged).groups} == {"store-event", None}


def test_an_example_shows_in_clear_what_the_contract_marks_as_safe_and_nothing_else():
    letter = factories.letter(factories.store_event(), attributes=factories.store_id("3"))
    (group,) = summarize(factories.plan(), [(letter, judged_by_contract(letter))]).groups
    assert group.example.attributes == {"store_id": "3"}
    assert group.example.body == {
        "event_id": "event-1",
        "name": "<hidden>",
        "dob": "<hidden>",
        "gender": "<string 1>",
        "ssn_no": "<hidden>",
        "data_share_consent": "<boolean>",
        "evnt_time": "2021-02-06T18:56:59.165483",
    }


def test_an_example_of_what_breaks_its_contract_shows_nothing_in_clear():
    letter = factories.letter(factories.store_event(event_id=""), attributes=factories.store_id("3"))
    broken = Judgement(Quarantine("invalid-body", (), HISTORY), unwrap(letter), STORE_EVENT)
    (group,) = summarize(factories.plan(), [(letter, broken)]).groups
    assert group.example.attributes == {"store_id": "<string 1>"}
    assert group.example.body["evnt_time"] == "<string 26>"


def test_an_example_shows_what_the_repair_makes_of_it():
    before = factories.letter(factories.store_event())
    after = factories.letter(factories.store_event(), attributes=factories.store_id("3"))
    (group,) = summarize(factories.plan(), [(before, judged_by_contract(before, after))]).groups
    assert group.repaired
    assert (group.example.attributes, group.example.repaired.attributes) == ({}, {"store_id": "3"})


def test_many_groups_are_cut_and_those_that_are_left_out_counted():
    judged = [(factories.letter(), Skip(f"reason-{number}")) for number in range(MAX_GROUPS + 5)]
    sample = summarize(factories.plan(), judged)
    assert (len(sample.groups), sample.other_groups, sample.in_other_groups) == (MAX_GROUPS, 5, 5)


def test_examples_never_take_more_than_their_share_of_the_report():
    body = json.dumps({f"member_{number}": "x" * number for number in range(40)})
    judged = [(factories.letter(body), Skip(f"reason-{number}")) for number in range(MAX_GROUPS)]
    examples = [group.example for group in summarize(factories.plan(), judged).groups if group.example]
    assert 1 < len(examples) < MAX_GROUPS
    assert sum(len(example.model_dump_json()) for example in examples) <= MAX_EXAMPLE_BYTES


def test_sizes_tell_how_they_are_spread():
    letters = [factories.letter("x" * size) for size in range(1, 102)]
    sizes = summarize(factories.plan(), [(letter, GO) for letter in letters]).sizes
    assert (sizes.smallest, sizes.median, sizes.p90, sizes.largest) == (1, 51, 91, 101)


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
    assert sample.sizes.largest == 900


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
