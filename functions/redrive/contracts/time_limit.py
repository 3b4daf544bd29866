"""Stops checks that take too long: a pattern or a query can run for hours on one text, maliciously or by accident.

Used by JSON Schema contracts and JMESPath queries, which check the limit at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Limit for one message. Checking a contract takes well under a millisecond unless the message is hostile.
SECONDS = 0.25


class TookTooLongError(Exception):
    """A check didn't finish in time, which says nothing about the message."""


@dataclass(slots=True)
class TimeLimit:
    """A time limit for each of several checks."""

    #: A monotonic clock in seconds.
    clock: Callable[[], float]
    #: Limit for one check.
    seconds: float = SECONDS
    _ends_at: float = field(default=float("inf"), init=False)

    def start(self, seconds: float | None = None) -> None:
        """Start a check, with a limit of its own if `seconds` is given."""
        self._ends_at = self.clock() + (self.seconds if seconds is None else seconds)

    def left(self) -> float:
        """Return the seconds that are left.

        Raises
        ------
        TookTooLongError
            If none are left.
        """
        left = self._ends_at - self.clock()
        if left <= 0:
            raise TookTooLongError
        return left
