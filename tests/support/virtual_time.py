"""Processes on a clock of its own: one runs at a time, and time passes only while all of them sleep.

Used by tests.support.model_runs to play the functions of whole runs next to each other. The same processes always take
the same turns, and an hour takes no time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any


class KilledError(BaseException):
    """Raised in a process that was killed, and whenever it tries to go on."""


class Process:
    """Something that runs, sleeps, and ends."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.ended = False
        self.killed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.turn = threading.Semaphore(0)
        self.waiting: list[Process] = []
        self._work = work

    def work(self) -> None:
        """Do the work, and keep what came of it."""
        try:
            if not self.killed:
                self.result = self._work()
        except BaseException as error:  # noqa: BLE001 (whoever waits for the process gets it)
            self.error = error


class VirtualTime:
    """A clock, and the processes that it wakes. Times are in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, int, Process]] = []
        self._order = itertools.count()
        self._current: Process | None = None
        self._turn = threading.Semaphore(0)

    def start(self, work: Callable[[], Any]) -> Process:
        """Start a process; it has its first turn when the caller sleeps."""
        process = Process(work)

        def run() -> None:
            process.turn.acquire()
            process.work()
            process.ended = True
            for waiting in process.waiting:
                self._wake(waiting, self.now)
            self._turn.release()

        threading.Thread(target=run, daemon=True).start()
        self._wake(process, self.now)
        return process

    def kill(self, process: Process) -> None:
        """Let a process end at its next turn, which is now, without doing anything more."""
        process.killed = True
        self._wake(process, self.now)

    def sleep(self, seconds: float) -> None:
        """Let others have their turns until some time has passed."""
        self.sleep_until(self.now + seconds)

    def sleep_until(self, time: float) -> None:
        """Let others have their turns until it is that time."""
        self.check_alive()
        if not self._sleeping or time < self._sleeping[0][0]:
            self.now = max(self.now, time)
            return
        self._wake(self._running, time)
        self._pass_turn()

    def check_alive(self) -> None:
        """Raise KilledError if the running process was killed."""
        if self._running.killed:
            raise KilledError

    def die(self) -> None:
        """Kill the running process."""
        self._running.killed = True
        raise KilledError

    def wait_for(self, process: Process) -> None:
        """Let others have their turns until a process has ended."""
        while not process.ended:
            process.waiting.append(self._running)
            self._pass_turn()

    def run(self, work: Callable[[], Any]) -> Any:
        """Run a process and everything that it starts to the end; return its result, or raise its error."""
        first = self.start(work)
        while self._sleeping:
            time, _, process = heapq.heappop(self._sleeping)
            if process.ended:
                continue
            self.now = max(self.now, time)
            self._current = process
            process.turn.release()
            self._turn.acquire()
        if first.error is not None:
            raise first.error
        return first.result

    @property
    def _running(self) -> Process:
        assert self._current is not None
        return self._current

    def _wake(self, process: Process, time: float) -> None:
        heapq.heappush(self._sleeping, (time, next(self._order), process))

    def _pass_turn(self) -> None:
        process = self._running
        self._turn.release()
        process.turn.acquire()
        self.check_alive()
