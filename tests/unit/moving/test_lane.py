"""What a lane does with a queue, one behavior at a time; test_lane_schedules.py combines the failures."""

from itertools import pairwise

import pytest

from redrive.domain.moving.actions import BatchResult, Receive, Received, Send, SetVisibility
from redrive.domain.moving.lane_settings import Notes
from redrive.domain.moving.retries import MAX_ATTEMPTS
from tests.support.lane_player import VISIBILITY, Evidence
from tests.support.lane_worlds import (
    FUNCTION,
    GONE,
    LIMIT,
    ORDERS,
    ORDERS_FIFO,
    QUARANTINE,
    REFUSED,
    SEND,
    THROTTLED,
    TIMEOUT,
    UNCERTAIN,
    WORKFLOW,
    Wish,
    World,
    plot,
)
from tests.support.model_sqs import CALM, Fate

SKIP = Wish(reason="not-selected")
QUARANTINED = Wish(QUARANTINE, reason="not-json")


def moved(world: World, **keys) -> tuple[Evidence, object]:
    """Play a world to its end and return the evidence and the result."""
    lane = world.lane(**keys)
    return world.play(lane), lane.result()


def fails(kind: str, *fates: Fate):
    """Return the fates of the first requests of a kind."""
    return plot({(kind, number): fate for number, fate in enumerate(fates)})


def entry(error, *places: int) -> Fate:
    return Fate(entries=dict.fromkeys(places or (0,), error))


# Nothing fails


def test_every_message_goes_back_once_and_leaves_the_queue():
    world = World([SEND] * 237)
    _, result = moved(world)
    assert (result.counts.redriven, result.drained) == (237, True)
    assert world.sqs.copies == dict.fromkeys(world.wish_of, 1)
    assert not world.sqs.stored


def test_a_full_queue_takes_three_requests_for_ten_messages():
    world = World([SEND] * 10_000)
    moved(world)
    assert world.sqs.calls.total() / 10_000 <= 0.305


def test_requests_are_counted_by_their_kind():
    world = World([SEND] * 30)
    _, result = moved(world)
    assert result.calls == world.sqs.calls


def test_an_empty_queue_is_polled_three_times_in_a_row():
    world = World([])
    _, result = moved(world, concurrency=1)
    assert (result.counts.redriven, result.drained, world.sqs.calls) == (0, True, {"Receive": 3})


def test_after_an_empty_answer_a_lane_polls_one_at_a_time():
    world = World([])
    moved(world)
    # Ten at once, because nothing was known of the queue.
    assert world.sqs.calls["Receive"] == 10


def test_a_message_that_arrives_between_empty_answers_starts_the_count_anew():
    world = World([SEND])
    world.sqs.stored["000"].visible_at = 1.5
    _, result = moved(world, concurrency=1)
    assert (result.counts.redriven, world.sqs.calls["Receive"]) == (1, 6)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("rate", [1, 5, 50, 5000])
def test_a_fifo_queue_is_moved_to_its_end_although_it_locks_groups_in_hand(rate, groups):
    world = World([Wish(ORDERS_FIFO)] * 60, fifo=True, groups=groups, rate=rate)
    _, result = moved(world)
    assert (result.counts.redriven, len(world.sqs.stored)) == (60, 0)


def test_in_a_fifo_queue_an_empty_answer_counts_only_with_nothing_in_hand():
    world = World([Wish(ORDERS_FIFO)] * 2, fifo=True, rate=0.2)
    _, result = moved(world)
    assert result.drained
    # Three polls at the end; those made while messages waited for their turn say nothing.
    assert world.sqs.calls["Receive"] > 6


def test_large_messages_are_packed_by_bytes():
    world = World([SEND] * 30, padding=dict.fromkeys(range(30), 200_000))
    moved(world)
    # The model refuses a batch above 1 MiB.
    assert world.sqs.copies.total() == 30
    assert world.sqs.calls["Send"] == 6


