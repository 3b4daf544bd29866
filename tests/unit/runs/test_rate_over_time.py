"""The rate over time: few points however long a run takes, none of which is invented."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.moving.results import Counts
from redrive.domain.runs.rate_over_time import MAX_POINTS, RatePoint, with_point

# What each round does: seconds until it ends, messages redriven, messages quarantined.
rounds = st.lists(st.tuples(st.floats(0.1, 400), st.integers(0, 30_000), st.integers(0, 500)), min_size=1, max_size=400)


def played(given_rounds: list[tuple[float, int, int]]) -> tuple[tuple[RatePoint, ...], list[tuple[float, int, int]]]:
    """Return the points after the rounds, and the truth: seconds and counts after each."""
    points: tuple[RatePoint, ...] = ()
    truth: list[tuple[float, int, int]] = []
    seconds, redriven, quarantined = 5.0, 0, 0
    for length, more, more_quarantined in given_rounds:
        seconds, redriven, quarantined = seconds + length, redriven + more, quarantined + more_quarantined
        points = with_point(points, Counts(redriven=redriven, quarantined=quarantined), seconds=seconds, sending=length)
        truth.append((round(seconds, 1), redriven, quarantined))
    return points, truth


@given(rounds)
def test_points_are_few_and_what_they_say_is_what_was(given_rounds):
    points, truth = played(given_rounds)
    assert len(points) <= 60
    assert (points[0].seconds, points[0].redriven) == (5.0, 0)
    assert {(point.seconds, point.redriven, point.quarantined) for point in points[1:]} <= set(truth)
    assert (points[-1].seconds, points[-1].redriven, points[-1].quarantined) == truth[-1]
    assert all(before.seconds < after.seconds for before, after in pairwise(points))


@given(rounds)
def test_the_rates_add_up_to_the_messages_that_were_redriven(given_rounds):
    points, truth = played(given_rounds)
    total = sum(after.rate * (after.seconds - before.seconds) for before, after in pairwise(points))
    # A rate is rounded to a hundredth of a message per second.
    assert abs(total - truth[-1][1]) <= 0.005 * (points[-1].seconds - points[0].seconds) + 0.01


def test_a_long_run_is_as_well_known_at_its_beginning_as_at_its_end():
    points: tuple[RatePoint, ...] = ()
    for number in range(1, 5_001):
        points = with_point(points, Counts(redriven=number * 3_000), seconds=5.0 + number * 60, sending=60.0)
        gaps = [after.seconds - before.seconds for before, after in pairwise(points)]
        assert max(gaps) <= max(60.0, 4 * number * 60 / MAX_POINTS) + 60
        assert len(points) >= min(number, MAX_POINTS // 2 - 1)
        assert {point.rate for point in points[1:]} == {50.0}


def test_a_first_point_that_is_alone_says_when_the_first_message_was_sent():
    assert with_point((), Counts(redriven=600), seconds=30.0, sending=12.0) == (
        RatePoint(seconds=18.0),
        RatePoint(seconds=30.0, rate=50.0, redriven=600),
    )


def test_a_clock_that_is_set_back_leaves_points_in_order():
    points = with_point((), Counts(redriven=10), seconds=100.0, sending=10.0)
    points = with_point(points, Counts(redriven=20), seconds=95.0, sending=10.0)
    assert [point.seconds for point in points] == [90.0, 95.0]
    points = with_point(points, Counts(redriven=30), seconds=80.0)
    assert points[-1].rate == 0.0


def test_a_run_of_any_length_has_at_most_sixty_points():
    points: tuple[RatePoint, ...] = ()
    lengths = []
    for number in range(1, 200):
        points = with_point(points, Counts(redriven=number), seconds=5.0 + number, sending=1.0)
        lengths.append(len(points))
    assert max(lengths) == 60
