"""Calls what might wait forever if the code were broken, so a test fails instead of hanging."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

import pytest

# Much longer than any such call takes on a busy machine.
PATIENCE_SECONDS = 20.0
#: The thread in which `in_time` calls.
LANE = "lane"


def in_time[T](call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises. Fail the test if it doesn't end."""
    called: Future[T] = Future()

    def run() -> None:
        try:
            called.set_result(call())
        except BaseException as error:  # noqa: BLE001
            called.set_exception(error)

    threading.Thread(target=run, name=LANE, daemon=True).start()
    if not wait([called], PATIENCE_SECONDS).done:
        pytest.fail(f"Expected an end within {PATIENCE_SECONDS:.0f} seconds, but the call still waits.")
    return called.result()
