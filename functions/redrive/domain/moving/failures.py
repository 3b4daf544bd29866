"""Explains to an operator why a lane couldn't continue.

Called at the end of a slice; the text goes into the run's report.
"""

from redrive.domain.messages.queue_keys import KEY_ERRORS, key_remedy
from redrive.domain.moving.actions import Action, ApiError, ErrorKind, Send
from redrive.domain.names import display_name
from redrive.domain.plan.run_plan import RunPlan


def explain(plan: RunPlan, action: Action | None, error: ApiError) -> str:
    """Return what was tried, what the service said, and what to do, for an error that ended a slice."""
    if error.kind is ErrorKind.LIMIT:
        return (
            f"SQS returns no more messages of {plan.dlq.name} ({error.code}): 120,000 can be in flight at a time, and "
            "those that this run leaves in the queue stay invisible until it ends. Start runs with maxMessages."
        )
    if action is None:
        return (
            f"The runs table can't be written ({error.code}), so the run couldn't remember which messages it has "
            f"redriven. What wasn't moved is still in {plan.dlq.name}. Check the table RunTable and start again."
        )
    if isinstance(action, Send):
        name = display_name(action.destination.name)
        remedy = "Restore the destination or its permissions, or name another destination, and start again."
        if error.code in KEY_ERRORS:
            remedy = f"{key_remedy(name)} Then start again."
        return (
            f"{name} doesn't accept messages anymore ({error.code}). What wasn't moved is still in {plan.dlq.name}. "
            f"{remedy}"
        )
    if error.code in KEY_ERRORS:
        return f"{plan.dlq.name} can't be read anymore ({error.code}). {key_remedy(plan.dlq.name)} Then start again."
    return (
        f"{plan.dlq.name} can't be read or emptied anymore ({error.code}). Check that it exists and that this "
        "deployment may access it, and start again."
    )
