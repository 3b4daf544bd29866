"""Keeps messages for a slow destination from filling a lane's hand, in which those for others have to fit too.

Used by the lane for destinations that declare a max rate well below the lane's own. What exceeds a second's worth of
such messages stays invisible in the dead-letter queue, each about until its destination can take it, and is received
again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from redrive.domain.messages.destinations import Destination, Kind
from redrive.domain.moving.destination_rate import DestinationRate

# A destination is slow if it takes at most this part of what the lane sends.
_SLOW = 0.5
# Messages of a slow destination that are kept in hand, in seconds of its rate.
_SECONDS_IN_HAND = 1.0
# No longer than messages of a lane that died stay invisible: the tally waits for both.
_LONGEST = 30
# Deferred messages at a time. Twenty lanes use a third of what SQS lets be in flight.
_MOST = 2000


@dataclass(slots=True)
class Deferral:
    """Decides which messages are received again later, and when."""

    destination_rates: Mapping[str, DestinationRate]
    #: False if the order counts, or if receiving a message twice can move it to another queue.
    enabled: bool
    _next: dict[str, float] = field(default_factory=dict)
    _returns: deque[float] = field(default_factory=deque)

    def seconds(self, destination: Destination, buffered: int, rate: float, now: float) -> int:
        """Return how long to defer a message, in seconds; 0 to take it in hand.

        Parameters
        ----------
        destination : Destination
            Where it is to go.
        buffered : int
            Messages in hand that wait to be sent there.
        rate : float
            What the lane sends, in messages per second.
        now : float
            The time.
        """
        limiter = self.destination_rates.get(destination.address)
        # A deferred message could be overtaken by those of its group.
        if not self.enabled or limiter is None or destination.kind is not Kind.QUEUE:
            return 0
        enough = max(limiter.batch_size(now), _SECONDS_IN_HAND * limiter.rate)
        while self._returns and self._returns[0] <= now:
            self._returns.popleft()
        if limiter.rate > _SLOW * rate or buffered < enough or len(self._returns) >= _MOST:
            return 0
        at = max(self._next.get(destination.address, 0.0), now + buffered / limiter.rate)
        if at < now + _LONGEST:
            self._next[destination.address] = at + 1 / limiter.rate
        seconds = min(_LONGEST, math.ceil(round(at - now, 3)))
        self._returns.append(now + seconds)
        return seconds
