"""Tallying: how work is shared out over lanes, and where a run goes after each round."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.adapters.slices import VISIBILITY_SECONDS
from redrive.domain.lane import HeldRecord
from redrive.domain.runs import Next, SliceResult, Tally
from redrive.domain.tallying import (
    LANE_RATE,
    MAX_HISTORY_EVENTS,
    MAX_LANES,
    MAX_WAITS,
    WAIT_SECONDS,
    first_tally,
    plus,
    settled_tally,
    tally_round,
)
from tests.support import factories

MOVED = SliceResult(redriven=10, seconds=60)
DRAINED = SliceResult(drained=True, seconds=4)

# Events that Step Functions writes for a lane's iteration whose task is tried once, and for what is around
# the lanes: Map (4), Tally (5), WhatNext (2), WaitForLetters (2); each further attempt at a task adds three.
EVENTS_OF_A_LANE, EVENTS_OF_A_ROUND, EVENTS_OF_A_RETRY = 7, 13, 3


def after(
    *slices: SliceResult, before: Tally | None = None, in_queue: int = 0, in_flight: int = 0, **plan
) -> Tally:
    return tally_round(
        factories.plan(**plan), before or Tally(), slices, in_queue=in_queue, in_flight=in_flight
    )


# Lanes and quotas


@pytest.mark.parametrize(
    ("rate", "lanes"), [(0.1, 1), (50, 1), (LANE_RATE, 1), (LANE_RATE + 1, 2), (2000, 4), (10_000, MAX_LANES)]
)
def test_a_run_has_as_many_lanes_as_its_rate_needs(rate, lanes):
    assert len(first_tally(factories.plan(rate=rate)).lanes) == lanes


def test_a_fifo_queue_has_one_lane_at_any_rate():
    fifo = factories.plan(dlq=factories.queue("orders-dlq.fifo"), rate=5000)
    assert len(first_tally(fifo).lanes) == 1


def test_no_more_lanes_than_letters_that_may_be_taken():
    assert len(first_tally(factories.plan(rate=10_000, max_messages=3)).lanes) == 3


def test_a_run_without_limit_gives_its_lanes_none():
    assert {lane.quota for lane in first_tally(factories.plan(rate=1000)).lanes} == {None}


rates = st.floats(0.01, 10_000)


@given(rates, st.integers(1, 1_000_000), st.integers(0, 1_000_000), st.integers(0, 1_000_000))
@settings(deadline=None)
def test_quotas_add_up_to_what_is_left_and_rates_to_the_rate(rate, limit, redriven, quarantined):
    before = Tally(redriven=redriven, quarantined=quarantined, rounds=4)
    tally = after(MOVED, before=before, in_queue=9, rate=rate, max_messages=limit)
    left = limit - tally.moved
    if left <= 0:
        assert (tally.next, tally.lanes) == (Next.SETTLE, ())
        return
    assert sum(lane.quota for lane in tally.lanes) == left
    assert min(lane.quota for lane in tally.lanes) >= 1
    assert sum(lane.rate for lane in tally.lanes) == pytest.approx(rate)


@given(rates)
@settings(deadline=None)
def test_lanes_are_numbered_and_know_their_round(rate):
    tally = after(MOVED, before=Tally(rounds=4), rate=rate)
    assert [lane.lane for lane in tally.lanes] == list(range(len(tally.lanes)))
    assert {lane.round for lane in tally.lanes} == {5}


# Adding up


def test_counts_and_reasons_of_all_lanes_are_added_to_what_was_there():
    before = Tally(
        redriven=1, quarantined=2, failed=3, skipped={"came-back": 1}, duplicates_possible=1, rounds=1
    )
    tally = after(
        SliceResult(redriven=10, quarantined=1, quarantine_reasons={"not-json": 1}, calls={"Receive": 3}),
        SliceResult(redriven=5, failed=2, failure_codes={"X": 2}, skipped={"came-back": 2, "group-waits": 1}),
        SliceResult(duplicates_possible=4, calls={"Receive": 1, "Send": 1}),
        before=before,
    )
    assert (tally.redriven, tally.quarantined, tally.failed, tally.duplicates_possible) == (16, 3, 5, 5)
    assert tally.skipped == {"came-back": 3, "group-waits": 1}
    assert (tally.quarantine_reasons, tally.failure_codes) == ({"not-json": 1}, {"X": 2})
    assert (tally.calls, tally.rounds) == ({"Receive": 4, "Send": 1}, 2)


def test_a_round_takes_as_long_as_its_slowest_lane():
    tally = after(SliceResult(seconds=40), SliceResult(seconds=60), before=Tally(seconds=100))
    assert tally.seconds == 160


results = st.builds(
    SliceResult,
    redriven=st.integers(0, 500),
    quarantined=st.integers(0, 500),
    failed=st.integers(0, 500),
    skipped=st.dictionaries(st.sampled_from(["came-back", "group-waits"]), st.integers(1, 9)),
)


@given(st.lists(results), st.integers(0, 50))
@settings(deadline=None)
def test_it_does_not_matter_which_lane_did_what(slices, turn):
    turned = slices[turn % (len(slices) or 1) :] + slices[: turn % (len(slices) or 1)]
    assert plus(Tally(), slices) == plus(Tally(), turned)


# Where the run goes


def test_a_run_moves_on_while_a_lane_has_not_seen_the_queue_empty():
    assert after(DRAINED, MOVED).next is Next.MOVE


def test_a_run_is_over_when_all_lanes_saw_the_queue_empty_and_its_counts_agree():
    tally = after(DRAINED, DRAINED)
    assert (tally.next, tally.drained, tally.lanes) == (Next.SETTLE, True, ())


def test_letters_that_the_run_keeps_invisible_do_not_hold_it_up():
    skipped = SliceResult(drained=True, skipped={"came-back": 3}, failed=2)
    assert after(skipped, in_flight=5).next is Next.SETTLE


@pytest.mark.parametrize("counts", [{"in_queue": 1}, {"in_flight": 1}])
def test_letters_that_somebody_else_has_in_hand_are_waited_for(counts):
    tally = after(DRAINED, **counts)
    assert (tally.next, tally.wait_seconds, tally.waits) == (Next.WAIT, WAIT_SECONDS, 1)
    assert tally.lanes


def test_the_wait_is_longer_than_letters_of_a_dead_lane_stay_invisible():
    assert WAIT_SECONDS * MAX_WAITS > VISIBILITY_SECONDS


def test_a_run_does_not_wait_for_ever():
    tally, steps = Tally(), []
    while tally.next is not Next.SETTLE:
        tally = after(DRAINED, before=tally, in_flight=7)
        steps.append(tally.next)
    assert steps == [Next.WAIT] * MAX_WAITS + [Next.SETTLE]


def test_a_run_that_gave_up_waiting_does_not_tell_that_the_queue_is_empty():
    gave_up = after(DRAINED, before=Tally(waits=MAX_WAITS), in_flight=7)
    assert (gave_up.next, gave_up.drained) == (Next.SETTLE, False)


def test_letters_that_come_up_after_a_pause_begin_the_waiting_anew():
    paused = after(DRAINED, in_flight=1)
    assert after(MOVED, before=paused, in_queue=5).waits == 0


@pytest.mark.parametrize("share", [{"redriven": 20}, {"redriven": 12, "quarantined": 8}])
def test_a_run_is_over_when_it_has_taken_out_what_it_may(share):
    assert after(SliceResult(**share), in_queue=80, max_messages=20).next is Next.SETTLE


def test_an_operator_who_asked_one_lane_to_stop_has_stopped_the_run():
    tally = after(SliceResult(redriven=3, stopped=True), MOVED, in_queue=80)
    assert (tally.next, tally.stopped) == (Next.SETTLE, True)


def test_a_lane_that_cannot_go_on_ends_the_run_with_its_reason():
    tally = after(MOVED, SliceResult(redriven=3, failure="orders is gone"), in_queue=80)
    assert (tally.next, tally.failure, tally.redriven) == (Next.SETTLE, "orders is gone", 13)


@pytest.mark.parametrize("rate", [50, 2000, 10_000])
def test_a_run_goes_on_in_a_new_execution_before_half_of_what_step_functions_allows(rate):
    tally, written = first_tally(factories.plan(rate=rate)), 0
    while tally.next is not Next.CONTINUE:
        # Every lane's task fails once in every round.
        written += EVENTS_OF_A_ROUND + len(tally.lanes) * (EVENTS_OF_A_LANE + EVENTS_OF_A_RETRY)
        tally = after(*[MOVED] * len(tally.lanes), before=tally, in_queue=9, rate=rate)
    assert 5_000 < written < 25_000 / 1.5
    assert tally.history_events == 0
    assert tally.lanes


def test_the_end_goes_before_a_new_execution():
    old = Tally(history_events=MAX_HISTORY_EVENTS)
    assert after(DRAINED, before=old).next is Next.SETTLE


def test_a_new_execution_starts_when_the_setting_says_so():
    tally = tally_round(factories.plan(), Tally(), [MOVED], in_queue=9, in_flight=0, max_history_events=1)
    assert tally.next is Next.CONTINUE


def test_the_tally_stays_far_below_what_a_state_may_hold():
    codes = {f"SomeVeryLongErrorCodeOfAQueue{n}": 10**9 for n in range(40)}
    slices = [
        SliceResult(failure_codes=codes, skipped=codes, quarantine_reasons=codes, calls=codes)
    ] * MAX_LANES
    tally = after(*slices, in_queue=9, rate=10_000)
    assert len(tally.model_dump_json()) < 256 * 1024 / 4


# The end


def test_at_the_end_skipped_and_failed_are_the_letters_that_were_kept():
    tally = Tally(redriven=5, skipped={"came-back": 9}, failed=4, failure_codes={"X": 4})
    held = [
        HeldRecord("m-1", "h-1", "came-back", failed=False),
        HeldRecord("m-2", "h-2", "InternalError", failed=True),
        HeldRecord("m-3", "h-3", "came-back", failed=False),
    ]
    settled = settled_tally(tally, [], held)
    assert (settled.skipped, settled.failed, settled.failure_codes) == (
        {"came-back": 2},
        1,
        {"InternalError": 1},
    )
    assert settled.redriven == 5


def test_at_the_end_what_lanes_of_a_broken_round_did_is_added():
    settled = settled_tally(Tally(redriven=5), [SliceResult(redriven=3, duplicates_possible=1)], [])
    assert (settled.redriven, settled.duplicates_possible) == (8, 1)
