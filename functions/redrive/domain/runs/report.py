"""The report of a run, however it ended: the output of its execution.

Called by the report step; `redrive.domain.runs.notification` makes the SNS message of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from redrive.domain import errors
from redrive.domain.messages.queue_names import displayed
from redrive.domain.model import Model
from redrive.domain.moving.results import Counts, Totals, smallest
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample

# The report is the cause of a failed execution, which holds 32,768 characters (Step Functions API reference,
# FailExecution).
_TEXT_LENGTH = 2000


class Status(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    DRY_RUN = "DRY_RUN"
    HALTED = "HALTED"
    STOPPED = "STOPPED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class StateError(Model):
    """An error as Step Functions passes it to a Catch."""

    error: Annotated[str, Field(alias="Error")]
    cause: Annotated[str, Field(alias="Cause")] = ""


class RateReport(Model):
    """The rate that was requested, the highest that was allowed, and the one achieved: messages per second."""

    #: The rate in the input.
    requested: Annotated[float | None, Field(alias="asked")]
    #: The smallest rate that a receiving queue declares; None if none does.
    max_rate: Annotated[float | None, Field(alias="ceiling")] = None
    #: The rate achieved while messages were sent; None if none were.
    measured: float | None


class Report(Totals):
    """The output of an execution and the body of its SNS message."""

    #: Name of the execution that the run began with.
    run_id: str
    #: How the run ended.
    status: Status
    #: Why, in one sentence; None if there is nothing to add.
    reason: str | None = None
    #: Name of the dead-letter queue, or what a rejected input names; None if that is no name, ARN, or URL of a queue.
    dlq: str | None
    #: Name of the destination that was requested, or else of the queues that messages came from.
    destination: str | None
    #: When the run started, in UTC.
    started_at: datetime
    #: When the run ended, in UTC.
    finished_at: datetime
    #: Messages per second.
    rate: RateReport
    #: What peeking at messages showed; None if the run ended before that.
    sample: Sample | None = None


def make_report(
    *,
    given: Any,
    execution: Execution,
    plan: RunPlan | None,
    sample: Sample | None,
    tally: Tally | None,
    error: StateError | None,
    in_queue: int | None,
    now: datetime,
) -> Report:
    """Return the report of a run.

    Parameters
    ----------
    given : Any
        The execution's input as it came, for runs that were refused before they had a plan.
    execution : Execution
        The execution.
    plan, sample, tally : RunPlan | None, Sample | None, Tally | None
        How far the run got.
    error : StateError | None
        What ended it early.
    in_queue : int | None
        Messages in the dead-letter queue now, approximately; None if it can't be read.
    now : datetime
        When the run ended.
    """
    tally = tally or Tally()
    requested = given if isinstance(given, Mapping) else {}
    found = Counts(sampled=sample.sampled if sample else 0, remaining=_remaining(tally, in_queue))
    return Report(
        **{name: getattr(tally, name) for name in Totals.model_fields if name != "counts"},
        counts=tally.counts + found,
        run_id=plan.run_id if plan else execution.name,
        status=status_of(plan, tally, error),
        reason=_short(reason_of(error) or tally.failure),
        dlq=plan.dlq.name if plan else _queue(requested.get("dlq")),
        destination=_destination(plan) if plan else _queue(requested.get("destination")),
        started_at=plan.started if plan else execution.started_at,
        finished_at=now,
        rate=RateReport(
            requested=plan.request.rate if plan else None,
            max_rate=smallest(plan.max_rate if plan else None, tally.max_rate),
            measured=round(tally.counts.redriven / tally.seconds, 2) if tally.seconds else None,
        ),
        sample=sample,
    )


def status_of(plan: RunPlan | None, tally: Tally | None, error: StateError | None) -> Status:
    """Return how the run ended."""
    if error is not None:
        return Status.REJECTED if error.error == errors.RejectedError.__name__ else Status.FAILED
    if tally is not None and tally.failure is not None:
        return Status.FAILED
    if plan is not None and plan.request.dry_run:
        return Status.DRY_RUN
    return Status.STOPPED if tally is not None and tally.stopped else Status.SUCCEEDED


def reason_of(error: StateError | None) -> str | None:
    """Return what the report says about an error.

    The texts of this app's own errors are written for operators. Of all others only the name is shown, because their
    text may quote a message.
    """
    if error is None:
        return None
    kind = getattr(errors, error.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.RedriveError):
        try:
            return str(json.loads(error.cause)["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return error.error
    return (
        f"{error.error}: see the logs of the run's functions. Messages that aren't counted as moved are still in the "
        "queue."
    )


def _remaining(tally: Tally, in_queue: int | None) -> int:
    # If the lanes saw the queue empty, what they left there is more exact than SQS's approximate count.
    if tally.drained or in_queue is None:
        return tally.counts.stayed
    return max(in_queue, tally.counts.stayed)


def _destination(plan: RunPlan) -> str | None:
    if plan.destination is not None:
        return plan.destination.name
    return _short(", ".join(sorted(source.name for source in plan.sources)) or None)


def _queue(value: Any) -> str | None:
    # What was given by mistake can be any text, so only what names a queue is repeated.
    return displayed(value) if isinstance(value, str) else None


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + " ..."
