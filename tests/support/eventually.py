"""Waits for something that another process brings about, instead of sleeping for as long as it might take.

Used by the integration and end-to-end tests.
"""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05
# How long something that never comes holds up a test. It says nothing about speed: machines have other work too.
_LONGEST_SECONDS = 200


def eventually[T](peek: Callable[[], T | None]) -> T:
    """Call ``peek`` until what it returns is true, and return that.

    Parameters
    ----------
    peek
        Looks at the outside world; called once at least.

    Raises
    ------
    AssertionError
        It was never true; the message has what it returned last.
    """
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not (seen := peek()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {_LONGEST_SECONDS} s; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
    return seen
