"""The rate limiter: the rate is kept in every second, and small rates mean small batches."""

import itertools
import random
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.moving.rate_limiter import RateLimiter


def leaving(rate_limiter: RateLimiter, seconds: float, lateness) -> list[tuple[float, int]]:
    """Return when batches leave if each starts as late as `lateness()` says."""
    now, left = 0.0, []
    while now < seconds:
        now = rate_limiter.ready_at(now) + lateness()
        rate_limiter.take(rate_limiter.batch_size, now)
        left.append((now, rate_limiter.batch_size))
    return left


@pytest.mark.slow
@given(st.floats(0.5, 5000), st.lists(st.integers(0, 100), min_size=1), st.sampled_from([0.0, 0.001, 0.01, 0.3]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_second_holds_more_than_the_rate_and_one_batch(rate, lateness, most):
    late = itertools.cycle(lateness)
    left = leaving(RateLimiter(rate), 3, lambda: next(late) / 100 * most)
    batch = RateLimiter(rate).batch_size
    times = [at for at, _ in left]
    for place, start in enumerate(times):
        window = left[place : bisect_left(times, start + 1)]
        assert sum(count for _, count in window) <= rate + batch + 1e-6


@pytest.mark.parametrize("rate", [5, 50, 200, 500])
def test_the_mean_is_kept_although_every_send_starts_a_little_late(rate):
    dice = random.Random(1)
    left = leaving(RateLimiter(rate), 20, lambda: dice.random() * 0.003)
    assert sum(count for _, count in left) / 20 == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(
    ("rate", "batch"), [(0.1, 1), (1, 1), (5, 1), (7, 1), (8, 2), (10, 2), (20, 4), (50, 10), (500, 10)]
)
def test_there_are_five_batches_a_second_of_one_to_ten_messages(rate, batch):
    assert RateLimiter(rate).batch_size == batch


def test_the_first_batch_leaves_at_once_and_the_next_ones_at_even_intervals():
    rate_limiter = RateLimiter(10)
    assert rate_limiter.ready_at(3.0) == 3.0
    times = []
    for _ in range(4):
        times.append(rate_limiter.ready_at(3.0))
        rate_limiter.take(2, times[-1])
    assert times == pytest.approx([3.0, 3.1, 3.3, 3.5], abs=0.11)
    assert times[3] - times[2] == pytest.approx(0.2)


def test_a_batch_that_is_not_full_lets_the_next_one_leave_sooner():
    rate_limiter = RateLimiter(10)
    rate_limiter.take(2, now=0.0)
    due = rate_limiter.ready_at(0.0)
    rate_limiter.take(1, now=due)
    assert rate_limiter.ready_at(due) - due == pytest.approx(0.1)


def test_a_small_delay_is_made_up_for():
    rate_limiter = RateLimiter(10)
    rate_limiter.take(2, now=0.0)
    due = rate_limiter.ready_at(0.0)
    rate_limiter.take(2, now=due + 0.02)
    assert rate_limiter.ready_at(0.0) == pytest.approx(due + 0.2)


def test_of_a_long_pause_at_most_half_an_interval_is_made_up_for():
    rate_limiter = RateLimiter(5)
    rate_limiter.take(1, now=0.0)
    rate_limiter.take(1, now=60.0)
    assert rate_limiter.ready_at(60.0) == pytest.approx(60.1)


def test_a_new_rate_applies_from_the_next_batch_on():
    rate_limiter = RateLimiter(10)
    rate_limiter.take(2, now=0.0)
    rate_limiter.rate = 1
    now = rate_limiter.ready_at(0.0)
    rate_limiter.take(1, now)
    assert rate_limiter.ready_at(now) - now == pytest.approx(1.0, rel=0.6)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(rate):
    with pytest.raises(ValueError, match=f"above 0 messages per second, found {rate}"):
        RateLimiter(rate)