def test_functions_and_state_machines_get_one_message_per_request():
    world = World([Wish(FUNCTION)] * 5 + [Wish(WORKFLOW)] * 5)
    moved(world)
    assert world.sqs.calls["Send"] == 10


def test_the_quarantine_is_not_throttled():
    world = World([QUARANTINED] * 20, rate=1)
    evidence, result = moved(world)
    assert (result.counts.quarantined, result.quarantine_reasons) == (20, {"not-json": 20})
    assert evidence.ended < 6
    assert result.seconds == 0.0


def test_at_a_low_rate_the_destination_whose_message_waits_longest_comes_first():
    world = World([SEND] * 10 + [Wish(FUNCTION)] * 10 + [SEND] * 10, rate=1)
    moved(world, concurrency=2)
    assert [delivery.name for delivery in world.sqs.deliveries] == sorted(world.wish_of)


def test_sending_takes_the_seconds_from_the_first_message_to_when_the_rate_allows_the_next():
    _, result = moved(World([SEND] * 20, rate=2))
    assert result.seconds == pytest.approx(10.0, abs=0.5)


def test_the_seconds_of_sending_are_given_in_milliseconds():
    _, result = moved(World([SEND], rate=7))
    assert result.seconds == 0.143


def test_an_incomplete_batch_waits_a_little_for_more_messages():
    world = World([SEND] * 15, fate=fails("receive", Fate(), Fate(effect=0.1, answer=0.15)))
    moved(world, concurrency=2)
    assert world.sqs.calls["Send"] == 2


def test_an_incomplete_batch_does_not_wait_long():
    world = World([SEND] * 5)
    evidence, _ = moved(world)
    assert evidence.sends[0][0] == pytest.approx(0.22, abs=0.05)


def test_incomplete_batches_of_deletes_wait_a_second_for_more():
    evidence, _ = moved(World([SEND] * 3 + [SKIP] * 2, concurrency=2))
    accepted = evidence.times["send"][0] + 0.02
    assert evidence.times["delete"] == [pytest.approx(accepted + 1.0, abs=0.01)]


def test_messages_are_held_as_soon_as_they_are_recorded():
    evidence, _ = moved(World([SKIP] * 2 + [SEND] * 8, rate=1, beat_every=2))
    assert evidence.times["hold"] == [2.0]


def test_releases_do_not_wait_even_while_a_message_is_being_sent():
    world = World([SEND] * 9, rate=1, stop_at=1.5, fate=fails("send", Fate(), Fate(answer=5)))
    evidence, _ = moved(world)
    assert evidence.times["release"] == [1.5]


def test_messages_in_hand_are_checked_for_their_visibility_every_five_seconds():
    # Received at once, due after 30 seconds, and extended at the first check with less than 12 seconds left.
    evidence, _ = moved(World([SEND] * 50, rate=1))
    assert 18 < evidence.times["extend"][0] < 23
    assert evidence.times["extend"][0] % 5 < 1


def test_nothing_waits_once_nothing_more_is_received():
    world = World([SEND] * 5, quota=5)
    evidence, _ = moved(world)
    assert evidence.ended < 0.2


# Limits


def test_a_quota_is_exact_and_the_rest_is_visible_at_once():
    world = World([SEND] * 100, quota=37)
    evidence, result = moved(world)
    assert (result.counts.redriven, result.drained) == (37, False)
    assert len(world.sqs.stored) == 63
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())


def test_skipped_messages_do_not_use_up_the_quota():
    world = World([SKIP, SEND] * 20, quota=15)
    _, result = moved(world)
    assert result.counts.redriven == 15


def test_refused_messages_do_not_use_up_the_quota():
    world = World([SEND] * 30, quota=15, fate=fails("send", entry(REFUSED, *range(5))))
    _, result = moved(world)
    assert (result.counts.redriven, result.counts.failed) == (15, 5)


def test_a_lane_without_quota_asks_for_nothing():
    world = World([SEND] * 3, quota=0)
    _, result = moved(world)
    assert (result.counts.redriven, world.sqs.calls) == (0, {})


