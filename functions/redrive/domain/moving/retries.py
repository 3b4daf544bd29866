"""Attempts that wait for their time, with growing pauses.

Used by the lane, which asks at every step what is due.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

# Attempts at sending, deleting, or hiding one message, and the longest pause between two in seconds.
MAX_ATTEMPTS = 6
_MAX_PAUSE = 5.0


class Retries:
    """Calls to make later.

    Parameters
    ----------
    jitter : Callable[[], float]
        Random numbers from 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._waiting: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0

    def __bool__(self) -> bool:
        """Return whether anything is waiting."""
        return bool(self._waiting)

    @property
    def next_at(self) -> float:
        """When the next call is due; infinity if none is waiting."""
        return self._waiting[0][0] if self._waiting else float("inf")

    def add(self, call: Callable[[float], None], attempts: int, now: float) -> None:
        """Make a call after the pause that follows this many attempts."""
        self._number += 1
        heapq.heappush(self._waiting, (now + self.pause(attempts), self._number, call))

    def run_due(self, now: float) -> None:
        """Make every call that is due, with the time as its argument."""
        while self._waiting and self._waiting[0][0] <= now:
            heapq.heappop(self._waiting)[2](now)

    def pause(self, attempts: int) -> float:
        """Return a pause in seconds, with jitter (AWS Builders' Library, "Timeouts, retries and backoff")."""
        return float(min(_MAX_PAUSE, 0.1 * 2.0**attempts) * (0.5 + self._jitter() / 2))
