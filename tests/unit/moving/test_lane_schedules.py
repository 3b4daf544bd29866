"""The lane in any schedule: all verdicts and destinations, all errors of all requests, stops, deadlines, crashes.

The schedules are the same in each run. To explore others, say how many of each test:
LANE_SCHEDULES=20000 python -m pytest tests/unit/moving/test_lane_schedules.py
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lane_checks import (
    check,
    check_order,
    check_that_nothing_is_lost,
    check_that_only_skipped_messages_stay,
)
from tests.support.lane_player import VISIBILITY
from tests.support.lane_worlds import World, worlds
from tests.support.model_sqs import CALM

RESTART = VISIBILITY + 1

pytestmark = pytest.mark.slow


def schedules(number: int) -> settings:
    explored = int(os.environ.get("LANE_SCHEDULES", "0"))
    return settings(
        max_examples=explored or number,
        derandomize=not explored,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@given(worlds())
@schedules(2000)
def test_in_any_schedule_every_message_is_moved_or_stays_and_is_counted_as_what_happened(world: World):
    lane = world.lane()
    check(world, lane, world.play(lane))


@given(worlds(fifo=True))
@schedules(1500)
def test_in_any_schedule_a_fifo_queue_keeps_its_order_too(world: World):
    lane = world.lane()
    check(world, lane, world.play(lane))


@given(worlds(calm=True) | worlds(calm=True, fifo=True))
@schedules(300)
def test_if_nothing_goes_wrong_everything_that_should_leave_leaves_once(world: World):
    lane = world.lane()
    evidence = world.play(lane)
    check(world, lane, evidence)
    check_that_only_skipped_messages_stay(world)
    assert world.sqs.copies == dict.fromkeys(world.sqs.deleted, 1)
    assert lane.result().drained
    assert not lane.undeleted


@given(worlds() | worlds(fifo=True))
@schedules(800)
def test_what_a_slice_leaves_the_next_one_finishes(world: World):
    first = world.lane()
    evidence = world.play(first)
    before = world.sqs.copies
    world.sqs.release([record.receipt_handle for record in evidence.records], evidence.ended)
    world.sqs.fate = lambda _: CALM
    world.stop_at, world.seconds = float("inf"), 3000
    start = evidence.ended + RESTART
    second = world.lane(start, first.undeleted, quota=None)
    world.play(second, start=start, sent_before=set(first.undeleted))
    check_that_only_skipped_messages_stay(world)
    check_that_nothing_is_lost(world)
    check_order(world, evidence)
    twice = {name for name, copies in world.sqs.copies.items() if copies > 1}
    assert twice <= evidence.uncertain.keys() | (before.keys() - evidence.accepted.keys())


@given(worlds() | worlds(fifo=True), st.integers(1, 40))
@schedules(800)
def test_a_crash_at_any_point_loses_nothing_and_doubles_at_most_what_was_in_hand(world: World, requests):
    first = world.lane()
    evidence = world.play(first, crash_after=requests)
    if not evidence.crashed:
        return
    in_hand = first.in_hand
    world.sqs.release([record.receipt_handle for record in evidence.records], evidence.ended)
    world.sqs.fate = lambda _: CALM
    world.stop_at, world.seconds = float("inf"), 8000
    # Nothing else is invisible for longer: whatever was held was recorded before, and is released.
    start = evidence.ended + RESTART
    second = world.lane(start, quota=None)
    world.play(second, start=start)
    check_that_only_skipped_messages_stay(world)
    check_that_nothing_is_lost(world)
    twice = {name for name, copies in world.sqs.copies.items() if copies > 1}
    assert len(twice) <= in_hand + first.result().duplicates_possible + len(first.undeleted)
