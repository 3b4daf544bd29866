"""Tells an operator why a lane could not go on.

Called at the end of a slice; the text goes into the run's report.
"""

from redrive.domain.lane import Action, Failure, Send, Trouble
from redrive.domain.runs import RunPlan


def explain(plan: RunPlan, action: Action, failure: Failure) -> str:
    """Return what was tried, what SQS said and what to do, for a failure that ended a slice."""
    if failure.trouble is Trouble.LIMIT:
        return (
            f"SQS hands out no more letters of {plan.dlq.name} ({failure.code}): 120,000 can be in flight "
            "at a time, and those that this run leaves in the queue are kept invisible until it ends. "
            "Start runs with maxMessages."
        )
    if isinstance(action, Send):
        name = action.destination.name
        return (
            f"{name} does not take letters any more ({failure.code}). What was not moved is in "
            f"{plan.dlq.name} still: restore it or its permissions, or name another destination, "
            "and start again."
        )
    return (
        f"{plan.dlq.name} cannot be read or emptied any more ({failure.code}). Check that it exists and "
        "that this deployment may touch it, and start again."
    )
