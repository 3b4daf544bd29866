"""Ctrl-C while a run moves messages in this process: once to stop it at the next safe point, twice to quit at once.

Used by `redrive move`.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Event
from types import FrameType
from typing import Any, Self

from redrive.command.exits import INTERRUPTED
from redrive.command.output import Output

# A closed terminal, and whoever stops the machine, want the same.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Handles the signals that end a process, for as long as a run lasts.

    Parameters
    ----------
    stop : Event
        Set by the first signal.
    output : Output
        Where to say what happens next.
    resume : str
        The command that resumes the run.
    """

    def __init__(self, stop: Event, output: Output, resume: str) -> None:
        self._stop = stop
        self._output = output
        self._resume = resume
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._say("Stopping: finishing the messages in hand. Press Ctrl-C again to quit at once.")
            return
        self._say(f"Quit. Messages in hand become visible again within 30 seconds. Resume the run: {self._resume}")
        # Threads that wait for answers would keep the process.
        os._exit(INTERRUPTED)

    def _say(self, text: str) -> None:
        # A signal may come while something else is being printed, which must not be entered again.
        if not self._output.quiet and sys.stderr is not None:
            with suppress(OSError):  # such as a closed terminal
                os.write(2, f"\n{text}\n".encode())
