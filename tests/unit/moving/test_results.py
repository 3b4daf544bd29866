"""How the numbers of lanes add up."""

import pytest

from redrive.domain.moving.results import Counts, SliceResult

ONE = SliceResult(
    counts=Counts(redriven=5, repaired=1, quarantined=2, skipped=3, bounced=1, failed=1),
    quarantine_reasons={"not-json": 2},
    skip_reasons={"came-back": 1, "not-selected": 2},
    failure_codes={"InternalError": 1},
    without_contract=4,
    duplicates_possible=1,
    calls={"Send": 2, "Receive": 3},
    seconds=1.5,
)
OTHER = SliceResult(
    counts=Counts(redriven=10, skipped=1),
    skip_reasons={"came-back": 1},
    without_contract=6,
    calls={"Send": 1},
    seconds=2.0,
    drained=True,
    stopped=True,
    failure="gone",
)


def test_counts_add_up_one_by_one():
    assert Counts(sampled=1, redriven=2, remaining=3) + Counts(redriven=5, failed=1) == Counts(
        sampled=1, redriven=7, failed=1, remaining=3
    )


def test_messages_moved_have_left_the_queue_and_those_that_stayed_are_in_it():
    counts = Counts(redriven=5, repaired=4, quarantined=2, skipped=3, bounced=1, failed=7)
    assert (counts.moved, counts.stayed) == (7, 10)


def test_totals_add_up_with_their_reasons():
    total = ONE.plus(OTHER)
    assert total.counts == Counts(redriven=15, repaired=1, quarantined=2, skipped=4, bounced=1, failed=1)
    assert total.skip_reasons == {"came-back": 2, "not-selected": 2}
    assert (total.quarantine_reasons, total.failure_codes) == ({"not-json": 2}, {"InternalError": 1})
    assert (total.without_contract, total.duplicates_possible) == (10, 1)


def test_a_slice_after_an_interrupted_attempt_adds_its_requests_and_time_and_ends_as_it_ended():
    whole = OTHER.after(ONE)
    assert whole.counts.redriven == 15
    assert whole.calls == {"Send": 3, "Receive": 3}
    assert whole.seconds == pytest.approx(3.5)
    assert (whole.drained, whole.stopped, whole.failure) == (True, True, "gone")


def test_a_slice_that_did_nothing_counts_nothing():
    nothing = SliceResult()
    assert not any(nothing.counts.model_dump().values())
    assert not any(nothing.model_dump(exclude={"counts"}).values())
