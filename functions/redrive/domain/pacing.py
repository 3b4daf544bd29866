"""The throttle: when a lane may send its next letters so that the rate is kept in every second.

Used by the lane with a monotonic clock. It is a token bucket in the form of the generic cell rate algorithm
(ITU-T I.371): one timestamp instead of a counter and a refill.
"""

from __future__ import annotations

from redrive.domain.letters import MAX_BATCH_ENTRIES

# A send that starts late by up to this share of the interval between two batches is made up for; a longer
# pause is not.
_CATCH_UP = 0.5


class Pacer:
    """Spaces batches so that `rate` messages per second leave, evenly.

    Parameters
    ----------
    rate : float
        Messages per second, above 0.

    Examples
    --------
    >>> pacer = Pacer(rate=5)
    >>> pacer.batch_size
    1
    >>> pacer.take(1, now=10.0)
    >>> round(pacer.ready_at(now=10.0), 2)
    10.2
    """

    def __init__(self, rate: float) -> None:
        self._next = float("-inf")
        self.rate = rate

    @property
    def rate(self) -> float:
        """Messages per second; may change while letters move."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"A rate is above 0 messages per second, but it is {rate}.")
        self._rate = rate
        # A second holds so many intervals and a part of one. As long as what is made up for stays below the
        # rest of that interval, no window of one second holds more than the rate plus one batch.
        part = rate / self.batch_size % 1
        self._catch_up = min(_CATCH_UP, 0.9 * (1 - part)) * self.batch_size / rate

    @property
    def batch_size(self) -> int:
        """Letters in one send: five sends a second, but at most what SQS takes and at least one."""
        return max(1, min(MAX_BATCH_ENTRIES, round(self._rate / 5)))

    def ready_at(self, now: float) -> float:
        """Return the time, in the clock's seconds, from which the next batch may leave."""
        return max(now, self._next)

    def take(self, count: int, now: float) -> None:
        """Note that `count` letters leave at `now`."""
        self._next = max(self._next, now - self._catch_up) + count / self._rate
