"""Waits for something that another process brings about, instead of sleeping for as long as it might take.

Used by the integration and end-to-end tests.
"""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def eventually[T](peek: Callable[[], T | None], timeout: float = 10.0) -> T:
    """Call ``look`` until what it returns is true, and return that.

    Parameters
    ----------
    look
        Looks at the outside world; called once at least.
    timeout
        Seconds to go on looking.

    Raises
    ------
    AssertionError
        It was never true; the message has what it returned last.
    """
    deadline = time.monotonic() + timeout
    while not (seen := peek()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
    return seen
