"""Limits of the runs that start by themselves on one queue: how long apart, and how many.

Used by `redrive.domain.deciding`, which decides what an automatic start does next; the table of runs keeps
the record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from redrive.domain.model import Model

_DAY = 24 * 3600.0
# The longest delay is so many times the first: 15 minutes grow to 4 hours.
_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How often runs may start by themselves.

    Attributes
    ----------
    first_delay : float
        Seconds between the first run and the second; they double with each further run.
    most_runs : int
        Runs on one queue in 24 hours, and in a row without a quiet time in between.
    after_alarm : float
        Seconds that an alarm must last before a run starts.
    """

    first_delay: float
    most_runs: int
    after_alarm: float

    @property
    def longest_delay(self) -> float:
        """Seconds that the delay does not grow beyond, and the quiet time after which it starts anew."""
        return self.first_delay * _LONGEST

    def delay(self, runs: int) -> float:
        """Return the seconds to wait after so many runs in a row."""
        return self.first_delay * min(1 << (max(runs, 1) - 1), _LONGEST)


class Record(Model):
    """What is kept of the automatic runs on one dead-letter queue. Times are seconds since 1970.

    Attributes
    ----------
    starts : tuple[float, ...]
        Starts in the last 24 hours, and the last one.
    in_a_row : int
        Runs since the last quiet time.
    not_before : float
        When the next may start.
    last_run : str | None
        Name of the last run.
    told_at : float | None
        When it was told that no more will start.
    told_for : str | None
        The trigger that it was told for.
    """

    starts: tuple[float, ...] = ()
    in_a_row: int = 0
    not_before: float = 0.0
    last_run: str | None = None
    told_at: float | None = None
    told_for: str | None = None

    @property
    def last_start(self) -> float | None:
        """When the last run started."""
        return self.starts[-1] if self.starts else None

    def in_a_day(self, now: float) -> int:
        """Return how many runs have started in the 24 hours before `now`."""
        return sum(start > now - _DAY for start in self.starts)

    def is_told(self, now: float) -> bool:
        """Return whether it was told in the last 24 hours that no more will start."""
        return self.told_at is not None and self.told_at > now - _DAY


class Answer(StrEnum):
    """What a claim comes to."""

    START = "start"
    TOO_EARLY = "too-early"
    CAPPED = "capped"


def claimed(record: Record, run: str, limits: Limits, now: float) -> tuple[Answer, Record]:
    """Return whether `run` may start now, and the record with it.

    A run that has the claim already gets it again: the function may have died after it was written.
    """
    if record.last_run == run:
        return Answer.START, record
    # First of all, since the alarm of a queue that the last run has emptied needs some minutes to see that.
    if now < record.not_before:
        return Answer.TOO_EARLY, record
    if record.in_a_row >= limits.most_runs or record.in_a_day(now) >= limits.most_runs:
        return Answer.CAPPED, record
    runs = record.in_a_row + 1
    changes = {
        "starts": (*(start for start in record.starts if start > now - _DAY), now),
        "in_a_row": runs,
        "not_before": now + limits.delay(runs),
        "last_run": run,
    }
    return Answer.START, record.model_copy(update=changes)


def ended(record: Record, run: str, limits: Limits, now: float) -> Record:
    """Return the record after `run` has ended: the delay counts from its end."""
    if record.last_run != run:
        return record
    not_before = max(record.not_before, now + limits.delay(record.in_a_row))
    return record.model_copy(update={"not_before": not_before})


def given_back(record: Record, run: str) -> Record:
    """Return the record as if `run` had not started, since it met another one. The delay stays."""
    if record.last_run != run:
        return record
    fewer = {"starts": record.starts[:-1], "in_a_row": record.in_a_row - 1, "last_run": None}
    return record.model_copy(update=fewer)


def rested(record: Record, limits: Limits, quiet_from: float, quiet_to: float) -> Record:
    """Return the record after a time without letters: where that was long enough, the delays start anew.

    What has started in 24 hours counts on.
    """
    last = -math.inf if record.last_start is None else record.last_start
    if quiet_to - quiet_from < limits.longest_delay or last > quiet_from:
        return record
    return record.model_copy(update={"in_a_row": 0, "not_before": 0.0})
