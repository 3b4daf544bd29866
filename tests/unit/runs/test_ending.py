"""The tables that decide how a run ended: they are complete, and each row leads to its status."""

import pytest

from redrive.contracts.contract import Violation
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts
from redrive.domain.runs.ending import STATUSES, Status
from redrive.domain.runs.leftovers import SKIPS
from redrive.domain.runs.refusals import MEANINGS
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories
from tests.support.reports import report

SELECTS = {"select": {"source": ["orders"]}}


def test_every_reason_to_skip_says_whether_the_run_is_complete_without_the_message():
    assert SKIPS.keys() == {*Reason, *Violation, *BlockedReason}


def test_every_run_has_a_status():
    applies, status = STATUSES[-1]
    assert applies is not None
    assert status is Status.SUCCEEDED


@pytest.mark.parametrize("code", MEANINGS)
def test_a_refusal_is_explained_in_words(code):
    made = report(tally=Tally(counts=Counts(failed=3), failure_codes={code: 3}, drained=True))
    assert made.status is Status.INCOMPLETE
    assert f"3 with {code}: {MEANINGS[code]}" in (made.reason or "")


def test_many_codes_are_listed_by_their_number_and_the_rest_is_counted():
    codes = {f"Code{number}": number for number in range(1, 10)}
    reason = report(tally=Tally(counts=Counts(failed=45), failure_codes=codes, drained=True)).reason or ""
    assert "(9 with Code9, 8 with Code8, 7 with Code7, 6 with Code6, 5 with Code5, 10 with other codes;" in reason


def test_the_size_that_a_queue_takes_is_named_with_what_it_refused_for_its_size():
    tally = Tally(counts=Counts(failed=10), failure_codes={"InvalidParameterValue": 10}, drained=True)
    attic = factories.queue("attic").model_copy(update={"max_bytes": 262_144})
    for plan in (factories.plan(destination=attic), factories.plan(sources=(attic,))):
        made = report(plan=plan, tally=tally)
        assert made.status is Status.INCOMPLETE
        assert "attic takes 262,144 bytes" in (made.reason or "")


def test_the_size_that_a_queue_takes_is_not_named_with_other_refusals():
    tally = Tally(counts=Counts(failed=10), failure_codes={"InvalidMessageContents": 10}, drained=True)
    assert "bytes" not in (report(tally=tally).reason or "")


def test_a_destination_that_the_run_names_is_named_as_what_refused():
    plan = factories.plan(destination=factories.queue("attic"))
    made = report(plan=plan, tally=Tally(counts=Counts(failed=1), failure_codes={"X": 1}, drained=True))
    assert "1 message is left in orders-dlq: 1 refused by attic (1 with X" in (made.reason or "")


@pytest.mark.parametrize(
    ("complete", "text"),
    [
        (True, "Nothing was moved: select matched none of 10 messages; check its conditions."),
        (False, "Nothing was moved: select matched none of the 10 messages that were sampled; check its conditions."),
    ],
)
def test_a_dry_run_whose_selection_matches_nothing_says_so(complete, text):
    sample = Sample(sampled=10, complete=complete, skipped={"not-selected": 10})
    assert report(plan=factories.plan(dry_run=True, **SELECTS), sample=sample).reason == text


def test_a_dry_run_whose_selection_matches_something_has_nothing_to_add():
    sample = Sample(sampled=10, redrivable=1, skipped={"not-selected": 9})
    assert report(plan=factories.plan(dry_run=True, **SELECTS), sample=sample).reason is None


def test_a_dry_run_says_what_it_could_not_look_at():
    made = report(plan=factories.plan(dry_run=True), sample=Sample(), queue=QueueCounts(delayed=25, in_flight=3))
    assert made.status is Status.DRY_RUN
    assert (made.reason or "").startswith("Nothing was moved: 25 delayed (they become visible within 15 minutes")
    assert "3 in flight elsewhere" in (made.reason or "")


def test_a_run_that_reached_its_limit_with_an_empty_queue_has_nothing_to_add():
    tally = Tally(counts=Counts(redriven=20), drained=True)
    assert report(plan=factories.plan(max_messages=20), tally=tally).reason is None


def test_what_a_killed_lane_may_have_moved_counts_toward_the_limit_and_the_reason_says_so():
    tally = Tally(counts=Counts(redriven=15), unaccounted=5, queue=QueueCounts(visible=30))
    made = report(plan=factories.plan(max_messages=20), tally=tally, queue=QueueCounts(visible=30))
    assert made.status is Status.SUCCEEDED
    assert "maxMessages (20, of which it may have moved 5 without counting them)" in (made.reason or "")
    less = tally.model_copy(update={"unaccounted": 4})
    made = report(plan=factories.plan(max_messages=20), tally=less, queue=QueueCounts(visible=30))
    assert made.status is Status.INCOMPLETE


def test_what_lanes_learned_follows_what_is_left():
    tally = factories.tally(skip_reasons={"too-large": 1}, explanations=("orders takes little.", "Why not?"))
    assert report(tally=tally, in_queue=1).reason == (
        "About 1 message is left in orders-dlq: 1 skipped as too-large (larger than their destination takes). "
        "orders takes little. Why not?"
    )


def test_what_a_sample_learned_is_the_reason_of_a_dry_run_only():
    sample = Sample(sampled=1, explanations=("orders takes little.",))
    assert report(plan=factories.plan(dry_run=True), sample=sample).reason == "orders takes little."
    assert report(sample=sample).reason is None


@pytest.mark.parametrize(
    ("max_rate", "share", "asked", "slower"),
    [(20, 8, 12, True), (20, 12, 12, False), (20, 20, 50, False), (20, 19.5, 50, True), (1, 0.5, 50, True)],
)
def test_a_run_that_got_less_than_it_could_use_of_a_max_rate_says_so(max_rate, share, asked, slower):
    plan = factories.plan(rate=share, requested_rate=asked, max_rates=(factories.limit(max_rate, share),))
    made = report(plan=plan, tally=Tally(counts=Counts(redriven=9), drained=True))
    assert made.status is Status.SUCCEEDED
    messages = "1 message" if max_rate == 1 else f"{max_rate} messages"
    expected = (
        f"orders accepts {messages} per second in all (its tag redrive:max-rate), and other runs had reserved shares "
        f"of it, so this run kept to {share:g}."
    )
    assert made.reason == (expected if slower else None)


@pytest.mark.parametrize("complete", [False, True])
def test_a_dry_run_does_not_judge_a_selection_by_the_first_messages_of_fifo_groups(complete):
    skipped = {"not-selected": 1, "group-waits": 9}
    sample = Sample(sampled=10, complete=complete, skipped=skipped, fifo_groups=1, waiting_groups=1)
    assert report(plan=factories.plan(dry_run=True, **SELECTS), sample=sample).reason is None
    first = Sample(sampled=1, skipped={"not-selected": 1}, fifo_groups=1, waiting_groups=1)
    assert report(plan=factories.plan(dry_run=True, **SELECTS), sample=first).reason is None


def test_one_sampled_message_is_spoken_of_in_the_singular():
    sample = Sample(sampled=1, skipped={"not-selected": 1})
    reason = report(plan=factories.plan(dry_run=True, **SELECTS), sample=sample).reason
    assert reason == "Nothing was moved: select matched none of 1 message that was sampled; check its conditions."
