"""What planning and other steps ask about queues, locks, and executions.

Implemented in `redrive.adapters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueAddress, QueueCounts, QueueRef

if TYPE_CHECKING:
    # The function that stops runs needs no plans.
    from redrive.domain.plan.run_plan import RunIdentity, RunPlan


class QueueFacts(NamedTuple):
    """Attributes of a queue. Counts are approximate; retention and delay are in seconds."""

    waiting: int
    in_flight: int
    delayed: int
    retention: int
    #: Whether the queue has a dead-letter queue of its own.
    has_redrive_policy: bool
    #: ARN of that queue; None if there is none.
    dead_letter_queue: str | None = None
    #: Seconds that the queue delays a message that doesn't say otherwise.
    delay: int = 0

    @property
    def messages(self) -> int:
        """All messages in the queue, approximately."""
        return self.counts.total

    @property
    def counts(self) -> QueueCounts:
        """How many messages are in the queue, in which state."""
        return QueueCounts(visible=self.waiting, delayed=self.delayed, in_flight=self.in_flight)


class QueueDirectory(Protocol):
    """What planning needs to know about queues."""

    def find(self, given: str) -> QueueRef | None:
        """Return the queue of that name, ARN or URL."""

    def facts(self, queue: QueueAddress) -> QueueFacts:
        """Return the queue's attributes."""

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        """Return the queues whose redrive policy names `queue`."""

    def tags(self, queue: QueueRef) -> Mapping[str, str]:
        """Return the queue's tags."""


class RunLocks(Protocol):
    """The locks that keep a queue to one run at a time."""

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        """Take the lock, or return the ARN of the execution that has it."""

    def unlock(self, plan: RunIdentity) -> None:
        """Release the queue's lock if this run holds it."""


class ExecutionDirectory(Protocol):
    """What planning needs to know about other executions."""

    def is_running(self, execution_arn: str) -> bool:
        """Return whether the execution has not ended."""


class ExecutionInputs(ExecutionDirectory, Protocol):
    """What planning needs to know about its own execution besides."""

    def input_of(self, execution_arn: str) -> str:
        """Return the input of an execution, character for character."""


def find_queue(queues: QueueDirectory, given: str, key: str) -> QueueRef:
    """Return the queue that a key of the input names.

    Raises
    ------
    RejectedError
        If there is none, or it can't be used.
    """
    try:
        queue = queues.find(given)
    except RejectedError as error:
        raise RejectedError(f"{key}: {error}") from None
    if queue is None:
        raise RejectedError(
            f"{key}: there is no queue {given} in this account and region.{_other_kind(queues, given)} Expected the "
            "name, ARN, or URL of a queue; list them with: aws sqs list-queues"
        )
    return queue


def _other_kind(queues: QueueDirectory, given: str) -> str:
    """Return a sentence on the queue of the other kind that has this name, if there is one."""
    other = given.removesuffix(".fifo") if given.endswith(".fifo") else f"{given}.fifo"
    try:
        found = queues.find(other)
    except RejectedError:
        return ""
    kind = "a FIFO queue" if found and found.fifo else "a standard queue"
    return f" Did you mean {found.name}? It is {kind}; only names of FIFO queues end with .fifo." if found else ""