def test_requests_and_messages_in_hand_stay_within_their_bounds():
    evidence, _ = moved(World([SEND] * 200, rate=20, concurrency=3, in_hand=40))
    assert (evidence.most_in_flight, evidence.most_in_hand) == (3, 40)


def test_bytes_in_hand_stay_within_their_bound():
    world = World([SEND] * 100, padding=dict.fromkeys(range(100), 100_000), rate=5, in_hand_bytes=4_000_000)
    evidence, result = moved(world, concurrency=2)
    assert result.counts.redriven == 100
    assert 25 <= evidence.most_in_hand <= 40


def test_nothing_is_received_once_the_time_is_up_and_what_is_in_hand_is_still_sent():
    world = World([SEND] * 100, rate=10, in_hand=20, seconds=3)
    evidence, result = moved(world)
    assert not result.drained
    assert 3 < evidence.ended < 8
    assert 30 <= result.counts.redriven <= 60
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())


def test_at_the_deadline_what_is_not_sent_is_released():
    world = World([SEND] * 100, rate=1, seconds=2, grace=3)
    evidence, result = moved(world)
    assert result.counts.redriven in {3, 4}
    assert evidence.ended < 6
    assert not result.stopped
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())


# Stops and errors that end a lane


def test_a_stop_finishes_what_is_under_way_and_releases_the_rest():
    world = World([SEND] * 500, rate=50, stop_at=2.5)
    evidence, result = moved(world)
    assert result.stopped
    assert 0 < result.counts.redriven < 500
    assert world.sqs.copies.total() == result.counts.redriven == 500 - len(world.sqs.stored)
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())
    assert evidence.ended < 3


@pytest.mark.parametrize("kind", ["receive", "send", "delete", "extend"])
def test_a_queue_that_is_gone_ends_the_lane_at_once(kind):
    world = World([SEND] * 100, rate=1, fate=plot({(kind, -1): Fate(GONE)}))
    lane = world.lane()
    evidence = world.play(lane)
    assert lane.failure is not None
    assert (type(lane.failure[0]).__name__.lower(), lane.failure[1]) == (kind.replace("extend", "setvisibility"), GONE)
    assert evidence.ended < 30
    assert lane.result().counts.failed == 0


def test_the_first_error_is_the_one_that_is_reported():
    world = World([SEND] * 20, fate=plot({("send", -1): Fate(GONE), ("release", -1): Fate(LIMIT)}))
    lane = world.lane()
    world.play(lane)
    assert lane.failure[1] == GONE


@pytest.mark.parametrize("error", [REFUSED, LIMIT])
def test_a_receive_that_is_refused_ends_the_lane(error):
    lane = (world := World([SEND] * 5, fate=plot({("receive", -1): Fate(error)}))).lane(concurrency=1)
    evidence = world.play(lane)
    assert lane.failure[1] == error
    assert world.sqs.calls == {"Receive": 1}
    assert evidence.ended < 1


@pytest.mark.parametrize("error", [THROTTLED, UNCERTAIN])
def test_a_receive_is_tried_six_times_with_growing_pauses(error):
    lane = (world := World([SEND] * 5, fate=plot({("receive", -1): Fate(error)}))).lane(concurrency=1)
    evidence = world.play(lane)
    assert lane.failure[1] == error
    assert world.sqs.calls == {"Receive": 6}
    assert 3 < evidence.ended < 7


def test_receives_that_fail_now_and_then_do_not_end_the_lane():
    fates = {("receive", number): Fate(THROTTLED) for number in range(60) if number % 6}
    world = World([SEND] * 80, fate=plot(fates))
    _, result = moved(world, concurrency=1)
    assert result.counts.redriven == 80


# Sends that fail


