"""Limits of automatic runs on one queue: how many, and how much time between them.

Used by `redrive.domain.automatic.decisions`. The runs table stores the record.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from redrive.domain.model import Model

_DAY = 24 * 3600.0
# The longest delay as a multiple of the first: 15 minutes grow to 4 hours.
_MAX_FACTOR = 16


class Limits(NamedTuple):
    """How often automatic runs may start."""

    #: Seconds between the first run and the second; doubles with each further run.
    first_delay: float
    #: Maximum number of runs on one queue in 24 hours, and in a row without a quiet period.
    most_runs: int
    #: Seconds that an alarm must stay on before a run starts.
    after_alarm: float

    @property
    def longest_delay(self) -> float:
        """The maximum delay, and the quiet period that resets it, in seconds."""
        return self.first_delay * _MAX_FACTOR

    def delay(self, runs: int) -> float:
        """Return the seconds to wait after a number of runs in a row."""
        return self.first_delay * min(1 << (max(runs, 1) - 1), _MAX_FACTOR)


class Record(Model):
    """The automatic runs on one dead-letter queue. Times are seconds since 1970."""

    #: Starts in the last 24 hours, and the last start.
    starts: tuple[float, ...] = ()
    #: Runs since the last quiet period.
    in_a_row: int = 0
    #: When the next run may start.
    not_before: float = 0.0
    #: Name of the last run.
    last_run: str | None = None
    #: When operators were last notified that automatic starts are paused.
    notified_at: Annotated[float | None, Field(alias="toldAt")] = None
    #: The trigger that they were notified about.
    notified_for: Annotated[str | None, Field(alias="toldFor")] = None

    @property
    def last_start(self) -> float | None:
        """When the last run started."""
        return self.starts[-1] if self.starts else None

    def in_a_day(self, now: float) -> int:
        """Return how many runs started in the 24 hours before `now`."""
        return sum(start > now - _DAY for start in self.starts)

    def is_notified(self, now: float) -> bool:
        """Return whether operators were notified of the pause in the last 24 hours."""
        return self.notified_at is not None and self.notified_at > now - _DAY


class Answer(StrEnum):
    """Whether a run may start."""

    START = "start"
    TOO_EARLY = "too-early"
    CAPPED = "capped"


def claimed(record: Record, run: str, limits: Limits, now: float) -> tuple[Answer, Record]:
    """Return whether `run` may start now, and the updated record.

    A repeated claim for the same run succeeds, because the function may have died after writing the record.
    """
    if record.last_run == run:
        return Answer.START, record
    # Checked first, because the alarm needs some minutes to notice that the last run has emptied the queue.
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
    """Return the record after `run` has ended. The delay counts from the run's end."""
    if record.last_run != run:
        return record
    not_before = max(record.not_before, now + limits.delay(record.in_a_row))
    return record.model_copy(update={"not_before": not_before})


def given_back(record: Record, run: str) -> Record:
    """Return the record as if `run` hadn't started, because another run was in progress. The delay stays."""
    if record.last_run != run:
        return record
    fewer = {"starts": record.starts[:-1], "in_a_row": record.in_a_row - 1, "last_run": None}
    return record.model_copy(update=fewer)


def rested(record: Record, limits: Limits, quiet_from: float, quiet_to: float) -> Record:
    """Return the record after a period without messages, which resets the delay if it was long enough.

    Starts in the last 24 hours still count.
    """
    last = -math.inf if record.last_start is None else record.last_start
    if quiet_to - quiet_from < limits.longest_delay or last > quiet_from:
        return record
    return record.model_copy(update={"in_a_row": 0, "not_before": 0.0})
