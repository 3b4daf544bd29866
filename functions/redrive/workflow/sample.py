"""Second step: peeks at some messages, or at all, and summarizes them without moving or deleting any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import cache
from itertools import batched
from typing import Any

from redrive.domain.errors import LogMessageError
from redrive.domain.judging.authority import Authority, Confirm
from redrive.domain.judging.judge import Judge, Judgment
from redrive.domain.judging.verdicts import Reason, explained
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.sample import Sample, SampleGroup
from redrive.domain.sampling.summary import Summary
from redrive.domain.sampling.waiting import Waiting
from redrive.workflow.memory import Facts, Memory
from redrive.workflow.met_queue import met_queue
from redrive.workflow.ports import ContractFinder, Peek, Queues

# Judged together: the runs table is asked once for all of them.
_MESSAGES_AT_ONCE = 100
# A full scan of 120,000 messages takes a minute. If it is killed, its messages stay invisible for as long as this.
_MOST_SECONDS = 300.0
_WAIT_SECONDS = 5.0


def sample(
    plan: RunPlan,
    *,
    queues: Queues,
    facts: Facts,
    find_contract: ContractFinder,
    delivery_policy: DeliveryPolicy,
    confirm: Confirm,
    movers: frozenset[str],
    log_error: LogMessageError,
    seconds: float,
    retries: int,
    pause: Callable[[float], None],
    now: Callable[[], datetime],
    show_error_texts: bool = False,
    seen: Callable[[ReceivedMessage, Judgment, SampleGroup], None] = lambda *_: None,
) -> Sample:
    """Return what the messages are.

    Parameters
    ----------
    plan : RunPlan
        The run.
    queues, facts, find_contract, delivery_policy, confirm
        Ports and what may be delivered to.
    movers : frozenset[str]
        Unique ids of the roles whose `redrive` attribute is believed.
    log_error : LogMessageError
        Logs that a message raised an unexpected error.
    seconds : float
        How long to keep receiving.
    retries : int
        How many attempts came before: one that was killed has left messages invisible.
    pause : Callable[[float], None]
        Waits for so many seconds.
    now : Callable[[], datetime]
        The time.
    show_error_texts : bool
        Whether the deployment shows error texts.
    seen : Callable[[ReceivedMessage, Judgment, SampleGroup], None]
        Gets each message with its judgment and its group.

    Raises
    ------
    RejectedError
        If nothing says where the messages belong.
    """
    request = plan.request

    explanations: dict[str, None] = {}

    @cache
    def find_queue(arn: str) -> QueueRef | Reason | None:
        met = met_queue(queues, arn, explanations.setdefault)
        return met[0] if isinstance(met, tuple) else met

    authority = Authority(plan, find_queue, delivery_policy, confirm)
    judge = Judge(plan, find_contract, authority, movers, log_error)
    memory = Memory(plan, facts, movers)
    summary = Summary(plan, authority.has_confirmed, show_error_texts)
    peek = Peek(plan.dlq, None if request.full_scan else request.sample_size)
    waiting = Waiting(plan.dlq.fifo)
    seconds = min(seconds, _MOST_SECONDS)
    if retries:
        _wait_for_messages(plan, queues, peek.visibility(seconds), pause)
    # Closed here, so that the messages are visible again before an error ends the step.
    with closing(queues.peek(peek, seconds)) as messages:
        for some in batched(messages, _MESSAGES_AT_ONCE, strict=False):
            for message in memory.received(some):
                seen(message, *_add(summary, judge, waiting, message))
    learned: dict[str, Any] = {"explanations": explained(explanations, judge.explanations)}
    if plan.dlq.fifo:
        learned |= {"fifo_groups": len(waiting.lines), "waiting_groups": len(waiting.blocked)}
    return summary.sample(now(), complete=peek.complete).model_copy(update=learned)


def _add(summary: Summary, judge: Judge, waiting: Waiting, message: ReceivedMessage) -> tuple[Judgment, SampleGroup]:
    judgment = judge.judge(message)
    try:
        judgment = waiting.judged(judgment, message.group_id)
        return judgment, summary.add(judgment)
    except Exception as error:  # noqa: BLE001
        # Whatever can't be shown of one message is its own fate, as in the judge.
        failed = waiting.judged(judge.failed(message, type(error).__name__), message.group_id)
        return failed, summary.add(failed)


def _wait_for_messages(plan: RunPlan, queues: Queues, seconds: float, pause: Callable[[float], None]) -> None:
    """Wait until messages that a killed attempt had in hand are visible again, as far as that can be told."""
    waited = 0.0
    while waited < seconds and queues.facts(plan.dlq).in_flight:
        pause(_WAIT_SECONDS)
        waited += _WAIT_SECONDS