@pytest.mark.parametrize("error", [THROTTLED, UNCERTAIN])
def test_a_message_is_sent_six_times_and_then_stays(error):
    world = World([SEND], fate=plot({("send", -1): Fate(error)}))
    evidence, result = moved(world)
    assert world.sqs.calls["Send"] == 6
    assert (result.counts.failed, result.failure_codes) == (1, {error.code: 1})
    assert [(record.message_id, record.reason, record.failed) for record in evidence.records] == [
        ("000", error.code, True)
    ]


def test_a_message_whose_sixth_send_succeeds_leaves():
    world = World([SEND], fate=fails("send", *[Fate(THROTTLED)] * 5))
    _, result = moved(world)
    assert (result.counts.redriven, result.counts.failed) == (1, 0)


def test_pauses_between_sends_double():
    world = World([SEND], fate=fails("send", *[Fate(THROTTLED)] * 5))
    evidence, _ = moved(world)
    times = [at for at, _, _ in evidence.sends]
    pauses = [after - before for before, after in pairwise(times)]
    for number, pause in enumerate(pauses, 1):
        assert 0.1 * 2**number / 2 <= pause <= 0.1 * 2**number + 0.03


def test_entries_that_fail_because_of_their_queue_end_the_lane_and_nothing_is_refused():
    world = World([SEND] * 100, fate=fails("send", entry(GONE, *range(10))))
    lane = world.lane()
    evidence = world.play(lane)
    assert (type(lane.failure[0]).__name__, lane.failure[1]) == ("Send", GONE)
    assert lane.result().counts.failed == lane.result().counts.quarantined == 0
    assert len(world.sqs.stored) == 100 - lane.result().counts.redriven >= 10
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())


@pytest.mark.parametrize("error", [REFUSED, LIMIT])
def test_an_entry_that_is_refused_stays_and_the_others_leave(error):
    world = World([SEND] * 40, fate=fails("send", entry(error, 3, 7)))
    _, result = moved(world)
    assert (result.counts.redriven, result.counts.failed) == (38, 2)
    assert result.failure_codes == {error.code: 2}
    assert len(world.sqs.stored) == 2


def test_after_a_batch_is_refused_as_a_whole_each_message_is_tried_alone():
    world = World([SEND] * 10, quota=10, fate=fails("send", Fate(REFUSED), Fate(REFUSED)))
    evidence, result = moved(world)
    assert [count for _, count, _ in evidence.sends] == [10] + [1] * 10
    assert (result.counts.redriven, result.counts.failed) == (9, 1)


def test_a_message_that_may_have_been_sent_counts_once_as_a_possible_duplicate():
    lost = Fate(TIMEOUT, carried_out=True)
    world = World([SEND] * 3, quota=3, fate=fails("send", lost, lost, lost))
    _, result = moved(world)
    assert world.sqs.copies.total() > 3
    assert result.duplicates_possible == 3


@pytest.mark.parametrize(("wish", "possible"), [(Wish(ORDERS_FIFO), 0), (Wish(WORKFLOW), 1)])
def test_a_destination_that_drops_repeated_sends_gets_no_duplicates(wish, possible):
    world = World([wish], fate=fails("send", Fate(TIMEOUT, carried_out=True)))
    _, result = moved(world)
    # A workflow may be an Express one, which starts again.
    assert (world.sqs.copies.total(), result.counts.redriven, result.duplicates_possible) == (1, 1, possible)


@pytest.mark.parametrize("wish", [Wish(ORDERS_FIFO), Wish(WORKFLOW)])
def test_what_may_have_been_sent_and_stays_may_be_sent_twice_by_a_later_run(wish):
    lost = Fate(TIMEOUT, carried_out=True)
    world = World([wish], fate=fails("send", *[lost] * MAX_ATTEMPTS))
    _, result = moved(world)
    assert (world.sqs.copies.total(), result.counts.failed, result.duplicates_possible) == (1, 1, 1)


@pytest.mark.parametrize("fate", [Fate(THROTTLED), Fate(REFUSED)])
def test_what_was_not_carried_out_is_no_possible_duplicate(fate):
    _, result = moved(World([SEND], fate=fails("send", fate)))
    assert result.duplicates_possible == 0


