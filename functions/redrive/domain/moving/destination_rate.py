"""Keeps the lanes of a run together within its share of a queue's max rate.

Used by the lane, next to its rate limiter, for each destination that declares a max rate.
"""

from __future__ import annotations

import math
from typing import Protocol
from zlib import crc32

from redrive.domain.messages.message import MAX_BATCH_ENTRIES
from redrive.domain.moving.rate_limiter import Departure, RateLimiter
from redrive.domain.plan.rates import MaxRate

# Messages per second, up to which lanes take turns. Above it, a turn would be too short to be met.
_TURNS_BELOW = 500.0
# Messages may leave in this part of a turn at least, and for as many seconds if the turn is that long.
_SMALLEST_OPENING = 0.1
_SHORTEST_OPENING = 0.02
# More than the error of times in seconds since 1970.
_ROUNDING = 1e-5


class DestinationRate(Protocol):
    """When a lane may send to a destination, and how much."""

    @property
    def rate(self) -> float:
        """Messages per second of this lane."""

    def batch_size(self, now: float) -> int:
        """Return how many messages may go in one batch, now or the next time that any may."""

    def ready_at(self, now: float) -> float:
        """Return when the next batch may be sent, in the clock's seconds."""

    def take(self, departure: Departure) -> None:
        """Record that a batch is sent."""


class Turns:
    """Lets the lanes of a run send in turns, by the time of day, so that together they send like one.

    Time is divided into turns of equal length, and each belongs to one lane, which may send one batch's worth of
    messages in it. Nothing is agreed on between lanes, rounds, or attempts: the clock decides. Lambda synchronizes the
    system clock with NTP (Lambda developer guide, "Defined runtime environment variables", TZ); a turn takes ten
    milliseconds at least.

    A second has parts of at most one turn more than fit into it, so no second has more than the share and one batch.

    Parameters
    ----------
    share : float
        Messages per second, over all lanes.
    batch_size : int
        Messages per turn.
    lane, lanes : int
        The lane, counted from 0, and how many there are.
    began : float
        When the lane's slice began, on its clock. That turn may have been used by the slice before.
    epoch : float
        What to add to the lane's clock to get seconds since 1970.
    """

    def __init__(self, share: float, batch_size: int, lane: int, lanes: int, *, began: float, epoch: float) -> None:
        self._batch_size = batch_size
        self._lane = lane
        self._lanes = lanes
        self._epoch = epoch
        self.rate = share / lanes
        interval = batch_size / share
        whole = math.floor(1 / interval + 1e-9)
        # A turn and the one `whole + 1` later must not touch the same second: the first one ends early enough, and if
        # that leaves too little of it, turns are longer.
        self._length = max(interval, 1 / (whole + 1 - _SMALLEST_OPENING), (1 + _SHORTEST_OPENING) / (whole + 1))
        self._open = min(self._length, (whole + 1) * self._length - 1)
        self._turn = self._turn_at(began)
        self._left = 0

    def batch_size(self, now: float) -> int:
        """Return how many messages may go in one batch, now or the next time that any may."""
        return self._left if self._turn_at(now) == self._turn and self._left else self._batch_size

    def ready_at(self, now: float) -> float:
        """Return when the next batch may be sent, in the clock's seconds."""
        turn = self._turn_at(now)
        mine = (turn - self._lane) % self._lanes == 0
        used = turn == self._turn and not self._left
        if mine and not used and now + self._epoch - turn * self._length < self._open - _ROUNDING:
            return now
        ahead = (self._lane - turn - 1) % self._lanes + 1
        return max(now, (turn + ahead) * self._length - self._epoch + _ROUNDING)

    def take(self, departure: Departure) -> None:
        """Record that a batch is sent."""
        turn = self._turn_at(departure.started)
        self._left = (self._left if turn == self._turn else self._batch_size) - departure.count
        self._turn = turn

    def _turn_at(self, now: float) -> int:
        return math.floor((now + self._epoch) / self._length)


class _Evenly:
    """A lane's part of a share that is too high for turns."""

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self.rate = rate_limiter.rate
        self._rate_limiter = rate_limiter
        self.ready_at = self._rate_limiter.ready_at
        self.take = self._rate_limiter.take

    def batch_size(self, now: float) -> int:  # noqa: ARG002
        return self._rate_limiter.batch_size


def destination_rate(
    limit: MaxRate, lane: int, lanes: int, *, began: float, ends_at: float, epoch: float
) -> DestinationRate:
    """Return what keeps a lane's part of a run's share.

    Parameters
    ----------
    limit : MaxRate
        The run's share.
    lane, lanes : int
        The lane, counted from 0, and how many there are.
    began, ends_at : float
        When the lane's slice began, and when the next one may begin, on its clock.
    epoch : float
        What to add to the lane's clock to get seconds since 1970.
    """
    if limit.share > _TURNS_BELOW:
        rate = limit.share / lanes
        return _Evenly(RateLimiter(rate, limit.batch_size, lane=lane, lanes=lanes, epoch=epoch, ends_at=ends_at))
    # Lanes have their turns at different times for different queues.
    place = (lane + crc32(limit.queue.arn.encode())) % lanes
    return Turns(limit.share, min(MAX_BATCH_ENTRIES, limit.batch_size), place, lanes, began=began, epoch=epoch)
