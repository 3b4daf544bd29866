"""Finds a queue that a run's plan doesn't know, when a message for it comes up, and what its tags declare.

Used by the sample step and by the lanes, so that a dry run foresees what a run does.
"""

from __future__ import annotations

from collections.abc import Callable

from redrive.domain.errors import RejectedError
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.directories import QueueDirectory
from redrive.domain.plan.rates import declared_max_rate


def met_queue(
    queues: QueueDirectory, arn: str, explain: Callable[[str], object]
) -> tuple[QueueRef, float | None] | Reason | None:
    """Return a queue and the max rate that it declares, if it does, or why nothing may be sent to it.

    Parameters
    ----------
    queues : QueueDirectory
        The account's queues.
    arn : str
        The queue. It may come from a message, so whatever is wrong with it is no problem of the run: None.
    explain : Callable[[str], object]
        Is given a sentence that says what is wrong with a queue's tags.
    """
    try:
        found = queues.find(arn)
    except RejectedError:
        return None
    if found is None:
        return None
    reason = Reason.RATE_UNAVAILABLE
    try:
        tags = queues.tags(found)
        reason = Reason.MAX_RATE_INVALID
        return found, declared_max_rate(found, tags)
    except RejectedError as error:
        explain(str(error))
        return reason
