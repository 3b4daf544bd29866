"""The tally: how work is divided among lanes, and where a run goes after each round."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.queues import IN_FLIGHT_LIMIT, QueueCounts
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.runs.tally import (
    LANE_MESSAGES,
    LANE_RATE,
    MAX_HISTORY_EVENTS,
    MAX_LANES,
    MAX_WAITS,
    WAIT_SECONDS,
    Next,
    Tally,
    final_tally,
    first_tally,
    in_one_lane,
    moved_since,
    stayed_behind,
    tally_round,
)
from redrive.workflow.move import VISIBILITY_SECONDS
from tests.support import factories

MOVED = SliceResult(counts=Counts(redriven=10), seconds=60)
DRAINED = SliceResult(drained=True, seconds=4)

# Events that Step Functions writes for a lane's iteration whose task is tried once, and for what is around
# the lanes: Map (4), Tally (5), WhatNext (2), WaitForMessages (2); each further attempt at a task adds three.
EVENTS_OF_A_LANE, EVENTS_OF_A_ROUND, EVENTS_OF_A_RETRY = 7, 13, 3


def result(**counts: int) -> SliceResult:
    return SliceResult(counts=Counts(**counts))


def after(
    *slices: SliceResult,
    before: Tally | None = None,
    in_queue: int = 0,
    delayed: int = 0,
    in_flight: int = 0,
    **plan: Any,
) -> Tally:
    queue = QueueCounts(visible=in_queue, delayed=delayed, in_flight=in_flight)
    return tally_round(factories.plan(**plan), before or Tally(), slices, queue=queue)


# Lanes and quotas


# More messages than lanes for them.
MANY = 230_000


@pytest.mark.parametrize(
    ("rate", "lanes"), [(0.1, 1), (50, 1), (LANE_RATE, 1), (LANE_RATE + 1, 2), (2000, 4), (10_000, MAX_LANES)]
)
def test_a_run_has_as_many_lanes_as_its_rate_needs(rate, lanes):
    assert len(first_tally(factories.plan(rate=rate, waiting=MANY)).lanes) == lanes


@pytest.mark.parametrize(
    ("messages", "lanes"), [(0, 1), (1, 1), (LANE_MESSAGES, 1), (LANE_MESSAGES + 1, 2), (5000, 5), (MANY, MAX_LANES)]
)
def test_a_run_has_no_more_lanes_than_its_messages_are_worth(messages, lanes):
    assert len(first_tally(factories.plan(rate=10_000, waiting=messages)).lanes) == lanes
    assert len(after(MOVED, in_queue=messages, rate=10_000).lanes) == lanes


@pytest.mark.parametrize("lanes", [1, 20])
def test_messages_that_a_run_holds_are_not_worth_a_lane(lanes):
    held = SliceResult(counts=Counts(skipped=MANY // lanes))
    assert len(after(*[held] * lanes, in_queue=1, in_flight=MANY, rate=10_000).lanes) == 1


def test_a_run_whose_queue_grows_gets_more_lanes_in_the_next_round():
    begun = first_tally(factories.plan(rate=10_000, waiting=10))
    assert len(after(MOVED, before=begun, in_queue=MANY, rate=10_000).lanes) == MAX_LANES


def test_a_run_has_the_lanes_of_the_rate_that_it_keeps_to_not_of_the_requested_one():
    plan = factories.plan(rate=50, max_rate=50, waiting=MANY, request=factories.request(rate=10_000))
    assert len(first_tally(plan).lanes) == 1


def test_a_fifo_queue_has_one_lane_at_any_rate():
    fifo = factories.plan(dlq=factories.queue("orders-dlq.fifo"), rate=5000, waiting=MANY)
    assert len(first_tally(fifo).lanes) == 1


def test_a_run_on_the_quarantine_has_one_lane_because_it_may_contain_messages_of_fifo_queues():
    quarantine = factories.plan(dlq=factories.queue("quarantine"), rate=10_000, waiting=MANY)
    assert len(first_tally(quarantine).lanes) == 1


@pytest.mark.parametrize("rate", [0.1, 700, 10_000])
@pytest.mark.parametrize("most", [None, 1, 3, 1000])
def test_one_lane_has_the_rate_and_quota_of_all(rate, most):
    (only,) = in_one_lane(first_tally(factories.plan(rate=rate, max_messages=most, waiting=MANY))).lanes
    assert (only.lane, only.lanes, only.rate, only.quota) == (0, 1, pytest.approx(rate), most)


@pytest.mark.parametrize(("most", "lanes"), [(3, 1), (LANE_MESSAGES + 1, 2), (MANY, MAX_LANES)])
def test_a_run_has_no_more_lanes_than_the_messages_that_it_may_take_are_worth(most, lanes):
    assert len(first_tally(factories.plan(rate=10_000, max_messages=most, waiting=2 * MANY)).lanes) == lanes


def test_the_lanes_of_a_run_without_a_limit_have_no_quota():
    assert {lane.quota for lane in first_tally(factories.plan(rate=1000, waiting=MANY)).lanes} == {None}


rates = st.floats(0.1, 10_000)


@given(rates, st.integers(1, 1_000_000), st.integers(0, 1_000_000), st.integers(0, 1_000_000), st.integers(0, MANY))
@settings(deadline=None)
def test_quotas_add_up_to_what_remains_and_rates_to_the_rate(rate, limit, redriven, quarantined, waiting):
    before = Tally(counts=Counts(redriven=redriven, quarantined=quarantined), rounds=4)
    tally = after(MOVED, before=before, in_queue=waiting, rate=rate, max_messages=limit)
    remaining = limit - tally.counts.moved
    if remaining <= 0:
        assert (tally.next, tally.lanes) == (Next.CLEAN_UP, ())
        return
    assert sum(lane.quota for lane in tally.lanes) == remaining
    assert min(lane.quota for lane in tally.lanes) >= 1
    assert sum(lane.rate for lane in tally.lanes) == pytest.approx(rate)


@given(rates)
@settings(deadline=None)
def test_lanes_are_numbered_and_know_their_round(rate):
    tally = after(MOVED, before=Tally(rounds=4), in_queue=MANY, rate=rate)
    assert [lane.lane for lane in tally.lanes] == list(range(len(tally.lanes)))
    assert {lane.round for lane in tally.lanes} == {5}


# Adding up


def test_counts_and_reasons_of_all_lanes_are_added_to_those_of_earlier_rounds():
    before = Tally(
        counts=Counts(redriven=1, quarantined=2, failed=3, skipped=1, bounced=1),
        skip_reasons={"came-back": 1},
        duplicates_possible=1,
        rounds=1,
    )
    tally = after(
        SliceResult(counts=Counts(redriven=10, quarantined=1), quarantine_reasons={"not-json": 1}),
        SliceResult(
            counts=Counts(redriven=5, failed=2, skipped=3, bounced=2),
            failure_codes={"X": 2},
            skip_reasons={"came-back": 2, "group-waits": 1},
        ),
        SliceResult(duplicates_possible=4, without_contract=7),
        before=before,
    )
    assert tally.counts == Counts(redriven=16, quarantined=3, failed=5, skipped=4, bounced=3)
    assert tally.skip_reasons == {"came-back": 3, "group-waits": 1}
    assert (tally.quarantine_reasons, tally.failure_codes) == ({"not-json": 1}, {"X": 2})
    assert (tally.duplicates_possible, tally.without_contract, tally.rounds) == (5, 7, 2)


def test_a_round_takes_as_long_as_its_slowest_lane():
    tally = after(SliceResult(seconds=40), SliceResult(seconds=60), before=Tally(seconds=100))
    assert tally.seconds == 160


def test_what_a_round_moved_is_published_without_what_stayed():
    before, now = Tally(counts=Counts(redriven=5)), Tally(counts=Counts(redriven=8, quarantined=2, skipped=9))
    assert moved_since(before, now) == {"Redriven": 3, "Quarantined": 2}


def test_what_stayed_is_published_at_the_end():
    assert stayed_behind(Tally(counts=Counts(skipped=4, bounced=3, failed=1, redriven=9))) == {
        "Skipped": 4,
        "Bounced": 3,
        "Failed": 1,
    }


# Where the run goes


def test_a_run_moves_on_while_a_lane_has_not_seen_the_queue_empty():
    assert after(DRAINED, MOVED).next is Next.MOVE


def test_a_run_is_over_when_all_lanes_saw_the_queue_empty_and_its_counts_agree():
    tally = after(DRAINED, DRAINED)
    assert (tally.next, tally.drained, tally.lanes) == (Next.CLEAN_UP, True, ())


def test_messages_that_the_run_keeps_invisible_do_not_delay_its_end():
    stayed = SliceResult(drained=True, counts=Counts(skipped=3, failed=2))
    assert after(stayed, in_flight=5).next is Next.CLEAN_UP


@pytest.mark.parametrize("counts", [{"in_queue": 1}, {"delayed": 1}, {"in_flight": 1}])
def test_a_run_waits_for_messages_that_somebody_else_has_in_flight(counts):
    tally = after(DRAINED, **counts)
    assert (tally.next, tally.wait_seconds, tally.waits) == (Next.WAIT, WAIT_SECONDS, 1)
    assert tally.lanes


def test_the_wait_is_longer_than_messages_of_a_dead_lane_stay_invisible():
    assert WAIT_SECONDS * MAX_WAITS > VISIBILITY_SECONDS


def test_a_run_does_not_wait_forever():
    tally, steps = Tally(), []
    while tally.next is not Next.CLEAN_UP:
        tally = after(DRAINED, before=tally, in_flight=7)
        steps.append(tally.next)
    assert steps == [Next.WAIT] * MAX_WAITS + [Next.CLEAN_UP]


def test_a_run_that_gave_up_waiting_does_not_report_the_queue_as_empty():
    gave_up = after(DRAINED, before=Tally(waits=MAX_WAITS), in_flight=7)
    assert (gave_up.next, gave_up.drained) == (Next.CLEAN_UP, False)


@pytest.mark.parametrize("others", [0, 1])
def test_an_empty_answer_at_the_limit_of_messages_in_flight_does_not_mean_that_the_queue_is_empty(others):
    stayed = SliceResult(drained=True, counts=Counts(skipped=IN_FLIGHT_LIMIT))
    tally = after(stayed, in_flight=IN_FLIGHT_LIMIT, in_queue=others)
    assert (tally.next, tally.drained) == (Next.WAIT, False)


def test_messages_that_appear_after_a_pause_reset_the_waits():
    paused = after(DRAINED, in_flight=1)
    assert after(MOVED, before=paused, in_queue=5).waits == 0


@pytest.mark.parametrize("counts", [{"redriven": 20}, {"redriven": 12, "quarantined": 8}])
def test_a_run_is_over_when_it_has_taken_as_many_messages_as_it_may(counts):
    assert after(result(**counts), in_queue=80, max_messages=20).next is Next.CLEAN_UP


def test_a_stop_request_that_one_lane_saw_stops_the_run():
    tally = after(SliceResult(counts=Counts(redriven=3), stopped=True), MOVED, in_queue=80)
    assert (tally.next, tally.stopped) == (Next.CLEAN_UP, True)


def test_a_lane_that_cannot_continue_ends_the_run_with_its_reason():
    tally = after(MOVED, SliceResult(counts=Counts(redriven=3), failure="orders is gone"), in_queue=80)
    assert (tally.next, tally.failure, tally.counts.redriven) == (Next.CLEAN_UP, "orders is gone", 13)


@pytest.mark.parametrize("rate", [50, 2000, 10_000])
def test_a_run_continues_in_a_new_execution_well_before_step_functions_ends_it(rate):
    tally, written = first_tally(factories.plan(rate=rate, waiting=MANY)), 0
    while tally.next is not Next.CONTINUE:
        # Every lane's task fails once in every round.
        written += EVENTS_OF_A_ROUND + len(tally.lanes) * (EVENTS_OF_A_LANE + EVENTS_OF_A_RETRY)
        slices = [MOVED.model_copy(update={"retries": 1})] * len(tally.lanes)
        tally = after(*slices, before=tally, in_queue=MANY, rate=rate)
    assert 5_000 < written < MAX_HISTORY_EVENTS
    assert tally.history_events == 0
    assert tally.lanes


@given(
    st.lists(st.tuples(st.integers(0, 74), st.lists(st.integers(0, 74), min_size=1, max_size=MAX_LANES)), max_size=9)
)
@settings(deadline=None)
def test_the_events_of_every_retry_are_counted(rounds):
    tally, written = Tally(), 0
    for retries, of_lanes in rounds:
        written += EVENTS_OF_A_ROUND + EVENTS_OF_A_LANE * len(of_lanes) + EVENTS_OF_A_RETRY * (retries + sum(of_lanes))
        slices = [MOVED.model_copy(update={"retries": of_lane}) for of_lane in of_lanes]
        queue = QueueCounts(visible=9)
        tally = tally_round(factories.plan(), tally, slices, queue=queue, retries=retries, max_history_events=10**6)
        assert written <= tally.history_events


def test_a_run_that_waits_continues_in_a_new_execution_too_and_does_not_wait_more_often_for_it():
    tally, steps = Tally(history_events=MAX_HISTORY_EVENTS), []
    while tally.next is not Next.CLEAN_UP:
        tally = after(DRAINED, before=tally, in_flight=3)
        steps.append(tally.next)
    assert steps == [Next.CONTINUE, *[Next.WAIT] * (MAX_WAITS - 1), Next.CLEAN_UP]


def test_the_end_takes_precedence_over_a_new_execution():
    old = Tally(history_events=MAX_HISTORY_EVENTS)
    assert after(DRAINED, before=old).next is Next.CLEAN_UP


def test_the_setting_decides_when_a_new_execution_starts():
    tally = tally_round(factories.plan(), Tally(), [MOVED], queue=QueueCounts(visible=9), max_history_events=1)
    assert tally.next is Next.CONTINUE


def test_the_tally_stays_far_below_the_limit_of_a_state():
    codes = {f"SomeVeryLongErrorCodeOfAQueue{n}": 10**9 for n in range(40)}
    slices = [SliceResult(failure_codes=codes, skip_reasons=codes, quarantine_reasons=codes, calls=codes)] * MAX_LANES
    tally = after(*slices, in_queue=9, rate=10_000)
    assert len(tally.model_dump_json()) < 256 * 1024 / 4


def test_what_was_given_back_is_counted_in_the_last_round_only():
    first = after(result(redriven=3, released=4), result(released=2), in_queue=80)
    assert first.counts.released == 6
    assert after(result(redriven=6, released=1), before=first).counts.released == 1


def test_a_queue_that_messages_were_given_back_to_is_not_empty():
    assert not after(SliceResult(drained=True, counts=Counts(released=1))).drained


def test_the_tally_has_the_queue_as_the_round_left_it():
    assert after(DRAINED, delayed=25, in_flight=3).queue == QueueCounts(delayed=25, in_flight=3)


# The end


def test_what_an_interrupted_round_gave_back_replaces_what_the_one_before_gave_back():
    before = Tally(counts=Counts(released=5))
    assert final_tally(before, [], []).counts.released == 5
    assert final_tally(before, [result(released=2), result(released=1)], []).counts.released == 3


def test_at_the_end_skipped_and_failed_are_the_messages_that_were_held():
    tally = Tally(
        counts=Counts(redriven=5, skipped=9, bounced=9, failed=4),
        skip_reasons={"came-back": 9},
        failure_codes={"X": 4},
    )
    held = [
        HeldRecord("m-1", "h-1", "came-back", failed=False),
        HeldRecord("m-2", "h-2", "InternalError", failed=True),
        HeldRecord("m-3", "h-3", "came-back", failed=False),
        HeldRecord("m-4", "h-4", "not-selected", failed=False),
    ]
    final = final_tally(tally, [], held)
    assert final.counts == Counts(redriven=5, skipped=3, bounced=2, failed=1)
    assert final.skip_reasons == {"came-back": 2, "not-selected": 1}
    assert final.failure_codes == {"InternalError": 1}


def test_at_the_end_the_lanes_of_an_interrupted_round_are_added():
    interrupted = SliceResult(counts=Counts(redriven=3), duplicates_possible=1)
    final = final_tally(Tally(counts=Counts(redriven=5)), [interrupted], [])
    assert (final.counts.redriven, final.duplicates_possible) == (8, 1)
