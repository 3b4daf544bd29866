"""A max rate is the queue's, whatever runs and lanes deliver to it: neighbors of two runs that each kept it alone.

The oracle counts what is handed over in any second, and adds up what runs were given; it uses none of the product's
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from redrive.adapters.rate_shares import RateShares
from redrive.domain.errors import RejectedError
from redrive.domain.moving.destination_rate import destination_rate
from redrive.domain.moving.rate_limiter import Departure
from redrive.domain.plan.rates import MaxRate, Share, Shares, share_of
from tests.support import factories
from tests.support.fakes import FakeExecutions
from tests.support.moto_cloud import moto_cloud

ORDERS = factories.queue("orders")
MIDNIGHT = 1_760_000_000.0
calm = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def most_in_a_second(sends: list[tuple[float, int]]) -> int:
    """Return the number of messages in the fullest second, wherever it begins."""
    sends = sorted(sends)
    worst = inside = first = 0
    for at, count in sends:
        inside += count
        while sends[first][0] <= at - 1 + 1e-9:
            inside -= sends[first][1]
            first += 1
        worst = max(worst, inside)
    return worst


def allowed_in_a_second(max_rate: float) -> float:
    """Return what the documentation promises: the max rate and one batch, or 2 % if that is more."""
    batch = min(10, max(1, max_rate // 5))
    return max_rate + max(batch, max_rate * 0.02) + 1e-6


@dataclass
class Lane:
    """A lane that always has enough messages and sends as soon as it may, or somewhat later."""

    limit: MaxRate
    lane: int
    lanes: int
    starts: float
    lateness: list[int]
    largest: int
    sends: list[tuple[float, int]] = field(default_factory=list)

    def play(self, begin: float, end: float) -> None:
        # Each slice begins with a clock of its own.
        epoch = MIDNIGHT + 1000 * self.starts
        now, step = begin - epoch, 0
        rate = destination_rate(self.limit, self.lane, self.lanes, began=now, ends_at=end - epoch, epoch=epoch)
        while now + epoch < end:
            ready_at = rate.ready_at(now)
            if ready_at > now:
                late = self.lateness[step % len(self.lateness)] / 1000
                now, step = ready_at + late, step + 1
                continue
            count = min(self.largest, rate.batch_size(now))
            assert 1 <= count <= 10
            rate.take(Departure(count, now))
            self.sends.append((now + epoch, count))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[float, list[Lane]]:
    """Draw a max rate and the lanes of all runs that got a share of it."""
    max_rate = draw(
        st.sampled_from([0.1, 0.5, 1, 1.9, 2.5, 7, 10, 19.99, 20, 49, 77, 100, 400])
        | st.floats(0.1, 60, allow_nan=False)
    )
    shares = Shares()
    lanes = []
    for run in range(draw(st.integers(1, 6))):
        wanted = draw(st.sampled_from([0.1, 0.7, 1, 3, 5, 10, 50, 1000]) | st.floats(0.1, 60, allow_nan=False))
        share = share_of(f"run-{run}", min(wanted, max_rate), max_rate, shares)
        if share is None:
            continue
        assert share <= wanted
        mine = {f"run-{run}": Share(rate=share, execution_arn="arn")}
        shares = Shares(by_run=shares.by_run | mine)
        limit = MaxRate(queue=ORDERS, max_rate=max_rate, share=share)
        number = draw(st.sampled_from([1, 2, 3, 20]))
        lateness = draw(st.lists(st.integers(0, 200), min_size=1, max_size=5))
        largest = draw(st.sampled_from([10, 10, 1, 3]))
        lanes += [
            Lane(limit, lane, number, draw(st.floats(0, 2, allow_nan=False)), lateness, largest)
            for lane in range(number)
        ]
    return max_rate, lanes


@given(crowds())
@calm
def test_no_second_has_more_than_the_max_rate_and_one_batch_over_all_lanes_and_runs(crowd):
    max_rate, lanes = crowd
    assert lanes, "the first run gets something"
    for lane in lanes:
        # Two slices, one right after the other.
        lane.play(MIDNIGHT + lane.starts, MIDNIGHT + 6)
        lane.play(MIDNIGHT + 6, MIDNIGHT + 12)
    sends = [send for lane in lanes for send in lane.sends]
    by_run = {id(lane.limit): lane.limit for lane in lanes}
    assert sum(limit.share for limit in by_run.values()) <= max_rate + 1e-6
    # What each run could hand over in its worst second, as documented.
    assert sum(limit.share + limit.batch_size for limit in by_run.values()) <= allowed_in_a_second(max_rate) + 1e-4
    assert most_in_a_second(sends) <= allowed_in_a_second(max_rate)


@given(
    st.floats(501, 10_000),
    st.floats(0.05, 1),
    st.integers(1, 20),
    st.lists(st.integers(0, 2) | st.integers(0, 400), min_size=1, max_size=30),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_above_500_a_second_no_second_has_more_than_two_percent_or_a_batch_more(max_rate, part, number, lateness):
    share = max(500.5, max_rate * part)
    limit = MaxRate(queue=ORDERS, max_rate=max_rate, share=share)
    lanes = [Lane(limit, lane, number, 0, lateness, 10) for lane in range(number)]
    for lane in lanes:
        lane.play(MIDNIGHT, MIDNIGHT + 2)
        lane.play(MIDNIGHT + 2, MIDNIGHT + 4)
    sends = [send for lane in lanes for send in lane.sends]
    assert share + limit.batch_size <= allowed_in_a_second(max_rate)
    assert most_in_a_second(sends) <= share + limit.batch_size + 1e-6


@given(st.floats(501, 10_000), st.integers(1, 20))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_above_500_a_second_a_run_uses_its_share_but_for_two_percent(max_rate, number):
    limit = MaxRate(queue=ORDERS, max_rate=max_rate, share=max_rate)
    lanes = [Lane(limit, lane, number, 0, [0], 10) for lane in range(number)]
    for lane in lanes:
        lane.play(MIDNIGHT, MIDNIGHT + 10)
    # But for the first batch of each lane.
    assert sum(count for lane in lanes for _, count in lane.sends) >= 0.98 * (10 * max_rate - 10 * number)


@pytest.mark.parametrize("lanes", [1, 2, 7, 20])
@pytest.mark.parametrize(
    "max_rate", [0.1, 0.5, 0.99, 1, 1.9, 1.99, 2.5, 5, 7.5, 10, 20, 33.3, 40, 77, 100, 250, 499, 500]
)
def test_a_run_that_has_a_max_rate_for_itself_uses_it(max_rate, lanes):
    limit = MaxRate(queue=ORDERS, max_rate=max_rate, share=max_rate)
    crowd = [Lane(limit, lane, lanes, 0, [0, 1, 2], 10) for lane in range(lanes)]
    seconds = max(10, 40 * lanes / max_rate)
    for lane in crowd:
        lane.play(MIDNIGHT, MIDNIGHT + seconds)
    sent = sum(count for lane in crowd for _, count in lane.sends)
    assert 0.85 * max_rate * seconds - 10 <= sent <= max_rate * seconds + 10
    assert most_in_a_second([send for lane in crowd for send in lane.sends]) <= allowed_in_a_second(max_rate)


def test_each_lane_on_its_own_would_break_the_max_rate():
    """The oracle notices what the product prevents: twenty lanes that keep to a twentieth each, at the same moment."""
    assert most_in_a_second([(MIDNIGHT, 1)] * 20) > allowed_in_a_second(10)
    assert most_in_a_second([(n / 20, 1) for n in range(48)]) == 20


class Reservations(RuleBasedStateMachine):
    """Runs reserve, give up, and die in any order; the table never has more than the queue declares."""

    runs = Bundle("runs")

    @initialize(max_rate=st.sampled_from([0.1, 1, 4, 20, 100, 1000]))
    def begin(self, max_rate: float) -> None:
        self._context: Any = moto_cloud()
        cloud = self._context.__enter__()
        self.max_rate = max_rate
        self.executions = FakeExecutions()
        self.shares = RateShares(cloud.run_table(), self.executions, pause=lambda _: None)
        self.live: dict[str, float] = {}
        self.started = 0

    @rule(target=runs, wanted=st.sampled_from([0.1, 0.5, 1, 3, 10, 60, 10_000]))
    def start(self, wanted: float) -> str:
        self.started += 1
        run = f"arn:run-{self.started}"
        self.executions.running.add(run)
        wanted = min(wanted, self.max_rate)
        try:
            share = self.shares.reserve(run, run, ORDERS, wanted, self.max_rate).share
        except RejectedError as error:
            # It names every run that has a share, and no other.
            assert {name for name in self.live if f"{name} (" in str(error)} == set(self.live)
            assert self.live
            self.executions.running.remove(run)
        else:
            assert 0.1 - 1e-9 <= share <= wanted
            assert self.live or share == wanted
            self.live[run] = share
        return run

    @rule(run=runs)
    def meet_again(self, run: str) -> None:
        if run in self.live:
            assert self.shares.reserve(run, run, ORDERS, 1, self.max_rate).share == self.live[run]

    @rule(run=consumes(runs))
    def end(self, run: str) -> None:
        self.shares.release(run)
        self.executions.running.discard(run)
        self.live.pop(run, None)

    @rule(run=consumes(runs))
    def die(self, run: str) -> None:
        self.executions.running.discard(run)
        self.live.pop(run, None)

    @invariant()
    def is_never_overbooked(self) -> None:
        assert sum(self.live.values()) <= self.max_rate + 1e-6

    def teardown(self) -> None:
        if hasattr(self, "_context"):
            self._context.__exit__(None, None, None)


Reservations.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestReservations = Reservations.TestCase
