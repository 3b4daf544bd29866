"""Stores the messages of one SQS queue, with receives, deletes, and counts that cost the same at any depth.

``local.ministack_compat.sqs`` replaces each queue's list of messages with one. ministack's own producers (SNS,
EventBridge, S3, Lambda destinations) append to it as to that list.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

Message = dict[str, Any]

# ministack serves HTTP on an event loop, polls for Lambda on a thread and runs each state machine on another; all of
# them change queues. One lock is enough, because every operation below is short.
STORE_LOCK = threading.RLock()


class ReceiptHandleError(ValueError):
    """The receipt handle was never issued, or is no longer valid for the request."""


class MessageStore:
    """The messages of one queue, in arrival order, indexed by id, by visibility and by age.

    A standard queue returns visible messages in rotation: a message that becomes visible again is added at the end, so
    a reader that releases its messages still reaches the whole queue, as on AWS. A FIFO queue returns one message group
    at a time, in order, and none of a group that has messages in flight (Amazon SQS Developer Guide, "FIFO queue
    delivery logic").

    Parameters
    ----------
    fifo
        Whether the queue is a FIFO queue.
    messages
        Messages to start with.
    """

    def __init__(self, *, fifo: bool = False, messages: Iterable[Message] = ()) -> None:
        self._fifo = fifo
        self._tie_breaker = itertools.count()
        self._by_id: dict[str, Message] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._hidden: dict[str, float] = {}
        self._delayed: set[str] = set()
        self._due: list[tuple[float, int, str]] = []
        self._ages: list[tuple[float, int, str]] = []
        self._groups: dict[str, OrderedDict[str, None]] = {}
        self._in_flight_of_group: dict[str, int] = {}
        self._open_groups: OrderedDict[str, None] = OrderedDict()
        for message in messages:
            self.append(message)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Message]:
        with STORE_LOCK:
            return iter(list(self._by_id.values()))

    def __getitem__(self, index: int) -> Message:
        # Only ``messages[-1]`` right after an append is used by ministack; a dictionary reaches its end in O(1).
        if index == -1:
            return self._by_id[next(reversed(self._by_id))]
        return next(itertools.islice(iter(self), index, None))

    def append(self, message: Message) -> None:
        """Add a message, visible from its ``visible_at`` on."""
        with STORE_LOCK:
            now = time.time()
            message.setdefault("sent_at", now)
            message.setdefault("visible_at", message["sent_at"])
            message.setdefault("receive_count", 0)
            message.setdefault("receipt_handle", None)
            message_id = message["id"]
            self._by_id[message_id] = message
            enqueued_at = float(message.get("enqueued_at") or message["sent_at"])
            heapq.heappush(self._ages, (enqueued_at, next(self._tie_breaker), message_id))
            if self._fifo:
                self._groups.setdefault(_group_of(message), OrderedDict())[message_id] = None
            if message["visible_at"] > now:
                self._hide(message, message["visible_at"])
            else:
                self._show(message)

    def remove(self, message: Message) -> None:
        """Remove a message whether or not it is in flight; unknown messages are ignored."""
        with STORE_LOCK:
            self._forget(message["id"])

    def clear(self) -> None:
        """Remove every message."""
        with STORE_LOCK:
            for message_id in list(self._by_id):
                self._forget(message_id)

    def take(
        self, limit: int, visibility_timeout: float, max_receive_count: int | None = None
    ) -> tuple[list[Message], list[Message]]:
        """Receive up to ``limit`` messages.

        Parameters
        ----------
        limit
            Most messages to hand out.
        visibility_timeout
            Seconds for which they stay hidden.
        max_receive_count
            A visible message received this often is removed instead of handed out; None for no limit.

        Returns
        -------
        tuple
            The messages received, each with a new receipt handle, and the messages that have to go to the dead-letter
            queue.
        """
        with STORE_LOCK:
            now = time.time()
            self._show_due(now)
            taken: list[Message] = []
            dead: list[Message] = []
            # Collected first and hidden after, so that a visibility timeout of 0 does not hand out one message twice.
            for message in self._candidates():
                if max_receive_count is not None and message["receive_count"] >= max_receive_count:
                    dead.append(message)
                    continue
                taken.append(message)
                if len(taken) >= limit:
                    break
            for message in dead:
                self._forget(message["id"])
            for message in taken:
                message["receive_count"] += 1
                message["receipt_handle"] = _new_handle(message["id"])
                message["first_receive_at"] = message.get("first_receive_at") or now
                self._hide(message, now + visibility_timeout)
            return taken, dead

    def delete(self, handle: str) -> None:
        """Delete the message a receipt handle stands for.

        Deleting twice succeeds, and so does an outdated handle of a standard queue, without effect (Amazon SQS API
        Reference, DeleteMessage).

        Raises
        ------
        ReceiptHandleError
            The handle was never issued, or belongs to a FIFO queue's message that is no longer in flight.
        """
        with STORE_LOCK:
            self._show_due(time.time())
            message = self._by_id.get(_message_id_of(handle))
            if message is None:
                return
            if message["receipt_handle"] == handle and (not self._fifo or message["id"] in self._hidden):
                self._forget(message["id"])
            elif self._fifo:
                raise ReceiptHandleError("The receipt handle has expired.")

    def change_visibility(self, handle: str, seconds: float) -> None:
        """Hide the message for ``seconds`` from now on; 0 makes it visible.

        Raises
        ------
        ReceiptHandleError
            The handle was never issued.
        LookupError
            The message is deleted or not in flight.
        """
        with STORE_LOCK:
            now = time.time()
            self._show_due(now)
            message = self._by_id.get(_message_id_of(handle))
            if message is None or message["receipt_handle"] != handle or message["id"] not in self._hidden:
                raise LookupError("Message does not exist or is not available for visibility timeout change.")
            self._hide(message, now + seconds)
            self._show_due(now)

    def expire(self, oldest_kept: float) -> None:
        """Drop the messages enqueued before ``oldest_kept`` (epoch seconds)."""
        with STORE_LOCK:
            while (oldest := self._oldest()) is not None and oldest[0] <= oldest_kept:
                self._forget(oldest[2])

    def counts(self) -> tuple[int, int, int]:
        """Return the number of visible, in-flight and delayed messages."""
        with STORE_LOCK:
            self._show_due(time.time())
            hidden = len(self._hidden)
            return len(self._by_id) - hidden, hidden - len(self._delayed), len(self._delayed)

    def oldest_enqueued_at(self) -> float | None:
        """Return when the oldest message was enqueued (epoch seconds), or None when the queue is empty."""
        with STORE_LOCK:
            oldest = self._oldest()
            return oldest[0] if oldest else None

    def _oldest(self) -> tuple[float, int, str] | None:
        while self._ages and self._ages[0][2] not in self._by_id:
            heapq.heappop(self._ages)
        return self._ages[0] if self._ages else None

    def _candidates(self) -> Iterator[Message]:
        if not self._fifo:
            for message_id in self._ready:
                yield self._by_id[message_id]
            return
        for group in self._open_groups:
            for message_id in self._groups[group]:
                if message_id in self._hidden:
                    break
                yield self._by_id[message_id]

    def _hide(self, message: Message, until: float) -> None:
        message_id = message["id"]
        was_in_flight = message_id in self._hidden and message_id not in self._delayed
        message["visible_at"] = until
        self._hidden[message_id] = until
        heapq.heappush(self._due, (until, next(self._tie_breaker), message_id))
        self._ready.pop(message_id, None)
        if message["receive_count"] == 0:
            self._delayed.add(message_id)
        elif self._fifo and not was_in_flight:
            group = _group_of(message)
            self._in_flight_of_group[group] = self._in_flight_of_group.get(group, 0) + 1
            self._open_groups.pop(group, None)

    def _show(self, message: Message) -> None:
        if self._fifo:
            self._reopen(_group_of(message))
        else:
            self._ready[message["id"]] = None

    def _show_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            until, _, message_id = heapq.heappop(self._due)
            if self._hidden.get(message_id) != until:
                continue
            self._unhide(message_id)
            self._show(self._by_id[message_id])

    def _unhide(self, message_id: str) -> None:
        if self._hidden.pop(message_id, None) is None:
            return
        if message_id in self._delayed:
            self._delayed.discard(message_id)
        elif self._fifo:
            group = _group_of(self._by_id[message_id])
            remaining = self._in_flight_of_group[group] - 1
            if remaining:
                self._in_flight_of_group[group] = remaining
            else:
                del self._in_flight_of_group[group]

    def _forget(self, message_id: str) -> None:
        if message_id not in self._by_id:
            return
        self._unhide(message_id)
        message = self._by_id.pop(message_id)
        self._ready.pop(message_id, None)
        if self._fifo:
            group = _group_of(message)
            members = self._groups[group]
            members.pop(message_id, None)
            if not members:
                del self._groups[group]
                self._open_groups.pop(group, None)
            else:
                self._reopen(group)

    def _reopen(self, group: str) -> None:
        """Offer a group again once nothing of it is in flight and its first message is visible."""
        if group in self._in_flight_of_group or next(iter(self._groups[group])) in self._hidden:
            return
        self._open_groups.setdefault(group, None)


def _group_of(message: Message) -> str:
    return str(message.get("group_id") or "")


def _new_handle(message_id: str) -> str:
    return base64.urlsafe_b64encode(f"{message_id} {secrets.token_hex(16)}".encode()).decode()


def _message_id_of(handle: str) -> str:
    try:
        message_id, _nonce = base64.b64decode(handle, altchars=b"-_", validate=True).decode().split(" ")
    except ValueError:
        raise ReceiptHandleError("The input receipt handle is invalid.") from None
    return message_id
