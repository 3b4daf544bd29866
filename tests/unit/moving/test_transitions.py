"""The table of transitions: every row is needed, no other is used, and anything else is an error."""

from collections.abc import Callable
from typing import Any

import pytest

from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.moving import transitions
from redrive.domain.moving.transitions import TRANSITIONS, Event, IllegalTransitionError, InHand, Stage
from tests.support import factories
from tests.support.lane_worlds import ORDERS, REFUSED, SEND, THROTTLED, UNCERTAIN, Wish, World, plot
from tests.support.model_sqs import Fate

SKIP = Wish(reason="not-selected")
SLOW: dict[str, Any] = {"max_rates": {ORDERS.address: 2}}
LATE = Fate(effect=0.01, answer=29.5)


def entry(error, place: int = 0) -> Fate:
    return Fate(entries={place: error})


def move(wishes: list[Wish], fates: dict | None = None, **keys) -> None:
    sent_before = keys.pop("sent_before", frozenset())
    world = World(wishes, fate=plot(fates or {}), **keys)
    world.play(world.lane(sent_before=sent_before), sent_before=set(sent_before))


# Together, these use every row of the table.
SCHEDULES: dict[str, Callable[[], None]] = {
    "one message is sent, another is skipped": lambda: move([SEND, SKIP]),
    "a message was sent before": lambda: move([SEND], sent_before=frozenset({"000"})),
    "a skipped message shows again": lambda: move(
        [SKIP, *[SEND] * 40], {("hold", 0): entry(REFUSED)}, rate=0.5, in_hand=20
    ),
    "the lane stops before everything is sent and received": lambda: move(
        [SEND] * 30, {("receive", 0): Fate(effect=0.001, answer=3)}, rate=1, stop_at=1.5
    ),
    "a message waits until its visibility runs out": lambda: move([SEND], {("receive", 0): LATE}),
    "a send is throttled": lambda: move([SEND], {("send", 0): Fate(THROTTLED)}),
    "a send is refused in a FIFO queue": lambda: move([SEND] * 3, {("send", 0): Fate(REFUSED)}, fifo=True),
    "a send fails while the lane stops": lambda: move([SEND], {("send", 0): Fate(THROTTLED, answer=2)}, stop_at=1),
    "a delete fails, then succeeds": lambda: move([SEND], {("delete", 0): Fate(UNCERTAIN)}),
    "a delete fails for good": lambda: move([SEND], {("delete", 0): entry(REFUSED)}),
    "a message is received again while it is deleted": lambda: move(
        [SEND] * 38,
        {("delete", 0): Fate(entries={0: THROTTLED}, effect=45, answer=46), ("extend", -1): Fate(REFUSED)},
        rate=0.5,
        in_hand=20,
    ),
    "a message is received again while it is held": lambda: move(
        [SKIP, *[SEND] * 40], {("hold", 0): Fate(effect=45, answer=46)}, rate=0.5, in_hand=20
    ),
    "a message is received again while it is released": lambda: move(
        [SEND] * 9,
        {("receive", 1): Fate(effect=2.0, answer=2.5), ("release", 0): Fate(effect=0.01, answer=3)},
        rate=1,
        stop_at=1.5,
    ),
    "the slice ends before a record is written": lambda: move([SKIP], seconds=1, grace=0, beat_every=5),
    "the lane loses its place while messages are about to be held": lambda: move(
        [SKIP] * 12, {("hold", 0): Fate(effect=0.01, answer=3)}, concurrency=1, beat_every=0.5, stop_at=2, lost=True
    ),
    "a hold fails, then succeeds": lambda: move([SKIP], {("hold", 0): Fate(THROTTLED)}),
    "a message for a slow destination is deferred": lambda: move([SEND] * 9, **SLOW),
    "a deferral fails, then succeeds": lambda: move([SEND] * 9, {("defer", 0): Fate(THROTTLED)}, **SLOW),
    "a deferred message is received again": lambda: move(
        [SEND] * 120, {("defer", 0): Fate(effect=45, answer=46)}, **SLOW
    ),
    "a deferral fails for good": lambda: move([SEND] * 9, {("defer", 0): entry(REFUSED)}, **SLOW),
    "a release fails, then succeeds": lambda: move([SEND] * 9, {("release", 0): entry(THROTTLED)}, rate=1, stop_at=1.5),
    "a release fails for good": lambda: move([SEND] * 9, {("release", 0): entry(REFUSED)}, rate=1, stop_at=1.5),
}


