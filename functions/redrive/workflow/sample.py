"""Second step: peeks at some messages, or at all, and summarizes them without moving or deleting any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judge
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.sample import Sample
from redrive.domain.sampling.summary import Summary
from redrive.workflow.ports import ContractFinder, Peek, Queues


def sample(
    plan: RunPlan,
    *,
    queues: Queues,
    find_contract: ContractFinder,
    delivery_policy: DeliveryPolicy,
    seconds: float,
    now: Callable[[], datetime],
) -> Sample:
    """Return what the messages are.

    Parameters
    ----------
    plan : RunPlan
        The run.
    queues, find_contract, delivery_policy
        Ports and what may be delivered to.
    seconds : float
        How long to keep receiving.
    now : Callable[[], datetime]
        The time.

    Raises
    ------
    RejectedError
        If messages have no known destination.
    """
    request = plan.request

    def find_queue(arn: str) -> QueueRef | None:
        try:
            return queues.find(arn)
        except RejectedError:
            # The ARN may come from the message: what is wrong with it is no reason to refuse the run.
            return None

    judge = Judge(plan, find_contract, find_queue, delivery_policy)
    summary, peek = Summary(plan), Peek(plan.dlq, None if request.full_scan else request.sample_size)
    # Closed here, so that the messages are visible again before an error ends the step.
    with closing(queues.peek(peek, seconds)) as messages:
        for message in messages:
            summary.add(judge.judge(ReceivedMessage.from_sqs(message)))
    return summary.sample(now(), complete=peek.complete)