# Deletes, holds, releases, extensions


def test_a_message_that_was_sent_before_is_only_deleted():
    world = World([SEND] * 3)
    lane = world.lane(sent_before=frozenset({"000", "001"}))
    world.play(lane, sent_before={"000", "001"})
    assert world.sqs.copies == {"002": 1}
    assert not world.sqs.stored
    # What earlier slices have recorded isn't recorded again.
    assert not lane.undeleted


def test_a_delete_is_tried_until_the_slice_ends_and_the_message_is_remembered():
    world = World([SEND], seconds=100, fate=plot({("delete", -1): Fate(THROTTLED)}))
    lane = world.lane()
    evidence = world.play(lane)
    # Its visibility is extended until then, so that no other lane sends it again.
    assert evidence.times["extend"]
    assert 100 < evidence.times["delete"][-1] < 100 + VISIBILITY
    assert lane.undeleted == {"000"}


def test_a_lane_that_is_stopped_tries_a_delete_six_times():
    world = World([SEND], stop_at=0.5, fate=plot({("delete", -1): Fate(THROTTLED)}))
    lane = world.lane()
    world.play(lane)
    assert world.sqs.calls["Delete"] == 6
    assert lane.undeleted == {"000"}


def test_a_lane_whose_deletes_fail_sends_no_more_than_it_has_in_hand():
    world = World([SEND] * 100, in_hand=20, seconds=25, fate=plot({("delete", -1): Fate(THROTTLED)}))
    world.play(world.lane())
    assert world.sqs.copies.total() == 20


def test_a_deleted_message_is_not_remembered():
    world = World([SEND] * 12)
    lane = world.lane()
    world.play(lane)
    assert not lane.undeleted


def test_a_delete_confirmed_after_the_visibility_ran_out_proves_nothing():
    world = World([SEND], fate=fails("delete", Fate(effect=0.01, answer=40)))
    lane = world.lane(concurrency=2)
    world.play(lane)
    assert lane.undeleted == {"000"}


def test_skipped_messages_are_held_until_the_run_ends_with_their_reason():
    world = World([SEND] * 5 + [SKIP] * 3)
    evidence, result = moved(world)
    assert (result.counts.redriven, result.counts.skipped, result.skip_reasons) == (5, 3, {"not-selected": 3})
    assert all(stored.visible_at > evidence.ended + 3000 for stored in world.sqs.stored.values())
    assert {(record.message_id, record.receipt_handle, record.reason) for record in evidence.records} == {
        (name, stored.handle, "not-selected") for name, stored in world.sqs.stored.items()
    }


def test_what_was_recorded_is_not_recorded_again():
    world = World([SKIP])
    lane = world.lane()
    assert world.play(lane).records
    assert lane.notes() == Notes()


def test_bounced_messages_are_among_the_skipped():
    _, result = moved(World([Wish(reason="came-back")] * 2 + [SKIP]))
    assert (result.counts.bounced, result.counts.skipped) == (2, 3)


@pytest.mark.parametrize(("kind", "keys"), [("hold", {}), ("release", {"stop_at": 1.5})])
def test_holds_and_releases_are_tried_six_times(kind, keys):
    wish = SKIP if kind == "hold" else SEND
    world = World([wish] * 3, rate=1, fate=plot({(kind, -1): Fate(THROTTLED)}), **keys)
    evidence, _ = moved(world)
    assert world.sqs.calls["SetVisibility"] >= 6
    assert world.sqs.calls["SetVisibility"] <= 6 * 3
    assert evidence.ended < 12


def test_a_skipped_message_that_shows_again_is_neither_judged_nor_counted_again():
    world = World([SKIP, *[SEND] * 40], rate=0.5, in_hand=20, fate=fails("hold", entry(REFUSED)))
    evidence, result = moved(world)
    assert result.counts.skipped == 1
    assert [record.message_id for record in evidence.records] == ["000", "000"]
    assert evidence.records[-1].receipt_handle == world.sqs.stored["000"].handle


