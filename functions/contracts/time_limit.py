"""Ends checks that take too long: a pattern or a query can run for hours on one text, by malice or chance.

Used by JSON Schema contracts and by the redrive's queries; each step of theirs asks whether time is up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Seconds for one message. A contract takes well under a millisecond on all but hostile ones.
SECONDS = 0.25


class TookTooLongError(Exception):
    """A check did not come to an end in its time; it says nothing about the message."""


@dataclass(slots=True)
class TimeLimit:
    """Seconds for one check after another.

    Attributes
    ----------
    clock : Callable[[], float]
        A monotonic clock in seconds.
    seconds : float
        Time for one check.
    """

    clock: Callable[[], float]
    seconds: float = SECONDS
    _ends_at: float = field(default=float("inf"), init=False)

    def start(self, seconds: float | None = None) -> None:
        """Begin with a check, which may take `seconds` where it is another one than all."""
        self._ends_at = self.clock() + (self.seconds if seconds is None else seconds)

    def left(self) -> float:
        """Return the seconds that are left.

        Raises
        ------
        TookTooLongError
            Where none are.
        """
        left = self._ends_at - self.clock()
        if left <= 0:
            raise TookTooLongError
        return left
