"""The report of a run, however it ended: the output of its execution.

Called by the report step; `redrive.domain.runs.notification` makes the SNS message of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queue_names import displayed
from redrive.domain.messages.queues import QueueCounts, QueueRef
from redrive.domain.model import DisplayName, Model
from redrive.domain.moving.results import Counts, Totals, smallest
from redrive.domain.names import display_name
from redrive.domain.plan.request import TraceHeader, parse_request
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.ending import End, StateError, Status, reason_of, status_of
from redrive.domain.runs.forecast import Forecast, forecast_of
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample

# The report is the cause of a failed execution, which holds 32,768 characters (Step Functions API reference,
# FailExecution).
_TEXT_LENGTH = 2000


class RateReport(Model):
    """The rate that was requested, the highest that was allowed, and the one achieved: messages per second."""

    #: The rate in the input; None if that can't be read.
    requested: Annotated[float | None, Field(alias="asked")]
    #: The smallest rate that a receiving queue declares; None if none does.
    max_rate: Annotated[float | None, Field(alias="ceiling")] = None
    #: The rate achieved while messages were sent; None if none were.
    measured: float | None


class Report(Totals):
    """The output of an execution and the body of its SNS message."""

    #: Name of the execution that the run began with, or a hash of it.
    run_id: DisplayName
    #: ARN of that execution.
    execution_arn: DisplayName
    #: How the run ended.
    status: Status
    #: What is left, why, and what to do, in one sentence; None if there is nothing to add.
    reason: str | None = None
    #: Name of the dead-letter queue, or what a rejected input names; None if that can't be the name of a queue.
    dlq: DisplayName | None
    #: Name of the destination that was requested, or else of the queues that messages came from.
    destination: str | None
    #: When the run started, in UTC.
    started_at: datetime
    #: When the run ended, in UTC.
    finished_at: datetime
    #: Messages per second.
    rate: RateReport
    #: What the run did with trace headers: `keep` or `fresh`; None if it was refused before it had a plan.
    trace_header: TraceHeader | None = None
    #: Messages that the dead-letter queue's own redrive policy moved on to the next queue, approximately; None if that
    #: isn't known.
    pushed_on: int | None = 0
    #: What a run would do with the messages in the queue; None if this wasn't a dry run.
    forecast: Forecast | None = None
    #: What peeking at messages showed; None if the run ended before that.
    sample: Sample | None = None
    #: Commands that show the messages, error texts included, to whoever has the credentials; none if no sampled message
    #: has an error text.
    read_messages: tuple[str, ...] = ()
    #: Address of the run's page in AWS's console, for whoever may read it; None if there is none.
    page: str | None = None

    @property
    def destination_text(self) -> str:
        """The destination, for people. Messages come from queues, but also from functions, rules, and others."""
        return self.destination or "where each message came from"


def make_report(
    *,
    given: Any,
    execution: Execution,
    plan: RunPlan | None,
    sample: Sample | None,
    tally: Tally | None,
    error: StateError | None,
    queue: QueueCounts | None,
    in_next_queue: int | None,
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
    queue : QueueCounts | None
        The dead-letter queue now; None if it can't be read.
    in_next_queue : int | None
        Messages in the queue that the dead-letter queue's own redrive policy names; None if it can't be read.
    now : datetime
        When the run ended.
    """
    tally = tally or Tally()
    requested = given if isinstance(given, Mapping) else {}
    counts = tally.counts + Counts(
        sampled=sample.sampled if sample else 0,
        seen=tally.counts.all_seen,
        remaining=_remaining(tally, queue),
    )
    pushed_on = _pushed_on(plan, tally, queue, in_next_queue)
    end = End(plan, sample, tally, error, queue, counts.remaining, pushed_on)
    return Report(
        **{name: getattr(tally, name) for name in Totals.model_fields if name != "counts"},
        counts=counts,
        run_id=plan.run_id if plan else execution.run_id,
        execution_arn=plan.execution_arn if plan else execution.id,
        status=status_of(end),
        reason=_short(reason_of(end)),
        dlq=plan.dlq.name if plan else _queue(requested.get("dlq")),
        destination=_destination(plan) if plan else _queue(requested.get("destination")),
        started_at=plan.started if plan else execution.started_at,
        finished_at=now,
        rate=RateReport(
            requested=plan.request.rate if plan else _requested_rate(given),
            max_rate=smallest(plan.max_rate if plan else None, tally.max_rate),
            measured=round(tally.counts.redriven / tally.seconds, 2) if tally.seconds else None,
        ),
        trace_header=plan.request.trace_header if plan else None,
        pushed_on=pushed_on,
        forecast=forecast_of(sample, counts.remaining) if sample and end.dry_run else None,
        sample=sample,
        read_messages=_read_messages(plan, sample, counts),
    )


def _remaining(tally: Tally, queue: QueueCounts | None) -> int:
    # If the lanes saw the queue empty, what they left there is more exact than SQS's approximate count.
    left = tally.counts.stayed + tally.counts.released
    return left if tally.drained or queue is None else max(queue.total, left)


def _pushed_on(plan: RunPlan | None, tally: Tally, queue: QueueCounts | None, in_next_queue: int | None) -> int | None:
    """Return how many messages went on to the next queue, from the counts of both queues before and after."""
    following = plan.next_queue if plan else None
    if plan is None or following is None:
        return 0
    if following.messages is None or in_next_queue is None or queue is None:
        return None
    # New messages in the dead-letter queue hide what left it, and consumers of the next one what arrived there.
    missing = plan.waiting - tally.counts.moved - queue.total
    return max(0, missing, in_next_queue - following.messages)


def _destination(plan: RunPlan) -> str | None:
    if plan.destination is not None:
        return plan.destination.name
    return _short(", ".join(sorted(source.name for source in plan.sources)) or None)


def _requested_rate(given: Any) -> float | None:
    try:
        return parse_request(given).rate
    except RejectedError:
        return None


def _read_messages(plan: RunPlan | None, sample: Sample | None, counts: Counts) -> tuple[str, ...]:
    """Return commands for either version of the AWS CLI that show messages and leave them in the queue."""
    if plan is None or sample is None or not any(group.error_text_hash for group in sample.groups):
        return ()
    return tuple(
        f"aws sqs receive-message --region {_region(queue)} --queue-url {display_name(queue.url)} "
        "--message-attribute-names All --max-number-of-messages 10 --visibility-timeout 0 --output json"
        for queue, messages in ((plan.dlq, counts.remaining), (plan.quarantine, counts.quarantined))
        if messages and queue is not None
    )


def _region(queue: QueueRef) -> str:
    return display_name(queue.arn.split(":")[3])


def _queue(value: Any) -> str | None:
    # What was given by mistake can be any text, so only what names a queue is repeated.
    return displayed(value) if isinstance(value, str) else None


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + " ..."
