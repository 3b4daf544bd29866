"""The rate limiter: the rate is kept in every second, by one lane or several; small rates mean small batches."""

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.moving.rate_limiter import Departure, RateLimiter

# When a lane's clock began, in seconds since 1970.
EPOCH = 1_790_000_000.0
RATES = st.sampled_from([5.0, 50.0, 200.0, 500.0]) | st.floats(0.5, 500)


class Road:
    """The delays of batches on their way to SQS: before a request is made, and until it arrives."""

    def __init__(self, seed: int, late: float, slow: float, hiccup: float) -> None:
        self._dice = random.Random(seed)
        self._late, self._slow, self._hiccup = late, slow, hiccup

    def send(self, departure: Departure) -> float:
        """Return when a batch arrives."""
        # Half of all requests take the minimum time.
        seconds = 0.005 + self._slow * max(0.0, 2 * self._dice.random() - 1)
        if self._dice.random() < 0.01:
            seconds += self._hiccup
        departure.started += self._late * self._dice.random()
        departure.answered = departure.started + seconds
        return departure.answered - 0.005


def arrivals(lanes: list[RateLimiter], seconds: float, road: Road, start: float = 0.0) -> list[tuple[float, int]]:
    """Return when batches arrive, in order; a lane learns when a batch was sent and answered once that has happened."""
    arrived: list[tuple[float, int]] = []
    turns = [(lane.ready_at(start), place) for place, lane in enumerate(lanes)]
    heapq.heapify(turns)
    pending: list[list[tuple[Departure, Departure]]] = [[] for _ in lanes]
    while turns:
        now, place = heapq.heappop(turns)
        if now >= start + seconds:
            continue
        lane = lanes[place]
        for known, truth in pending[place]:
            known.started = truth.started if truth.started <= now else known.started
            known.answered = truth.answered if truth.answered is not None and truth.answered <= now else None
        pending[place] = [pair for pair in pending[place] if pair[0].answered is None]
        ready_at = lane.ready_at(now)
        if ready_at > now:
            heapq.heappush(turns, (ready_at, place))
            continue
        known, truth = Departure(lane.batch_size, now), Departure(lane.batch_size, now)
        lane.take(known)
        arrived.append((road.send(truth), lane.batch_size))
        pending[place].append((known, truth))
        heapq.heappush(turns, (now + 0.0005, place))
    return sorted(arrived)


def worst_second(arrived: list[tuple[float, int]]) -> int:
    times = [at for at, _ in arrived]
    return max(sum(count for _, count in arrived[place : bisect_left(times, at + 1)]) for place, at in enumerate(times))


@pytest.mark.slow
@given(RATES, st.integers(0, 99), st.sampled_from([0.0, 0.003, 0.05]), st.sampled_from([0.0, 0.002, 0.02]))
@example(500.0, 1, 0.05, 0.0)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_second_has_more_than_the_rate_and_one_batch(rate, seed, late, slow):
    limiter = RateLimiter(rate, epoch=EPOCH)
    arrived = arrivals([limiter], 6, Road(seed, late, slow, 0.0))
    assert worst_second(arrived) <= rate + limiter.batch_size + 1e-6


def departures(
    limiter: RateLimiter,
    begin: float,
    end: float,
    delays: Sequence[int] = (0,),
    stalls: Iterable[tuple[int, int]] = (),
    sizes: Sequence[int] = (10,),
) -> Iterator[tuple[float, int]]:
    """Yield when a lane that always has messages sends: milliseconds after it may, or at the end of a stall."""
    now, late, largest = begin, cycle(delays), cycle(sizes)
    while now < end:
        ready_at = limiter.ready_at(now)
        if ready_at > now:
            now = ready_at + next(late) / 1000
            now = max([now, *(to / 1000 for since, to in stalls if since / 1000 <= now < to / 1000)])
            continue
        count = min(limiter.batch_size, next(largest))
        limiter.take(Departure(count, now))
        yield now, count


@pytest.mark.slow
@given(
    st.sampled_from([0.5, 1, 1.98, 7.9, 200, 487, 500, 610.7, 1000, 2000]) | st.floats(0.1, 20) | st.floats(20, 4000),
    st.lists(st.integers(0, 20), min_size=1, max_size=9),
    st.lists(st.integers(1000, 4000), max_size=3),
    st.integers(1, 600),
    st.integers(0, 300),
    st.integers(1, 400),
    st.just([10]) | st.lists(st.integers(1, 10), min_size=1, max_size=9),
)
@example(500, [0], [], 1, 34, 5, [7, 10, 5, 4, 2, 6])
@settings(max_examples=500, deadline=None, derandomize=True)
def test_lanes_keep_the_bound_of_one_while_they_catch_up_and_when_a_slice_follows_another(
    rate, delays, stalls, length, drain, pause, sizes
):
    lanes = math.ceil(rate / 500)
    stalled = [(since, since + length) for since in stalls]
    sent: list[tuple[float, int]] = []
    # A lane sends until nothing is left in hand. The next slice begins when all lanes are done.
    for begin, end, left in ((0.3, 3.0, drain / 1000), (3.0 + (drain + pause) / 1000, 6.0, 0.0)):
        for lane in range(lanes):
            limiter = RateLimiter(rate / lanes, lane=lane, lanes=lanes, epoch=EPOCH, ends_at=end)
            sent += departures(limiter, begin, end + left, delays[lane % len(delays) :], stalled, sizes)
    assert worst_second(sorted(sent)) <= rate + max(1, min(10, round(rate / 5))) + 1e-6


