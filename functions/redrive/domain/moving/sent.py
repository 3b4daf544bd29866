"""Which messages this run has sent, so that one that shows up again is only deleted.

Used by the lane; a later slice starts with the ids that an earlier one couldn't delete.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

_REMEMBERED = 20_000


class SentMessages:
    """Ids of sent messages: the latest ones, and all that may still be in the dead-letter queue.

    Parameters
    ----------
    earlier : Iterable[str]
        Ids that earlier slices or runs sent but perhaps didn't delete: the runs table has them.
    """

    def __init__(self, earlier: Iterable[str]) -> None:
        self._sent: OrderedDict[str, None] = OrderedDict.fromkeys(earlier)
        self._earlier = frozenset(self._sent)
        self._undeleted: set[str] = set(self._sent)
        # What the runs table has, and what it has to learn next: ids that may stay, and those that have left.
        self._recorded: set[str] = set(self._sent)
        self._unsure: set[str] = set()
        self._settled: set[str] = set()
        # Messages that another lane may have received after they were sent.
        self._exposed: set[str] = set()

    def __contains__(self, message_id: str) -> bool:
        """Return whether the message was sent."""
        return message_id in self._sent

    def add(self, message_id: str) -> None:
        """Remember a message that was sent and isn't deleted yet."""
        self._sent[message_id] = None
        self._undeleted.add(message_id)
        while len(self._sent) > _REMEMBERED + len(self._undeleted):
            oldest, _ = self._sent.popitem(last=False)
            if oldest in self._undeleted:
                self._sent[oldest] = None

    def doubt(self, message_id: str) -> None:
        """Take note that an attempt at deleting a sent message failed, or came late."""
        self._unsure.add(message_id)

    def seen_again(self, message_id: str) -> None:
        """Take note that a sent message is still in the queue."""
        self._undeleted.add(message_id)
        self._settled.discard(message_id)
        self._unsure.add(message_id)

    def deleted(self, message_id: str) -> None:
        """Take note that a sent message has left the queue."""
        self._undeleted.discard(message_id)
        self._unsure.discard(message_id)
        if message_id in self._recorded:
            self._settled.add(message_id)

    @property
    def undeleted(self) -> frozenset[str]:
        """Ids that this lane sent and that may still be in the dead-letter queue."""
        return frozenset(self._undeleted - self._earlier)

    def to_record(self, *, everything: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what the runs table has to learn: ids that may still be in the queue, and those that have left it.

        Parameters
        ----------
        everything : bool
            Return all ids of undeleted messages, not only those whose deletion has run into trouble.
        """
        possible = self._undeleted if everything else self._unsure
        return tuple(sorted(possible - self._recorded)), tuple(sorted(self._settled))

    def recorded(self, undeleted: Iterable[str], settled: Iterable[str]) -> None:
        """Take note of what the runs table has learned."""
        self._recorded.update(undeleted)
        # What was deleted while it was being recorded.
        self._settled.update(self._recorded.intersection(undeleted) - self._undeleted)
        gone = set(settled) & self._settled
        self._settled -= gone
        self._recorded -= gone

    def expose(self, message_id: str) -> bool:
        """Take note that others may have received a sent message; return whether this lane sent it and didn't know."""
        new = message_id not in self._earlier and message_id not in self._exposed
        self._exposed.add(message_id)
        return new
