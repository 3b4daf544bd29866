"""Ends a command cleanly on Ctrl-C and SIGTERM; the entry points of ``local`` run inside :func:`ending_cleanly`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndedError(BaseException):
    """The command received a signal; like KeyboardInterrupt, it passes every ``except Exception``."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """End with one line instead of a traceback on Ctrl-C and SIGTERM, and run every ``finally`` block before.

    Further signals are ignored during the cleanup. Call it in the main thread only.

    Raises
    ------
    SystemExit
        A signal ended the command; the status is 128 plus the number of the signal, as in a shell.
    """

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise EndedError(number)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    except EndedError as ended:
        print(f"interrupted ({ended})", file=sys.stderr)
        raise SystemExit(ended.status) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
