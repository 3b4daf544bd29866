"""How many messages a lane may ask for, and when its queue counts as empty.

Used by the lane: quota, empty answers, bytes in hand, and back-off after failed receives.
"""

from __future__ import annotations

from dataclasses import dataclass

from redrive.domain.messages.message import MAX_BATCH_ENTRIES
from redrive.domain.moving.actions import Receive

# A queue counts as empty after this many long polls in a row that returned nothing.
EMPTY_POLLS = 3
_RECEIVES_AT_ONCE = 10


@dataclass(slots=True)
class Intake:
    """What a lane may still take in."""

    fifo: bool
    #: Messages that may still be committed to leave the queue; None if there is no quota.
    uncommitted: int | None
    max_in_hand: int
    max_bytes: int
    #: Bytes of the messages in hand.
    bytes_in_hand: int = 0
    #: Receives that haven't been answered, and the messages they requested.
    receiving: int = 0
    requested: int = 0
    #: Messages that may be committed before the next checkpoint; None if there is no limit.
    granted: int | None = None
    #: Messages that have left the queue, or are about to.
    committed: int = 0
    #: Failed receives in a row.
    failures: int = 0
    #: No receive before this time.
    not_before: float = float("-inf")
    _empties: int = 0
    _last_empty: bool = False
    #: Deferred messages are visible again by this time.
    _returned_at: float = float("-inf")

    @property
    def drained(self) -> bool:
        """Whether the queue was seen empty several times in a row."""
        return self._empties >= EMPTY_POLLS

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be received: the queue is empty, or the quota is used up."""
        used_up = self.uncommitted is not None and self.uncommitted <= 0 and not self.receiving
        return self.drained or used_up

    @property
    def waits_for_checkpoint(self) -> bool:
        """Whether less than a batch may be committed before the next checkpoint, and more may be afterwards."""
        if self.granted is None or self.exhausted:
            return False
        left = self.granted - self.committed
        return left < MAX_BATCH_ENTRIES and (self.uncommitted is None or left < self.uncommitted)

    def wanted(self, in_hand: int) -> int:
        """Return how many messages to ask for now, with this many in hand; 0 if none."""
        if self.receiving >= (1 if self._last_empty or self.fifo else _RECEIVES_AT_ONCE):
            return 0
        wanted = MAX_BATCH_ENTRIES
        if self.uncommitted is not None:
            wanted = min(wanted, self.uncommitted - self.requested)
        if self.granted is not None:
            wanted = min(wanted, self.granted - self.committed - self.requested)
        if wanted <= 0 or in_hand + self.requested + wanted > self.max_in_hand:
            return 0
        average = self.bytes_in_hand / in_hand if in_hand else 0
        return 0 if self.bytes_in_hand + average * (self.requested + wanted) > self.max_bytes else wanted

    def start(self, wanted: int) -> None:
        """Count a receive that is issued."""
        self.receiving += 1
        self.requested += wanted

    def end(self, action: Receive) -> None:
        """Count a receive that has ended."""
        self.receiving -= 1
        self.requested -= action.max_messages

    def answered(self, action: Receive, messages: int) -> None:
        """Take note of a response with this many messages.

        SQS returns nothing of a FIFO group while one of its messages is in flight, so an empty answer to a receive
        that was issued with messages in hand says nothing about the queue. Nor does one that was issued before deferred
        messages were visible again.
        """
        self.failures = 0
        self._last_empty = messages == 0
        says_nothing = (self.fifo and not action.empty_handed) or action.issued_at <= self._returned_at
        self._empties = 0 if messages or says_nothing else self._empties + 1

    def returns(self, at: float) -> None:
        """Take note that a message is visible again at a time, so the queue doesn't count as empty before."""
        self._empties = 0
        self._returned_at = max(self._returned_at, at)

    def not_empty(self) -> None:
        """Take note that a message is in the queue, whatever the answers said."""
        self._empties = 0

    def commit(self) -> None:
        """Count a message that is to leave the queue."""
        self.committed += 1
        if self.uncommitted is not None:
            self.uncommitted -= 1

    def recommit(self) -> None:
        """Return a message's share of the quota, because it stays in the queue."""
        self.committed -= 1
        if self.uncommitted is not None:
            self.uncommitted += 1
