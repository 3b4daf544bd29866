"""Last step: the report of the run, however it ended, and the SNS message that carries it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from redrive.domain.messages.queues import QueueCounts
from redrive.domain.model import Model
from redrive.domain.plan.run_plan import Execution, RunIdentity, RunPlan
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.notification import Notification, notification_of
from redrive.domain.runs.report import Report, make_report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Metrics, ReadableQueues

# What was requested and refused may be any text: it belongs in the report, not in the name of a metric.
_NO_QUEUE = "none"


class Reported(Model):
    """The report and the message to publish."""

    report: Report
    notification: Notification


def report(
    *,
    given: Any,
    execution: Execution,
    plan: RunIdentity | None,
    sample: Sample | None,
    tally: Tally | None,
    error: StateError | None,
    queue: QueueCounts | None,
    in_next_queue: int | None,
    metrics: Metrics,
    now: datetime,
    write_page: Callable[[Report], str | None] | None = None,
) -> Reported:
    """Return the report of a run.

    Parameters
    ----------
    given, execution : Any, Execution
        The execution's input as it came, and the execution.
    plan, sample, tally : RunIdentity | None, Sample | None, Tally | None
        How far the run got; of a run that a version with another format began, not the whole plan.
    error : StateError | None
        What ended it early.
    queue : QueueCounts | None
        The dead-letter queue now; None if it can't be read.
    in_next_queue : int | None
        Messages in the queue that the dead-letter queue's own redrive policy names; None if it can't be read.
    metrics : Metrics
        Port.
    now : datetime
        When the run ended.
    write_page : Callable[[Report], str | None] | None
        Writes the run's page, and returns its address if it has one. It raises nothing.
    """
    if plan is not None and not isinstance(plan, RunPlan):
        # It may have continued in this execution, whose input doesn't name the queue.
        given = {**(given if isinstance(given, dict) else {}), "dlq": plan.dlq.name}
        execution = Execution(id=plan.execution_arn, name=plan.run_id, started_at=plan.started)
    made = make_report(
        given=given,
        execution=execution,
        plan=plan if isinstance(plan, RunPlan) else None,
        sample=sample,
        tally=tally,
        error=error,
        queue=queue,
        in_next_queue=in_next_queue,
        now=now,
    )
    dimensions = {"dlq": plan.dlq.name if plan else _NO_QUEUE, "status": made.status.value}
    metrics.publish_once(made.run_id, "ended", dimensions, {"RunsEnded": 1})
    if write_page is not None:
        made = made.model_copy(update={"page": write_page(made)})
    return Reported(report=made, notification=notification_of(made))


def counts_at_end(
    plan: RunIdentity | None, given: Any, queues: ReadableQueues
) -> tuple[QueueCounts | None, int | None]:
    """Return the counts of the dead-letter queue and of the one that its own redrive policy names.

    Parameters
    ----------
    plan, given : RunIdentity | None, Any
        The run's plan, if it has one, and its input.
    queues : ReadableQueues
        Port.
    """
    if plan is None:
        # A run that couldn't even be planned has left what is in the queue that its input names.
        named = given.get("dlq") if isinstance(given, dict) else None
        facts = queues.named_facts(named) if isinstance(named, str) else None
        return facts.counts if facts else None, None
    facts = queues.readable_facts(plan.dlq)
    following = plan.next_queue.queue if isinstance(plan, RunPlan) and plan.next_queue else None
    next_facts = queues.readable_facts(following) if following else None
    return facts.counts if facts else None, next_facts.messages if next_facts else None
