"""First step of an execution that continues a long run: takes over its plan, sample, and tally from the runs table."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from redrive.domain.errors import RejectedError
from redrive.domain.plan.run_plan import Execution
from redrive.domain.runs.continuation import Continuation, RunProgress
from redrive.workflow.ports import RunStore


def resume(given: Any, execution: Execution, *, store: RunStore) -> RunProgress:
    """Return how far the run is that continues in this execution.

    Nothing else is checked here: the lanes don't move anything unless the run holds the queue's lock.

    Parameters
    ----------
    given : Any
        The continuation in the execution's input, which anyone may have written who may start executions.
    execution : Execution
        This execution.
    store : RunStore
        Port.

    Raises
    ------
    RejectedError
        If no run has named this execution as the one that it continues in.
    """
    try:
        progress = store.progress(Continuation.from_json_object(given).run)
    except ValidationError:
        progress = None
    if progress is None or progress.tally.successor != execution.name:
        raise RejectedError(
            "The input is invalid. continuation: expected a run that continues in this execution, found none. Only the "
            'workflow itself uses this key; start runs without it, such as with {"dlq": "orders-dlq"}.'
        )
    return progress
