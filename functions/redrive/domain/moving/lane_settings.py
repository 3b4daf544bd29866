"""What a lane needs to know of its run and its slice.

Made by the move step, read by the lane.
"""

from __future__ import annotations

from typing import NamedTuple

from redrive.domain.moving.transitions import HeldRecord


class Notes(NamedTuple):
    """What a lane has to record for others, as of one heartbeat."""

    #: Messages to keep invisible, with the receipt handles that release them.
    held: tuple[HeldRecord, ...] = ()
    #: Ids of sent messages that may still be in the dead-letter queue, and of recorded ones that have left it.
    undeleted: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


class LaneSettings(NamedTuple):
    """What a lane needs to know."""

    #: The dead-letter queue is a FIFO queue.
    fifo: bool
    #: No other lane receives from it.
    alone: bool
    #: Take at most this many messages out of the queue; None if there is no limit.
    quota: int | None
    #: Times on the lane's clock, in seconds: no receive from `ends_at` on; at `stops_at`, what isn't sent is released.
    ends_at: float
    stops_at: float
    #: Seconds that a received message stays invisible to others.
    visibility: int
    #: Seconds that a skipped message is kept invisible.
    hold: int
    #: Requests in flight at a time.
    concurrency: int
    #: Messages in hand at a time, and their bytes.
    in_hand: int
    in_hand_bytes: int
    #: Messages may be received more than once.
    defers: bool
