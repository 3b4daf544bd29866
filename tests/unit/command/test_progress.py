"""A run's progress never exceeds 100 %, and its rate is that of the last few seconds."""

from hypothesis import given
from hypothesis import strategies as st

from redrive.command.progress import Pace, Progress
from redrive.domain.moving.results import Counts, Totals

numbers = st.integers(0, 300_000)


@given(redriven=numbers, skipped=numbers, total=st.none() | numbers, rate=st.none() | st.floats(0, 5_000))
def test_what_is_done_is_never_more_than_all_and_the_time_left_never_negative(redriven, skipped, total, rate):
    totals = Totals(counts=Counts(redriven=redriven, skipped=skipped))
    progress = Progress("orders-dlq", "moving", totals, total, limit=None, rate=rate)
    done = redriven + skipped
    of = "" if total is None else f" of about {max(total, done):,}"
    assert next(progress.lines()) == f"{redriven:,}{of} moved, moving"
    assert (progress.seconds_left is None) == (total is None or not rate)
    assert (progress.seconds_left or 0) >= 0


@given(st.lists(st.tuples(st.floats(0.1, 20), st.integers(0, 1_000)), min_size=1, max_size=50))
def test_the_rate_is_between_the_slowest_and_the_fastest_that_was_seen(steps):
    pace, now, redriven = Pace(), 0.0, 0
    assert pace.rate(0, now) is None
    for seconds, more in steps:
        now, redriven = now + seconds, redriven + more
        rate = pace.rate(redriven, now)
        assert rate is not None
        assert min(more / seconds for seconds, more in steps) * 0.999 <= rate
        assert rate <= max(more / seconds for seconds, more in steps) * 1.001
