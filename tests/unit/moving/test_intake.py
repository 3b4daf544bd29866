"""How many messages a lane asks for, and when its queue counts as empty."""

import pytest

from redrive.domain.moving.actions import Receive
from redrive.domain.moving.intake import Intake

EMPTY_HANDED = Receive(10, 0.0, empty_handed=True)
WITH_MESSAGES = Receive(10, 0.0, empty_handed=False)


def intake(**values) -> Intake:
    return Intake(**({"fifo": False, "uncommitted": None, "max_in_hand": 320, "max_bytes": 1_000_000} | values))


def test_ten_messages_at_a_time_in_ten_receives_at_a_time():
    taking = intake()
    for _ in range(10):
        assert taking.wanted(0) == 10
        taking.start(10)
    assert taking.wanted(0) == 0
    taking.end(EMPTY_HANDED)
    assert taking.wanted(0) == 10


def test_a_fifo_queue_is_asked_once_at_a_time():
    taking = intake(fifo=True)
    taking.start(10)
    assert taking.wanted(0) == 0


def test_after_an_empty_answer_a_queue_is_asked_once_at_a_time_until_messages_come():
    taking = intake()
    taking.answered(EMPTY_HANDED, 0)
    taking.start(10)
    assert taking.wanted(0) == 0
    taking.answered(EMPTY_HANDED, 1)
    assert taking.wanted(0) == 10


@pytest.mark.parametrize(("in_hand", "wanted"), [(0, 10), (10, 10), (11, 0), (20, 0)])
def test_messages_in_hand_and_requested_stay_below_their_limit(in_hand, wanted):
    taking = intake(max_in_hand=20)
    assert taking.wanted(in_hand) == wanted
    taking.start(10)
    assert taking.wanted(in_hand) == (10 if in_hand == 0 else 0)


@pytest.mark.parametrize(("uncommitted", "wanted"), [(25, 10), (10, 10), (7, 7), (1, 1), (0, 0), (-1, 0)])
def test_no_more_is_requested_than_the_quota_allows(uncommitted, wanted):
    assert intake(uncommitted=uncommitted).wanted(0) == wanted


def test_what_is_requested_counts_against_the_quota():
    taking = intake(uncommitted=13)
    taking.start(10)
    assert taking.wanted(0) == 3
    taking.start(3)
    assert taking.wanted(0) == 0


@pytest.mark.parametrize(("in_hand_bytes", "wanted"), [(333_333, 10), (334_000, 0), (999_999, 0)])
def test_bytes_in_hand_leave_room_for_messages_of_the_same_size(in_hand_bytes, wanted):
    taking = intake()
    taking.bytes_in_hand = in_hand_bytes
    # Five in hand; ten more of the same size make three times as many bytes.
    assert taking.wanted(5) == wanted


def test_bytes_of_requested_messages_count_too():
    taking = intake()
    taking.bytes_in_hand = 300_000
    taking.start(10)
    assert taking.wanted(10) == 10
    taking.start(10)
    assert taking.wanted(10) == 0


def test_three_empty_answers_in_a_row_mean_that_the_queue_is_drained():
    taking = intake()
    for count in (0, 0, 1, 0, 0):
        taking.answered(EMPTY_HANDED, count)
        assert not taking.drained
    taking.answered(WITH_MESSAGES, 0)
    assert taking.drained
    assert taking.exhausted


def test_an_empty_answer_of_a_fifo_queue_with_messages_in_hand_says_nothing():
    taking = intake(fifo=True)
    for action in (EMPTY_HANDED, EMPTY_HANDED, WITH_MESSAGES, EMPTY_HANDED, EMPTY_HANDED):
        taking.answered(action, 0)
        assert not taking.drained
    taking.answered(EMPTY_HANDED, 0)
    assert taking.drained


def test_a_queue_known_to_hold_a_message_is_not_drained():
    taking = intake()
    for _ in range(3):
        taking.answered(EMPTY_HANDED, 0)
    taking.not_empty()
    assert not taking.drained


def test_a_quota_is_used_up_once_no_receive_is_open():
    taking = intake(uncommitted=1)
    assert not taking.exhausted
    taking.start(1)
    taking.commit()
    assert not taking.exhausted
    taking.end(Receive(1, 0.0, empty_handed=True))
    assert taking.exhausted
    taking.recommit()
    assert not taking.exhausted


def test_without_a_quota_nothing_is_used_up():
    taking = intake()
    taking.commit()
    taking.recommit()
    assert taking.uncommitted is None
    assert not taking.exhausted


def test_an_answer_ends_a_series_of_failures():
    taking = intake()
    taking.failures = 3
    taking.answered(EMPTY_HANDED, 0)
    assert taking.failures == 0