def test_a_refused_message_that_shows_again_is_not_sent_again():
    fates = plot({("send", 0): Fate(REFUSED), ("hold", 0): entry(REFUSED)})
    world = World([Wish(FUNCTION), *[SEND] * 40], rate=0.5, in_hand=20, fate=fates)
    evidence, result = moved(world)
    refused = evidence.records[-1]
    assert (result.counts.failed, result.counts.redriven) == (1, 40)
    assert (refused.reason, refused.failed, refused.receipt_handle) == (
        REFUSED.code,
        True,
        world.sqs.stored[refused.message_id].handle,
    )


def test_a_message_that_waits_long_gets_more_visibility_and_is_sent_once():
    world = World([SEND] * 100, rate=1)
    _, result = moved(world)
    assert result.counts.redriven == 100
    assert set(world.sqs.copies.values()) == {1}
    # Every message is extended at most once in 12 seconds, in batches of ten.
    assert 10 <= world.sqs.calls["SetVisibility"] <= 100


def test_a_message_that_is_sent_soon_enough_gets_no_more_visibility():
    world = World([SEND] * 30, rate=2)
    moved(world)
    assert world.sqs.calls["SetVisibility"] == 0


def test_a_message_released_while_it_waited_for_more_visibility_stays_visible():
    # The first ten are being extended, and the others wait for the only connection, when the lane stops.
    fates = plot({("extend", 0): Fate(effect=0.01, answer=5)})
    world = World([SEND] * 50, rate=1, concurrency=1, stop_at=22, fate=fates)
    evidence, _ = moved(world)
    assert len(evidence.times["extend"]) == 1
    assert evidence.times["extend"][0] < 22
    assert all(stored.visible_at <= evidence.ended for stored in world.sqs.stored.values())


def test_an_extension_that_fails_leaves_the_message_to_a_later_receive():
    world = World([SEND] * 40, rate=1, fate=plot({("extend", -1): Fate(THROTTLED)}))
    _, result = moved(world)
    assert result.counts.redriven == 40
    assert set(world.sqs.copies.values()) == {1}


def test_an_extension_confirmed_after_the_visibility_ran_out_counts_for_nothing():
    # The third message has its turn at 41 seconds, and its visibility ends at 30.
    world = World([SEND] * 3, rate=0.05, quota=3)
    lane = world.lane()
    (receive,) = lane.next(0.0)
    lane.outcome(receive, world.sqs.carry_out(receive, CALM, 0.0), 0.0)
    sent_at, extensions = [], []
    for now in map(float, range(60)):
        if now == VISIBILITY + 1:
            for action in extensions:
                lane.outcome(action, BatchResult(), now)
        for action in lane.next(now):
            if isinstance(action, SetVisibility):
                extensions.append(action)
                continue
            sent_at += [now] if isinstance(action, Send) else []
            lane.outcome(action, Received([]) if isinstance(action, Receive) else BatchResult(), now)
    assert extensions
    assert sent_at == [1.0, 21.0]


def test_nothing_is_received_after_the_time_is_up():
    lane = World([SEND], seconds=3).lane()
    assert lane.next(3.5) == []


def test_a_message_about_to_be_visible_again_is_not_sent():
    late = Fate(effect=0.01, answer=VISIBILITY - 1.9)
    world = World([SEND], fate=fails("receive", late))
    evidence, result = moved(world, concurrency=1)
    assert result.counts.redriven == 1
    assert evidence.sends[0][0] > VISIBILITY


def test_a_message_with_visibility_enough_is_sent():
    late = Fate(effect=0.01, answer=VISIBILITY - 2.5)
    world = World([SEND], fate=fails("receive", late))
    evidence, _ = moved(world, concurrency=1)
    assert evidence.sends[0][0] < VISIBILITY


# FIFO groups


