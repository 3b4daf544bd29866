"""When an attempt is repeated: after pauses that double, up to a limit, with jitter."""

import pytest

from redrive.domain.moving.retries import Retries


def retries(jitter: float = 1.0) -> Retries:
    return Retries(lambda: jitter)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (5, 3.2), (6, 5.0), (20, 5.0)])
def test_pauses_double_up_to_five_seconds(attempts, seconds):
    assert retries().pause(attempts) == pytest.approx(seconds)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.2), (0.5, 0.3), (1.0, 0.4)])
def test_jitter_takes_up_to_half_of_a_pause(jitter, seconds):
    assert retries(jitter).pause(2) == pytest.approx(seconds)


def test_calls_are_made_in_the_order_in_which_they_are_due():
    waiting, made = retries(), []
    waiting.add(lambda now: made.append(("later", now)), 2, 10.0)
    waiting.add(lambda now: made.append(("sooner", now)), 1, 10.0)
    assert waiting.next_at == pytest.approx(10.2)
    waiting.run_due(10.1)
    assert made == []
    waiting.run_due(waiting.next_at)
    assert made == [("sooner", pytest.approx(10.2))]
    waiting.run_due(11.0)
    assert made[1:] == [("later", 11.0)]


def test_calls_that_are_due_at_once_are_made_in_the_order_of_their_requests():
    waiting, made = retries(), []
    for number in range(3):
        waiting.add(lambda _, number=number: made.append(number), 1, 0.0)
    waiting.run_due(1.0)
    assert made == [0, 1, 2]


def test_with_nothing_waiting_no_call_is_due():
    waiting = retries()
    assert (bool(waiting), waiting.next_at) == (False, float("inf"))
    waiting.add(lambda _: None, 1, 0.0)
    assert waiting
