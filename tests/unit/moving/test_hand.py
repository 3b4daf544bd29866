"""The messages in hand: which receipt handle counts when SQS returns a message again."""

from copy import replace

from redrive.domain.judging.verdicts import Skip
from redrive.domain.moving.counting import LaneCounts
from redrive.domain.moving.hand import Hand
from redrive.domain.moving.intake import Intake
from redrive.domain.moving.transitions import HeldRecord, InHand, Stage
from tests.support import factories

MESSAGE = factories.received(message_id="m-1")


def received(handle: str):
    return replace(MESSAGE, receipt_handle=handle)


def hand_that_skips(counts: LaneCounts | None = None) -> Hand:
    """Return a hand whose messages all stay in the queue."""
    return Hand(
        fifo=False,
        alone=True,
        judge=lambda _: Skip("not-selected"),
        intake=Intake(fifo=False, uncommitted=None, max_in_hand=10, max_bytes=10_000),
        counts=counts or LaneCounts(),
        sent_before=(),
        blocked=(),
        jitter=lambda: 0.5,
        deferral=lambda _held, _now: 0,
    )


def waiting_in(hand: Hand) -> InHand:
    (held,) = hand.waiting[Stage.RECORDING]
    return held


def test_a_message_received_again_while_in_hand_has_the_later_handle():
    hand = hand_that_skips()
    hand.take_in(received("first"), visible_until=30, now=0)
    hand.take_in(received("second"), visible_until=61, now=31)
    held = waiting_in(hand)
    assert (held.message.receipt_handle, held.visible_until, len(hand)) == ("second", 61, 1)


def test_an_answer_that_was_overtaken_does_not_bring_an_old_handle_back():
    hand = hand_that_skips()
    hand.take_in(received("second"), visible_until=61, now=31)
    hand.take_in(received("first"), visible_until=30, now=32)
    held = waiting_in(hand)
    assert (held.message.receipt_handle, held.visible_until) == ("second", 61)


def held_once(hand: Hand, handle: str, visible_until: float, now: float) -> None:
    """Take a message in, record its handle, and let SQS confirm that it is held."""
    hand.take_in(received(handle), visible_until, now)
    hand.keeping.recorded([held.record() for held in hand.waiting[Stage.RECORDING]], now)
    held = hand.waiting[Stage.HOLDING].popleft()
    hand.held_or_released(held, handle, None, now)


def test_a_message_that_is_held_already_is_not_taken_in_by_an_answer_that_was_overtaken():
    hand = hand_that_skips()
    held_once(hand, "second", visible_until=61, now=31)
    hand.take_in(received("first"), visible_until=30, now=32)
    assert len(hand) == 0


def test_a_message_that_is_held_already_and_visible_again_is_recorded_with_its_later_handle_and_counted_once():
    counts = LaneCounts()
    hand = hand_that_skips(counts)
    held_once(hand, "first", visible_until=30, now=0)
    hand.take_in(received("second"), visible_until=61, now=31)
    assert waiting_in(hand).record() == HeldRecord("m-1", "second", "not-selected", failed=False)
    held_once(hand, "second", visible_until=61, now=31)
    assert counts.result(drained=False, stopped=False).counts.skipped == 1


def test_a_message_received_again_before_it_is_held_waits_until_its_later_handle_is_recorded():
    hand = hand_that_skips()
    hand.take_in(received("first"), visible_until=30, now=0)
    hand.keeping.recorded([waiting_in(hand).record()], now=0)
    hand.take_in(received("second"), visible_until=61, now=31)
    assert not hand.keeping.to_hold(now=31)
    hand.keeping.recorded([waiting_in(hand).record()], now=32)
    assert [held.handle for held in hand.keeping.to_hold(now=32)] == ["second"]


def test_a_record_of_an_older_handle_does_not_count():
    hand = hand_that_skips()
    hand.take_in(received("first"), visible_until=30, now=0)
    older = waiting_in(hand).record()
    hand.take_in(received("second"), visible_until=61, now=31)
    hand.keeping.recorded([older], now=32)
    assert waiting_in(hand).handle == "second"
    assert not hand.keeping.to_hold(now=32)