def test_in_a_fifo_queue_a_refused_message_holds_back_its_group_and_no_other():
    world = World([Wish(ORDERS_FIFO)] * 60, fifo=True, groups=3, fate=fails("send", entry(REFUSED)))
    evidence, result = moved(world)
    left = {name for name in world.sqs.stored if world.group_of[name] == "g0"}
    assert left == world.sqs.stored.keys()
    assert (result.counts.failed, result.counts.redriven) == (1, 40)
    assert result.skip_reasons.keys() == {"group-waits"}
    assert not evidence.accepted.keys() & left


def test_in_a_fifo_queue_a_refused_quarantine_holds_back_what_goes_elsewhere():
    wishes = [QUARANTINED, Wish(ORDERS_FIFO), Wish(ORDERS_FIFO)]
    world = World(wishes, fifo=True, fate=fails("send", Fate(REFUSED)))
    _, result = moved(world)
    assert not world.sqs.copies
    assert (result.counts.failed, result.skip_reasons) == (1, {"group-waits": 2})


def test_in_a_fifo_queue_messages_of_a_group_arrive_in_order_wherever_they_go():
    wishes = [Wish(ORDERS_FIFO), QUARANTINED] * 20
    world = World(wishes, fifo=True, groups=2, rate=20)
    moved(world)
    for group in ("g0", "g1"):
        names = [delivery.name for delivery in world.sqs.deliveries if world.group_of[delivery.name] == group]
        assert names == sorted(names)
        assert len(names) == 20


def test_a_later_message_of_a_blocked_group_waits_too():
    fates = {("send", 0): Fate(REFUSED), ("hold", 0): entry(REFUSED, 0, 1, 2)}
    world = World([Wish(ORDERS_FIFO)] * 30, fifo=True, fate=plot(fates))
    # The first ten are visible again after their failed hold.
    _, result = moved(world)
    assert result.counts.redriven == 0
    assert result.counts.failed == 1


def test_out_of_a_standard_queue_one_message_of_a_group_at_a_time_goes_to_a_fifo_queue():
    world = World([Wish(ORDERS_FIFO)] * 12, groups=2, fate=fails("send", Fate(THROTTLED)))
    evidence, result = moved(world)
    assert result.counts.redriven == 12
    assert max(count for _, count, _ in evidence.sends) == 2


def test_out_of_a_standard_queue_a_refused_message_holds_back_its_group_of_a_fifo_queue():
    world = World([Wish(ORDERS_FIFO)] * 12, groups=3, fate=fails("send", Fate(entries={0: REFUSED})))
    _, result = moved(world)
    assert (result.counts.redriven, result.counts.failed) == (8, 1)
    assert result.skip_reasons == {"group-waits": 3}


def test_out_of_a_standard_queue_a_refused_message_holds_back_nothing_of_a_standard_queue():
    world = World([Wish(ORDERS)] * 12, fate=fails("send", Fate(entries={0: REFUSED})))
    _, result = moved(world)
    assert (result.counts.redriven, result.counts.failed) == (11, 1)


def test_in_a_fifo_queue_what_waits_behind_an_expired_message_is_released():
    late = Fate(effect=0.01, answer=VISIBILITY - 1)
    world = World([Wish(ORDERS_FIFO)] * 5, fifo=True, fate=fails("receive", late))
    _, result = moved(world)
    assert result.counts.redriven == 5
    assert [delivery.name for delivery in world.sqs.deliveries] == sorted(world.wish_of)


# One message is to blame


@pytest.mark.parametrize("error", [UNCERTAIN, TIMEOUT, REFUSED])
def test_a_message_that_fails_every_batch_it_is_in_fails_alone(error):
    def fate(action) -> Fate:
        guilty = isinstance(action, Send) and any(held.message.message_id == "003" for held in action.messages)
        return Fate(error) if guilty else CALM

    world = World([SEND] * 30, fate=fate)
    _, result = moved(world)
    assert (result.counts.redriven, result.failure_codes) == (29, {error.code: 1})
    assert world.sqs.copies == dict.fromkeys(world.wish_of.keys() - {"003"}, 1)
    assert list(world.sqs.stored) == ["003"]
