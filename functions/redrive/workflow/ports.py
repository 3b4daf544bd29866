"""What the steps of a run need from the outside: queues, the runs table, a pipeline, metrics.

Implemented in `redrive.adapters` and `redrive.runtime`; the domain has the ports that its own decisions need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from redrive.domain.plan.planning import QueueDirectory, RunLocks
from redrive.workflow.memory import Facts

if TYPE_CHECKING:
    # The sampler's cold start shouldn't pay for the lane.
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from redrive.contracts.contract import MessageContract
    from redrive.domain.messages.queues import QueueRef
    from redrive.domain.moving.lane import Lane
    from redrive.domain.moving.results import LaneWork, SliceResult
    from redrive.domain.moving.send_buffer import Line
    from redrive.domain.moving.transitions import HeldRecord
    from redrive.domain.plan.run_plan import RunPlan

type ContractFinder = Callable[[str], MessageContract | None]


@dataclass(slots=True)
class Peek:
    """What to peek at, and whether that was all."""

    queue: QueueRef
    #: Messages to peek at; None for all, as many as SQS lets be in flight.
    most: int | None
    #: Set at the end: the queue was seen empty, so these were all that were visible.
    complete: bool = False


class Queues(QueueDirectory, Protocol):
    """The queues of an account."""

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages, each once; all are visible again at the end."""

    def release(self, queue: QueueRef, receipt_handles: Iterable[str]) -> int:
        """Make messages visible again; return how many failed."""


class RunStore(RunLocks, Protocol):
    """What is stored about a run in progress."""

    def unlock(self, plan: RunPlan) -> None:
        """Release the queue's lock if this run holds it."""

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether an operator asked the run to stop; LockLostError if it doesn't hold the lock."""

    def ask_to_stop(self, dlq_arn: str) -> str | None:
        """Ask the run on a queue to stop; return its id, or None if there is none."""

    def interrupted(self, plan: RunPlan, work: LaneWork) -> SliceResult | None:
        """Return the checkpoint of an earlier attempt at a slice, if there was one."""

    def unfinished(self, plan: RunPlan, round_: int) -> list[SliceResult]:
        """Return the lanes' checkpoints of a round that was not added up."""

    def checkpoint(self, plan: RunPlan, work: LaneWork, result: SliceResult, in_hand: int) -> None:
        """Record how far a slice is."""

    def record_held(self, plan: RunPlan, work: LaneWork, records: Sequence[HeldRecord]) -> None:
        """Record messages that stay invisible."""

    def record_undeleted(self, plan: RunPlan, work: LaneWork, message_ids: Sequence[str]) -> None:
        """Record messages that were sent and may still be in the dead-letter queue."""

    def undeleted(self, plan: RunPlan) -> list[str]:
        """Return the ids of messages that slices sent but perhaps didn't delete."""

    def held(self, plan: RunPlan) -> list[HeldRecord]:
        """Return the messages that the run keeps invisible, each once, with its latest handle."""


class MessageFacts(Facts, Protocol):
    """What is kept of single messages."""

    def record_blocked(self, plan: RunPlan, work: LaneWork, lines: Iterable[Line]) -> None:
        """Record FIFO groups of which a message stays in the dead-letter queue."""

    def blocked(self, plan: RunPlan) -> set[Line]:
        """Return the FIFO groups that wait since an earlier slice."""


class LaneRunner(Protocol):
    """Runs lanes on one dead-letter queue."""

    @property
    def threads(self) -> int:
        """Requests in flight at a time."""

    @property
    def clock(self) -> Callable[[], float]:
        """A monotonic clock in seconds."""

    def run(self, lane: Lane, heartbeat: Callable[[list[HeldRecord]], bool], heartbeat_seconds: float) -> None:
        """Move messages until the lane has finished."""


class Metrics(Protocol):
    """Where the counts of a run are published."""

    def publish_once(self, run_id: str, step: str, dimensions: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """Publish counts unless an earlier attempt at the same step did."""
