"""The rate limiter: when a lane may send its next batch without exceeding the rate in any second.

Used by the lane. It is a token bucket in the form of the generic cell rate algorithm (ITU-T I.371): one timestamp
instead of a counter and a refill.
"""

from __future__ import annotations

from redrive.domain.messages.message import MAX_BATCH_ENTRIES

# A late send catches up by at most this share of the interval between two batches.
_CATCH_UP = 0.5


class RateLimiter:
    """Spaces batches evenly at `rate` messages per second.

    Parameters
    ----------
    rate : float
        Messages per second, above 0.
    largest_batch : int
        Messages per send, at most.

    Examples
    --------
    >>> rate_limiter = RateLimiter(rate=5)
    >>> rate_limiter.batch_size
    1
    >>> rate_limiter.take(1, now=10.0)
    >>> round(rate_limiter.ready_at(now=10.0), 2)
    10.1
    >>> rate_limiter.take(1, now=10.2)
    >>> round(rate_limiter.ready_at(now=10.2), 2)
    10.3
    """

    def __init__(self, rate: float, largest_batch: int = MAX_BATCH_ENTRIES) -> None:
        self._next = float("-inf")
        self._largest_batch = largest_batch
        self.rate = rate

    @property
    def rate(self) -> float:
        """Messages per second; may change during a slice."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"Expected a rate above 0 messages per second, found {rate}.")
        self._rate = rate
        # A second holds a whole number of intervals and a fraction of one. As long as sends catch up by less than the
        # rest of that interval, no one-second window has more than the rate plus one batch.
        fraction = rate / self.batch_size % 1
        self._catch_up = min(_CATCH_UP, 0.9 * (1 - fraction)) * self.batch_size / rate

    @property
    def batch_size(self) -> int:
        """Messages per send: enough for five sends a second, at least one, and at most the largest batch."""
        return max(1, min(self._largest_batch, round(self._rate / 5)))

    def ready_at(self, now: float) -> float:
        """Return when the next batch may be sent, in the clock's seconds."""
        return max(now, self._next)

    def take(self, count: int, now: float) -> None:
        """Record that `count` messages are sent at `now`."""
        self._next = max(self._next, now - self._catch_up) + count / self._rate
