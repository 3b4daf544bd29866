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
        Ids that earlier slices sent but perhaps didn't delete.
    """

    def __init__(self, earlier: Iterable[str]) -> None:
        self._sent: OrderedDict[str, None] = OrderedDict.fromkeys(earlier)
        self._earlier = frozenset(self._sent)
        self._undeleted: set[str] = set(self._sent)

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

    def seen_again(self, message_id: str) -> None:
        """Take note that a sent message is still in the queue."""
        self._undeleted.add(message_id)

    def deleted(self, message_id: str) -> None:
        """Take note that a sent message has left the queue."""
        self._undeleted.discard(message_id)

    @property
    def undeleted(self) -> frozenset[str]:
        """Ids that this lane sent and that may still be in the dead-letter queue."""
        return frozenset(self._undeleted - self._earlier)
