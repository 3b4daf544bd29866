"""Keeps track of requests in flight: it waits for answers on sockets, and has threads make all other requests.

Used by the pipeline, in one thread.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Self

from redrive.domain.moving.actions import Action, Outcome

#: Work for a thread, because it may block.
type Work = Callable[[], Outcome]
#: Called when a socket is readable, and once per check. Returns the outcome, the rest of the work if it needs a thread,
#: or None if the answer is incomplete.
type Step = Callable[[], Outcome | Work | None]

# Seconds between two checks, which call every step. A step knows when its answer is overdue.
_CHECK_SECONDS = 1.0


class InFlight:
    """Actions that have begun and not ended. Use it as a context manager.

    Parameters
    ----------
    threads : int
        Number of threads. They are idle until they get work.
    """

    def __init__(self, threads: int) -> None:
        self._todo: SimpleQueue[tuple[Action, Work] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Action, Outcome | BaseException]] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"sqs-{index}", daemon=True) for index in range(threads)]
        # Actions whose answers haven't arrived, by their connections.
        self._waiting: dict[socket.socket, tuple[Action, Step]] = {}
        # A thread writes a byte here when it's done, to wake up the caller.
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self._check_at = time.monotonic() + _CHECK_SECONDS

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()
        # After an error, also the connections whose answers nobody waits for anymore.
        for connection in (self._bell, self._ring, *self._waiting):
            connection.close()

    def perform(self, action: Action, work: Work) -> None:
        """Have a thread do an action's work."""
        self._todo.put((action, work))

    def watch(self, action: Action, connection: socket.socket, step: Step) -> None:
        """Wait for the answer to an action's request on a connection."""
        self._waiting[connection] = action, step

    def ended(self, seconds: float) -> Iterator[tuple[Action, Outcome]]:
        """Yield the actions that have ended, with their outcomes. Wait at most `seconds` for the first, if positive."""
        connections = [self._bell, *self._waiting]
        # poll and epoll wait for whole milliseconds, in which a fast lane sends several batches. select only takes file
        # descriptors below 1,024, but a function has no others (Lambda developer guide, "Lambda quotas").
        ready, _, _ = select.select(connections, (), (), max(0.0, min(seconds, _CHECK_SECONDS)))
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + _CHECK_SECONDS
            ready = connections
        for connection in ready:
            if connection is self._bell:
                yield from self._done_by_threads()
                continue
            # Before the step, which closes the connection or lets another request have it.
            action, step = self._waiting.pop(connection)
            result = step()
            if result is None:
                self.watch(action, connection, step)
            elif callable(result):
                self.perform(action, result)
            else:
                yield action, result

    def _done_by_threads(self) -> Iterator[tuple[Action, Outcome]]:
        with suppress(BlockingIOError):
            self._bell.recv(4096)
        while True:
            try:
                action, outcome = self._done.get_nowait()
            except Empty:
                return
            if isinstance(outcome, BaseException):
                raise outcome
            yield action, outcome

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None:
            action, work = todo
            try:
                self._done.put((action, work()))
            except BaseException as error:  # noqa: BLE001
                # The outermost edge of this thread. The caller raises the error.
                self._done.put((action, error))
            # If the buffer is full, the bytes in it wake up the caller.
            with suppress(BlockingIOError):
                self._ring.send(b"!")
