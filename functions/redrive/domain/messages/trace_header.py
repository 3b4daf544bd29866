"""Reads the X-Ray trace header of a message: whether Lambda takes what it counts there for a recursive loop.

Used by `redrive.domain.messages.opened`. Whoever sends a message can write any header, so what it says is shown to
people and decides nothing.
"""

from __future__ import annotations

import re

# Field `Lineage`: parts, separated by bars, that end with a count. No page of AWS defines it; real headers have
# `Lineage=456f6a97:0` (aws-xray-sdk-java, pull request 409), and since 2024 `Lineage=1:283dea05:0`.
# "If your function is invoked approximately 16 times in the same chain of requests, then Lambda automatically stops the
# next function invocation" (Lambda developer guide, "Use Lambda recursive loop detection to prevent infinite loops").
# The first invocation counts 0, so what the sixteenth sends has 15. One expression, because a header can hold a hundred
# thousand fields and counts.
_LOOP = re.compile(
    r"(?:^|;)\s*Lineage=[^;]*?:0*(?:1[5-9]|[2-9][0-9]|[1-9][0-9]{2,8})\s*(?=[|,;]|$)", re.IGNORECASE | re.ASCII
)


def counts_a_loop(header: str) -> bool:
    """Return whether a trace header counts as many invocations of one function as Lambda takes for a recursive loop."""
    return _LOOP.search(header) is not None
