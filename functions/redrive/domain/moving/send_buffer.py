"""Messages that wait to be sent, batched by destination.

Used by the lane. Of each ordered group, one message at a time is sent; the others wait in line behind it.
"""

from __future__ import annotations

from collections import deque

from redrive.domain.judging.verdicts import Line, Skip, line_of
from redrive.domain.messages.destinations import Destination
from redrive.domain.messages.message import MAX_BYTES
from redrive.domain.messages.outbound import Outbound
from redrive.domain.moving.transitions import InHand


def outbound_of(held: InHand) -> Outbound:
    """Return the request that sends a message which its verdict says to send."""
    assert held.verdict is not None
    assert not isinstance(held.verdict, Skip)
    return held.verdict.outbound


class SendBuffer:
    """Messages that may be sent to one destination now."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._waiting: deque[InHand] = deque()

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._waiting)

    def add(self, held: InHand) -> None:
        """Add a message behind the others."""
        self._waiting.append(held)

    def put_back(self, held: InHand) -> None:
        """Add a message that must be sent again, before the others."""
        self._waiting.appendleft(held)

    def oldest(self) -> float:
        """Return since when the next message waits; infinity if none does."""
        return self._waiting[0].since if self._waiting else float("inf")

    def take(self, most: int) -> list[InHand]:
        """Take a batch: at most `most` messages and 1 MiB."""
        taken: list[InHand] = []
        total = 0
        while self._waiting and len(taken) < most:
            size = outbound_of(self._waiting[0]).size
            if taken and (total + size > MAX_BYTES or self._waiting[0].alone or taken[0].alone):
                break
            total += size
            taken.append(self._waiting.popleft())
        return taken

    def clear(self) -> list[InHand]:
        """Take out everything."""
        everything = list(self._waiting)
        self._waiting.clear()
        return everything


class SendBuffers:
    """The send buffers of a lane, one for each destination, and the lines of messages that keep their order.

    The first message of a line is in its buffer or on its way. The next one follows only after the destination has
    accepted the first, because the entries of a batch can fail one by one.

    Parameters
    ----------
    fifo : bool
        The dead-letter queue is a FIFO queue.
    """

    def __init__(self, *, fifo: bool) -> None:
        self._fifo = fifo
        self._buffers: dict[str, SendBuffer] = {}
        self._lines: dict[Line, deque[InHand]] = {}

    def line(self, held: InHand) -> Line | None:
        """Return the line of a message, or None if nothing needs to wait for it."""
        return line_of(held.verdict, held.message.group_id, fifo=self._fifo)

    def _buffer(self, held: InHand) -> SendBuffer:
        destination = outbound_of(held).destination
        buffer = self._buffers.get(destination.address)
        if buffer is None:
            buffer = self._buffers[destination.address] = SendBuffer(destination)
        return buffer

    def waiting_for(self, destination: Destination) -> int:
        """Return the number of messages that may be sent to a destination now."""
        buffer = self._buffers.get(destination.address)
        return 0 if buffer is None else len(buffer)

    def add(self, held: InHand) -> None:
        """Add a message, behind those of its line."""
        key = self.line(held)
        if key is not None:
            line = self._lines.setdefault(key, deque())
            line.append(held)
            if len(line) > 1:
                return
        self._buffer(held).add(held)

    def put_back(self, held: InHand) -> None:
        """Add a message that must be sent again; its line has waited for it."""
        self._buffer(held).put_back(held)

    def done_with(self, held: InHand) -> None:
        """Let the next message of a line follow."""
        key = self.line(held)
        line = self._lines.get(key) if key is not None else None
        if key is None or line is None:
            return
        line.popleft()
        if line:
            self._buffer(line[0]).add(line[0])
        else:
            del self._lines[key]

    def remove_behind(self, held: InHand) -> list[InHand]:
        """Take out every message that waits in line behind `held`."""
        key = self.line(held)
        line = self._lines.get(key) if key is not None else None
        if line is None:
            return []
        _, *behind = line
        line.clear()
        line.append(held)
        return behind

    def longest_waiting_first(self) -> list[SendBuffer]:
        """Return all buffers, so that at a low rate none starves another."""
        return sorted(self._buffers.values(), key=SendBuffer.oldest)

    def clear(self) -> list[InHand]:
        """Take everything out that isn't on its way."""
        everything = [held for buffer in self._buffers.values() for held in buffer.clear()]
        for line in self._lines.values():
            _, *behind = line
            everything += behind
        self._lines.clear()
        return everything