@given(st.floats(500.5, 10_000))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_the_rate_is_lanes_share_it_but_for_one_percent(rate):
    lanes = math.ceil(rate / 500)
    limiter = RateLimiter(rate / lanes, lanes=lanes, epoch=EPOCH)
    sent = list(departures(limiter, 0.0, 20.0))
    mean = sum(count for _, count in sent[:-1]) / (sent[-1][0] - sent[0][0])
    assert rate / lanes * 0.99 <= mean <= rate / lanes * 1.0001


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("rate", [5, 50, 200, 500])
def test_the_mean_is_kept_although_requests_are_late_and_slow(rate, lanes):
    together = [RateLimiter(rate, lane=lane, lanes=lanes, epoch=EPOCH) for lane in range(lanes)]
    arrived = arrivals(together, 30, Road(1, 0.001, 0.004, 0.1))
    mean = sum(count for _, count in arrived[:-1]) / (arrived[-1][0] - arrived[0][0])
    assert mean == pytest.approx(lanes * rate, rel=0.01)


@pytest.mark.parametrize("rate", [5, 20, 50, 200, 500])
@pytest.mark.parametrize("batches", [2, 5, 20])
def test_the_mean_of_a_few_batches_is_kept_too(rate, batches):
    limiter = RateLimiter(rate, epoch=EPOCH)
    left, now = [], 0.0
    for _ in range(batches):
        now = limiter.ready_at(now)
        left.append(now)
        limiter.take(Departure(limiter.batch_size, now))
    assert batches * limiter.batch_size / (limiter.ready_at(now) - left[0]) == pytest.approx(rate, rel=0.001)


@pytest.mark.parametrize(
    ("rate", "batch"), [(0.1, 1), (1, 1), (5, 1), (7, 1), (8, 2), (10, 2), (20, 4), (50, 10), (500, 10)]
)
def test_there_are_five_batches_a_second_of_one_to_ten_messages(rate, batch):
    assert RateLimiter(rate).batch_size == batch


def test_a_lane_whose_part_is_less_than_a_message_sends_one_at_a_time():
    limiter = RateLimiter(0.05, lanes=20)
    assert limiter.batch_size == 1
    limiter.take(Departure(1, 0.0))
    assert limiter.ready_at(0.0) == pytest.approx(20, rel=0.01)


def test_a_batch_that_is_not_full_lets_the_next_one_leave_sooner():
    limiter = RateLimiter(10)
    limiter.take(Departure(2, 0.0))
    due = limiter.ready_at(0.0)
    limiter.take(Departure(1, due))
    assert limiter.ready_at(due) - due == pytest.approx(0.1)


def test_a_delay_is_made_up_for_at_twice_the_rate():
    limiter = RateLimiter(10)
    limiter.take(Departure(2, 0.0))
    limiter.take(Departure(2, 0.35))
    assert limiter.ready_at(0.35) == pytest.approx(0.45)
    limiter.take(Departure(2, 0.45))
    assert limiter.ready_at(0.45) == pytest.approx(0.6)


def test_of_a_long_pause_only_half_a_second_is_made_up_for():
    limiter = RateLimiter(50)
    limiter.take(Departure(10, 0.0))
    now, left = 60.0, 0
    while now < 70:
        limiter.take(Departure(10, now))
        left += 10
        now = limiter.ready_at(now)
    assert left <= 10 * 50 + 0.5 * 50 + 10


def test_the_first_slow_answers_do_not_tell_how_long_a_request_takes():
    limiter = RateLimiter(5)
    first = now = limiter.ready_at(0.0)
    for _ in range(6):
        now = limiter.ready_at(now)
        departure = Departure(1, now)
        limiter.take(departure)
        departure.answered = now + 0.15
    # The first of six may have arrived as late as it was answered, so the seventh waits for the end of that second.
    assert limiter.ready_at(first + 1.1) == pytest.approx(first + 1.2)
    assert limiter._room_at(first + 1.1) == pytest.approx(first + 1.15)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(rate):
    with pytest.raises(ValueError, match=f"above 0 messages per second, found {rate}"):
        RateLimiter(rate)
