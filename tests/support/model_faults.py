"""Draws the faults that hit a run on models, and says how many neighbors a test has.

Used by tests/neighbors; `tests.faults.schedules` has the words.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.faults.schedules import DELETE, DYNAMODB, RECEIVE, SEND, TASK, VISIBILITY, Fault, Kind

ITEMS = [DYNAMODB + operation for operation in ("PutItem", "GetItem", "UpdateItem", "Query", "DeleteItem")]
TASKS = [TASK + step for step in ("plan", "sample", "move", "tally", "clean-up", "report")]
KILLS = [Kind.KILLED, Kind.KILLED_AFTER]
FAILURES = [kind for kind in Kind if kind not in {*KILLS, Kind.OVERTAKEN}]
_INVOCATIONS = [Kind.THROTTLED, Kind.ERROR_AFTER, Kind.OVERTAKEN]
_REQUESTS = [SEND, DELETE, RECEIVE, VISIBILITY, *ITEMS]


def neighbors(number: int) -> settings:
    """Return the settings of a test that plays so many runs, always the same."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=number, deadline=None, derandomize=True, suppress_health_check=checks)


def hits(operations: list[str], kinds: list[Kind], *, before: int, times: list[int]) -> st.SearchStrategy[Fault]:
    """Draw what happens to some requests or invocations in a row, of which the first comes early."""
    first, amounts = st.integers(0, before), st.sampled_from([0.1, 0.5, 1.0])
    return st.builds(Fault, st.sampled_from(operations), first, st.sampled_from(times), st.sampled_from(kinds), amounts)


def anything() -> st.SearchStrategy[Fault]:
    """Draw a fault of any request or invocation."""
    return st.one_of(
        hits(_REQUESTS, FAILURES, before=12, times=[1, 1, 2, 3, 6, 14]),
        hits(_REQUESTS, KILLS, before=12, times=[1, 2]),
        hits(TASKS, _INVOCATIONS, before=1, times=[1, 2]),
    )