def play_all() -> None:
    for schedule in SCHEDULES.values():
        schedule()


@pytest.fixture
def used(monkeypatch) -> set:
    """Return the rows that are used during the test."""
    rows = set()

    class Recording(dict):
        def get(self, key, default=None):
            rows.add(key)
            return super().get(key, default)

    monkeypatch.setattr(transitions, "TRANSITIONS", Recording(TRANSITIONS))
    return rows


def test_the_schedules_use_every_row_and_no_other(used):
    play_all()
    assert used == TRANSITIONS.keys()


@pytest.mark.parametrize(
    ("schedule", "stage", "event", "other"),
    [
        ("one message is sent, another is skipped", Stage.DELETING, Event.DONE, Event.ABANDONED),
        ("one message is sent, another is skipped", Stage.HOLDING, Event.DONE, Event.ABANDONED),
        ("a delete fails for good", Stage.DELETING, Event.ABANDONED, Event.DONE),
        ("a release fails for good", Stage.RELEASING, Event.ABANDONED, Event.TRIED_AGAIN),
        ("a delete fails, then succeeds", Stage.DELETING, Event.TRIED_AGAIN, Event.ABANDONED),
        ("a release fails, then succeeds", Stage.RELEASING, Event.TRIED_AGAIN, Event.ABANDONED),
        ("a message for a slow destination is deferred", Stage.DEFERRING, Event.DONE, Event.ABANDONED),
        ("a deferral fails, then succeeds", Stage.DEFERRING, Event.TRIED_AGAIN, Event.ABANDONED),
        ("a deferral fails for good", Stage.DEFERRING, Event.ABANDONED, Event.TRIED_AGAIN),
        ("a hold fails, then succeeds", Stage.HOLDING, Event.TRIED_AGAIN, Event.ABANDONED),
    ],
)
def test_a_request_is_done_repeated_or_abandoned_as_it_was_answered(schedule, stage, event, other, used):
    SCHEDULES[schedule]()
    assert (stage, event) in used
    assert (stage, other) not in used


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row[0]}, {row[1]}")
def test_without_any_row_a_schedule_fails(row, monkeypatch):
    without = {key: stage for key, stage in TRANSITIONS.items() if key != row}
    monkeypatch.setattr(transitions, "TRANSITIONS", without)
    with pytest.raises(IllegalTransitionError):
        play_all()


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("event", Event)
def test_only_the_transitions_of_the_table_are_possible(stage, event):
    held = InHand(ReceivedMessage.from_sqs(factories.message()), 30.0, 0.0, stage)
    if (stage, event) in TRANSITIONS:
        assert held.advance(event, 1.0) is held.stage is TRANSITIONS[stage, event]
    else:
        with pytest.raises(IllegalTransitionError, match=f"{event} can't happen to a message that is {stage}"):
            held.advance(event, 1.0)
        assert held.stage is stage


def test_only_accepted_messages_and_those_sent_before_are_ever_deleted():
    leading = {event for (_, event), stage in TRANSITIONS.items() if stage is Stage.DELETING}
    assert leading == {Event.ACCEPTED, Event.SENT_BEFORE, Event.TRIED_AGAIN, Event.SEEN_AGAIN}
    assert {stage for (stage, event) in TRANSITIONS if event is Event.ACCEPTED} == {Stage.SENDING}


def test_nothing_happens_to_a_message_that_is_forgotten():
    assert not [row for row in TRANSITIONS if row[0] is Stage.FORGOTTEN]


def test_attempts_count_over_all_sends_and_start_again_in_the_next_stage():
    held = InHand(ReceivedMessage.from_sqs(factories.message()), 30.0, 0.0, Stage.BUFFERED)
    held.attempts = 2
    for event in (Event.TAKEN, Event.TRIED_AGAIN, Event.TAKEN):
        held.advance(event, 5.0)
        assert (held.attempts, held.since) == (2, 0.0)
    held.advance(Event.ACCEPTED, 6.0)
    assert (held.attempts, held.since) == (0, 6.0)
