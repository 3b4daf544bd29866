"""Limits of automatic runs: how long apart they start, and how many may."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.automatic.limits import Answer, Limits, Record, claimed, ended, given_back, rested

LIMITS = Limits(first_delay=900, most_runs=3, after_alarm=300)
DAY = 24 * 3600
NOON = 1_800_000_000.0


@pytest.mark.parametrize(("runs", "minutes"), [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 240), (99, 240)])
def test_the_delay_doubles_with_each_run_up_to_sixteen_times_the_first(runs, minutes):
    assert LIMITS.delay(runs) == minutes * 60


def test_a_first_run_starts_at_once():
    answer, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert answer is Answer.START
    assert (record.in_a_row, record.starts, record.not_before) == (1, (NOON,), NOON + 900)


def test_a_second_run_waits_until_the_delay_after_the_end_of_the_first_has_passed():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    record = ended(record, "run-1", LIMITS, NOON + 600)
    assert claimed(record, "run-2", LIMITS, NOON + 600 + 899)[0] is Answer.TOO_EARLY
    assert claimed(record, "run-2", LIMITS, NOON + 600 + 900)[0] is Answer.START


def test_the_end_of_another_run_changes_nothing():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert ended(record, "another", LIMITS, NOON + 600) == record


def test_a_claim_whose_answer_got_lost_is_granted_again_and_counts_once():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert claimed(record, "run-1", LIMITS, NOON + 1) == (Answer.START, record)


def test_a_run_that_met_another_one_does_not_count():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert given_back(record, "run-1").in_a_row == 0
    assert given_back(record, "run-1").starts == ()
    assert given_back(record, "another") == record


def test_after_a_long_quiet_time_the_delays_restart_but_the_runs_of_the_day_still_count():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    quiet = rested(record, LIMITS, NOON + 60, NOON + 60 + LIMITS.longest_delay)
    assert (quiet.in_a_row, quiet.not_before, quiet.starts) == (0, 0, (NOON,))


@pytest.mark.parametrize(
    ("quiet_from", "quiet_to"),
    [(NOON + 60, NOON + 59 + 16 * 900), (NOON - 60, NOON + 16 * 900)],
    ids=["too short", "from before the last run"],
)
def test_a_time_that_was_not_quiet_for_long_enough_changes_nothing(quiet_from, quiet_to):
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert rested(record, LIMITS, quiet_from, quiet_to) == record


steps = st.tuples(st.sampled_from(["claim", "end", "quiet"]), st.integers(0, 6 * 3600))


@given(history=st.lists(steps, max_size=80), most_runs=st.integers(1, 5), first_delay=st.integers(1, 3600))
def test_no_history_starts_more_runs_than_the_limit_or_shortens_a_delay_before_a_quiet_time(
    history, most_runs, first_delay
):
    limits = Limits(first_delay=first_delay, most_runs=most_runs, after_alarm=0)
    record, now, run = Record(), NOON, 0
    starts: list[float] = []
    in_a_row: list[float] = []
    for step, seconds in history:
        before, now = now, now + seconds
        if step == "claim":
            answer, record = claimed(record, f"run-{run}", limits, now)
            if answer is Answer.START:
                starts.append(now)
                in_a_row.append(now)
                run += 1
        elif step == "end":
            record = ended(record, record.last_run or "", limits, now)
        else:
            after = rested(record, limits, before, now)
            if after.in_a_row == 0:
                in_a_row = []
            record = after
        assert sum(start > now - DAY for start in starts) <= most_runs
        assert len(in_a_row) <= most_runs
        for number, (one, other) in enumerate(pairwise(in_a_row), start=1):
            assert other - one >= limits.delay(number)
