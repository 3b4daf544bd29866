"""The throttle: the rate is kept in every second, and small rates mean small batches."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.pacing import Pacer


def leaving(pacer: Pacer, seconds: float, lateness) -> list[tuple[float, int]]:
    """Return when batches leave if each starts as late as `lateness()` says."""
    now, left = 0.0, []
    while now < seconds:
        now = pacer.ready_at(now) + lateness()
        pacer.take(pacer.batch_size, now)
        left.append((now, pacer.batch_size))
    return left


@given(st.floats(0.5, 5000), st.integers(0, 2**32), st.sampled_from([0.0, 0.001, 0.01, 0.3]))
@settings(max_examples=200, deadline=None)
def test_no_second_holds_more_than_the_rate_and_one_batch(rate, seed, late):
    dice = random.Random(seed)
    left = leaving(Pacer(rate), 5, lambda: dice.random() * late)
    batch = Pacer(rate).batch_size
    for start, _ in left:
        window = sum(count for at, count in left if start <= at < start + 1)
        assert window <= rate + batch + 1e-6


@pytest.mark.parametrize("rate", [5, 50, 200, 500])
def test_the_mean_is_kept_although_every_send_starts_a_little_late(rate):
    dice = random.Random(1)
    left = leaving(Pacer(rate), 20, lambda: dice.random() * 0.003)
    assert sum(count for _, count in left) / 20 == pytest.approx(rate, rel=0.02)


def test_five_a_second_are_not_ten_every_two_seconds():
    assert Pacer(5).batch_size == 1


def test_a_pause_is_not_made_up_for():
    pacer = Pacer(10)
    pacer.take(2, now=0.0)
    pacer.take(2, now=60.0)
    assert pacer.ready_at(60.0) > 60.0


def test_a_new_rate_holds_from_the_next_batch_on():
    pacer = Pacer(10)
    pacer.take(2, now=0.0)
    pacer.rate = 1
    now = pacer.ready_at(0.0)
    pacer.take(1, now)
    assert pacer.ready_at(now) - now == pytest.approx(1.0, rel=0.6)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Pacer(0)
