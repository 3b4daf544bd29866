"""Queues, locks, and executions in memory, for the domain functions that take them as arguments.

Used by the tests of planning and automatic runs. Each implements its protocol in `redrive.domain.plan.planning`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueAddress, QueueRef
from redrive.domain.plan.directories import QueueFacts
from redrive.domain.plan.rates import MaxRate
from redrive.domain.plan.run_plan import RunPlan


@dataclass
class FakeQueues:
    """A queue directory: queues by name with their facts, and which queue is whose dead-letter queue."""

    known: dict[str, tuple[QueueRef, QueueFacts]] = field(default_factory=dict)
    dead_letter_queue_of: dict[str, str] = field(default_factory=dict)
    tagged: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(
        self,
        queue: QueueRef,
        facts: QueueFacts,
        *,
        dlq: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> QueueRef:
        self.known[queue.name] = (queue, facts)
        self.tagged[queue.name] = tags or {}
        if dlq is not None:
            self.dead_letter_queue_of[queue.name] = dlq
        return queue

    def find(self, given: str) -> QueueRef | None:
        return next((queue for queue, _ in self.known.values() if given in {queue.name, queue.arn, queue.url}), None)

    def facts(self, queue: QueueAddress) -> QueueFacts:
        return self.known[queue.name][1]

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        return tuple(self.known[name][0] for name, dlq in self.dead_letter_queue_of.items() if dlq == queue.name)

    def tags(self, queue: QueueRef) -> dict[str, str]:
        return self.tagged[queue.name]


@dataclass
class FakeLocks:
    """The locks of queues: the execution that holds each, by the queue's ARN."""

    holders: dict[str, str] = field(default_factory=dict)

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        holder = self.holders.get(plan.dlq.arn)
        if holder not in {None, plan.execution_arn, instead_of}:
            return holder
        self.holders[plan.dlq.arn] = plan.execution_arn
        return None

    def unlock(self, plan: RunPlan) -> None:
        if self.holders.get(plan.dlq.arn) == plan.execution_arn:
            del self.holders[plan.dlq.arn]


@dataclass
class FakeShares:
    """What is left of each queue's max rate, by name, and what runs have reserved of it."""

    left: dict[str, float] = field(default_factory=dict)
    reserved: list[tuple[str, str, float]] = field(default_factory=list)

    def reserve(self, run_id: str, execution_arn: str, queue: QueueRef, wanted: float, max_rate: float) -> MaxRate:
        share = min(wanted, self.left.get(queue.name, max_rate))
        if not share:
            raise RejectedError(f"{queue.name}: nothing is left for {execution_arn}")
        self.reserved.append((run_id, queue.name, share))
        return MaxRate(queue=queue, max_rate=max_rate, share=share)

    def release(self, run_id: str) -> None:
        self.reserved = [reserved for reserved in self.reserved if reserved[0] != run_id]


@dataclass
class FakeExecutions:
    """The executions that are running."""

    running: set[str] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)

    def is_running(self, execution_arn: str) -> bool:
        return execution_arn in self.running

    def input_of(self, execution_arn: str) -> str:
        return self.inputs[execution_arn]
