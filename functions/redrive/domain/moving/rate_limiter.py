"""The rate limiter: when a lane may send its next batch without exceeding the rate in any second.

Used by the lane. It spaces batches evenly and catches up on delays. A second rule keeps the bound: a batch waits until
the last second has room for it, counting earlier batches from when they reached SQS. Lanes that share a rate share the
bound, too, so it doesn't depend on when each of them sends. The next slice doesn't know what this one has sent, so in
its last second, a slice doesn't catch up.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from redrive.domain.messages.message import MAX_BATCH_ENTRIES

# The limiter catches up on at most this many seconds of delay, at no more than twice the rate.
_CATCH_UP = 0.5
_FASTEST = 2.0
# Lanes that share a rate stay slightly below it: each can then catch up on a short delay within its part of the bound.
_SHARED = 0.998
# That part has room for a whole number of batches, which leave a lane this much of its rate, if any size does.
_IN_WHOLE_BATCHES = 0.993
_BATCHES_A_SECOND = 5
# The fastest answer means something only after this many.
_ENOUGH_ANSWERS = 20
_ROUNDING = 1e-6


@dataclass(slots=True, eq=False)
class Departure:
    """A batch on its way. Whoever sends it records the times."""

    #: Messages.
    count: int
    #: When the request was made, in the clock's seconds.
    started: float
    #: When its answer came; None if it hasn't.
    answered: float | None = None


class RateLimiter:
    """Spaces batches evenly at `rate` messages per second.

    The time of day sets one schedule for all lanes of a run, and each lane has its own offset in it. So several lanes
    together send as evenly as one, and a new slice continues the schedule of the previous one.

    Parameters
    ----------
    rate : float
        Messages per second of this lane, above 0.
    spare : int | None
        Messages by which all lanes together may exceed their rate in any second; None for one batch.
    lane, lanes : int
        The lane, counted from 0, and how many share a rate.
    epoch : float
        What to add to the lane's clock to get seconds since 1970.
    ends_at : float
        When the next slice may begin, in the clock's seconds.

    Examples
    --------
    >>> rate_limiter = RateLimiter(rate=5)
    >>> rate_limiter.batch_size
    1
    >>> rate_limiter.take(Departure(1, started=10.0))
    >>> round(rate_limiter.ready_at(now=10.0), 2)
    10.2
    """

    def __init__(
        self,
        rate: float,
        spare: int | None = None,
        *,
        lane: int = 0,
        lanes: int = 1,
        epoch: float = 0.0,
        ends_at: float = math.inf,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"Expected a rate above 0 messages per second, found {rate}.")
        self.rate = rate
        if spare is None:
            spare = max(1, min(MAX_BATCH_ENTRIES, round(lanes * rate / _BATCHES_A_SECOND)))
        # Messages in any second at most: the lane's part of what all lanes together may send, or one.
        self._most = max(1.0, rate + spare / lanes) + _ROUNDING
        sizes = range(min(MAX_BATCH_ENTRIES, spare), 0, -1)
        whole = {size: self._most // size * size for size in sizes}
        #: Messages per send: enough for five sends a second, from 1 to 10, or fewer so that more fit into the part.
        self.batch_size = max(sizes, key=lambda size: min(_IN_WHOLE_BATCHES * rate, whole[size]))
        self._spacing = 1 / ((1 if lanes == 1 else _SHARED) * min(rate, whole[self.batch_size]))
        self._interval = self.batch_size * self._spacing
        # Seconds before the first batch, so two slices that send evenly keep the bound in the seconds that they share.
        self._gap = min(1.0, self._interval)
        self._place = lane / lanes
        self._epoch = epoch
        self._evenly_from = ends_at - 1
        # When the next batch is due, and when it may leave: not sooner than at twice the rate.
        self._due: float | None = None
        self._next = 0.0
        # Batches of the last second, and their number of messages.
        self._recent: deque[Departure] = deque()
        self._recent_count = 0
        self._on_their_way: deque[Departure] = deque()
        # Seconds that the fastest request took. A slower request is assumed to spend the extra time on its way to SQS.
        self._fastest = math.inf
        self._answers = 0

    def ready_at(self, now: float) -> float:
        """Return when the next batch can be sent, or when to ask again, in the clock's seconds."""
        if self._due is None:
            self._due = self._next = self._in_rhythm(now + self._gap)
        return self._next if self._next > now else self._room_at(now)

    def take(self, departure: Departure) -> None:
        """Record that a batch is sent. The departure may still change while the batch is on its way."""
        now, seconds = departure.started, departure.count * self._spacing
        behind = 0.0 if now >= self._evenly_from else _CATCH_UP
        self._due = seconds + (now if self._due is None else max(self._due, now - behind))
        self._next = max(self._due, now + seconds / _FASTEST)
        self._on_their_way.append(departure)
        self._recent.append(departure)
        self._recent_count += departure.count

    def _room_at(self, now: float) -> float:
        """Return when the last second has room for another batch."""
        self._read_answers()
        while self._recent and self._arrival(self._recent[0]) <= now - 1:
            self._recent_count -= self._recent.popleft().count
        excess = self._recent_count + self.batch_size - self._most
        if excess <= 0:
            return now
        for arrival, count in sorted((self._arrival(departure), departure.count) for departure in self._recent):
            excess -= count
            if excess <= 0:
                return arrival + 1
        return now

    def _read_answers(self) -> None:
        while self._on_their_way and (answered := self._on_their_way[0].answered) is not None:
            self._fastest = min(self._fastest, answered - self._on_their_way.popleft().started)
            self._answers += 1

    def _arrival(self, departure: Departure) -> float:
        """Return the best estimate of when a batch reached SQS."""
        if departure.answered is None:
            return departure.started
        fastest = self._fastest if self._answers >= _ENOUGH_ANSWERS else 0.0
        return max(departure.started, departure.answered - fastest)

    def _in_rhythm(self, now: float) -> float:
        """Return the next time in the schedule at which this lane can begin."""
        if self._interval > 1:
            return now
        beat = math.ceil((now + self._epoch) / self._interval - self._place)
        return (beat + self._place) * self._interval - self._epoch
