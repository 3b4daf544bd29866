"""A slow destination doesn't hold up the others: what exceeds its pace is received again later."""

import pytest

from redrive.domain.messages.destinations import Destination
from redrive.domain.moving.deferral import Deferral
from redrive.domain.moving.destination_rate import destination_rate
from tests.support import factories
from tests.support.lane_checks import check
from tests.support.lane_player import Evidence
from tests.support.lane_worlds import FUNCTION, INVOICES, ORDERS, ORDERS_FIFO, QUARANTINE, Wish, World


def last_send(evidence: Evidence, destination: Destination) -> float:
    return max(at for at, _, place in evidence.sends if place is destination)


def played(world: World) -> Evidence:
    lane = world.lane()
    evidence = world.play(lane)
    check(world, lane, evidence)
    assert lane.result().drained
    assert set(world.sqs.copies.values()) == {1}
    return evidence


@pytest.mark.parametrize("fast", [INVOICES, FUNCTION])
def test_messages_for_other_destinations_do_not_wait_for_a_slow_one(fast):
    slow = [Wish(ORDERS)] * 400
    world = World([*slow, *[Wish(fast)] * 200], rate=100, in_hand=200, max_rates={ORDERS.address: 10})
    evidence = played(world)
    # Two seconds for the fast ones, and half as long again because the slow ones stood in front of them.
    assert last_send(evidence, fast) < 4
    # The slow ones take the forty seconds that they need.
    assert 39 < last_send(evidence, ORDERS) < 46


def test_the_messages_of_a_slow_destination_are_received_a_few_times_only():
    world = World([Wish(ORDERS)] * 300 + [Wish(INVOICES)] * 10, rate=100, in_hand=200, max_rates={ORDERS.address: 10})
    evidence = played(world)
    # They come back ten at a time, and are asked for before the last of them is there.
    assert world.sqs.calls["Receive"] < 1.5 * 310
    assert len(evidence.times["defer"]) < 100


def test_a_run_with_nothing_but_a_slow_destination_defers_nothing():
    evidence = played(World([Wish(ORDERS)] * 50, rate=5, in_hand=20, max_rates={ORDERS.address: 5}))
    assert evidence.times["defer"] == []


@pytest.mark.parametrize(
    ("destination", "changes"),
    [
        (ORDERS_FIFO, {}),
        (ORDERS_FIFO, {"fifo": True, "groups": 3}),
        (ORDERS, {"defers": False}),
        (INVOICES, {}),
        (QUARANTINE, {}),
    ],
)
def test_what_has_an_order_or_no_max_rate_or_must_not_be_received_twice_is_never_deferred(destination, changes):
    wish = Wish(destination, reason="not-json" if destination is QUARANTINE else None)
    limits = {place.address: 4 for place in (ORDERS, ORDERS_FIFO)}
    assert played(World([wish] * 60, rate=100, in_hand=50, max_rates=limits, **changes)).times["defer"] == []


def deferral(max_rate: float = 10, **changes) -> Deferral:
    limit = factories.limit(max_rate, max_rate)
    return Deferral(
        {ORDERS.address: destination_rate(limit, 0, 1, began=-60.0, ends_at=60.0, epoch=0.0)},
        **({"enabled": True} | changes),
    )


def test_messages_come_back_one_after_the_other_at_the_pace_of_their_destination():
    slow = deferral()
    assert [slow.seconds(ORDERS, 9, 100, 0.0) for _ in range(3)] == [0, 0, 0]
    assert [slow.seconds(ORDERS, 10, 100, 0.0) for _ in range(25)] == [1] + [2] * 10 + [3] * 10 + [4] * 4


def test_no_message_is_deferred_for_longer_than_the_tally_waits():
    slow = deferral(1)
    delays = [slow.seconds(ORDERS, 5, 100, 0.0) for _ in range(60)]
    assert delays[:3] == [5, 6, 7]
    assert delays[30:] == [30] * 30
    # Later ones come after them, but the schedule doesn't run away.
    assert slow.seconds(ORDERS, 5, 100, 20.0) == 10


def test_only_so_many_messages_are_deferred_at_a_time():
    slow = deferral()
    assert sum(slow.seconds(ORDERS, 10, 100, 0.0) > 0 for _ in range(3000)) == 2000
    assert slow.seconds(ORDERS, 10, 100, 31.0) > 0
