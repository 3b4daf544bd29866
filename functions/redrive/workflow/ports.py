"""What the steps of a run need from the outside: queues, the runs table, a pipeline, metrics.

Implemented in `redrive.adapters` and `redrive.runtime`; the domain has the ports that its own decisions need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from redrive.domain.plan.directories import QueueDirectory, QueueFacts, RunLocks
from redrive.workflow.memory import Facts

if TYPE_CHECKING:
    # No function's cold start should pay for what only others need.
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from redrive.contracts.contract import MessageContract
    from redrive.domain.judging.verdicts import Line
    from redrive.domain.messages.queues import QueueAddress, QueueRef
    from redrive.domain.moving.lane import Lane
    from redrive.domain.moving.results import LaneWork, SliceResult
    from redrive.domain.moving.transitions import HeldRecord
    from redrive.domain.plan.run_plan import RunIdentity, RunPlan
    from redrive.domain.runs.continuation import RunProgress
    from redrive.domain.runs.tally import Tally

# Seconds that a lane goes on after the last heartbeat that succeeded. Whoever takes its place waits for as long before
# anything else moves, because the lane may still be running.
LEASE_SECONDS = 6.0

# Seconds that the messages of a sample stay invisible if it is killed.
_SAMPLE_VISIBILITY = 30

type ContractFinder = Callable[[str], MessageContract | None]


@dataclass(slots=True)
class Peek:
    """What to peek at, and whether that was all."""

    queue: QueueRef
    #: Messages to peek at; None for all, as many as SQS lets be in flight.
    most: int | None
    #: Set at the end: the queue was seen empty, so these were all that were visible.
    complete: bool = False

    def visibility(self, seconds: float) -> int:
        """Return how long messages stay invisible if the peek, which takes at most so many seconds, is killed.

        A sample takes a second or two. A full scan must have all messages in flight at the same time.
        """
        return _SAMPLE_VISIBILITY + self.most // 10 if self.most is not None else int(seconds) + _SAMPLE_VISIBILITY


class Queues(QueueDirectory, Protocol):
    """The queues of an account."""

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages, each once; all are visible again at the end."""

    def release(self, queue: QueueAddress, receipt_handles: Iterable[str]) -> int:
        """Make messages visible again; return how many can't be. NotReleasedError if trying again may help."""


class ReadableQueues(Protocol):
    """Queues whose counts a report has, as far as they can be read."""

    def readable_facts(self, queue: QueueAddress) -> QueueFacts | None:
        """Return a queue's attributes, or None if the queue can't be read."""

    def named_facts(self, given: str) -> QueueFacts | None:
        """Return the attributes of the queue with a name, ARN, or URL, or None if it can't be found or read."""


class RunStore(RunLocks, Protocol):
    """The lock of a run, and how far it is."""

    def unlock(self, plan: RunIdentity) -> None:
        """Release the queue's lock if this run holds it."""

    def taken_over_from(self, plan: RunIdentity) -> tuple[str, ...]:
        """Return the ids of the ended runs whose lock this run took over."""

    def lost(self, plan: RunIdentity) -> bool:
        """Return whether another run holds the queue's lock."""

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether an operator asked the run to stop; LockLostError if it doesn't hold the lock."""

    def ask_to_stop(self, dlq_arn: str) -> tuple[str, str] | None:
        """Ask the run on a queue to stop; return its id and its execution's ARN, or None if there is none."""

    def record(self, progress: RunProgress) -> Tally:
        """Record how far a run is; return its tally, or what an earlier attempt at the same round recorded."""

    def progress(self, run_id: str) -> RunProgress | None:
        """Return how far a run was after its last round; None if it is unknown."""


class Checkpoint(NamedTuple):
    """How far a slice is."""

    result: SliceResult
    #: Messages that it may send without deleting them before the next checkpoint.
    in_hand: int
    #: Messages that it may have moved in all before the next checkpoint.
    granted: int
    finished: bool


class Taken(NamedTuple):
    """How far an earlier attempt at a slice got; None if there was none."""

    before: SliceResult | None = None
    #: It may still be running.
    interrupted: bool = False
    #: Only its answer got lost.
    finished: bool = False


class CheckpointStore(Protocol):
    """What lanes record for later slices, runs, and steps."""

    def take(self, plan: RunPlan, work: LaneWork, attempt: str) -> Taken:
        """Take the lane's place, and return how far an earlier attempt at the slice got."""

    def checkpoint(self, plan: RunPlan, work: LaneWork, attempt: str, reached: Checkpoint) -> None:
        """Record how far a slice is; SupersededError if another attempt has taken the lane's place."""

    def fence(self, plan: RunIdentity, round_: int) -> bool:
        """Take the place of every lane that hasn't finished its slice of a round; return whether there are any."""

    def unfinished(self, plan: RunIdentity, round_: int) -> list[SliceResult]:
        """Return the lanes' checkpoints of a round that was not added up."""

    def record_held(self, plan: RunPlan, work: LaneWork, records: Sequence[HeldRecord]) -> None:
        """Record messages that stay invisible."""

    def held(self, run_id: str) -> list[HeldRecord]:
        """Return the messages that a run keeps invisible, each once, with its latest handle."""

    def record_sent(self, plan: RunPlan, work: LaneWork, undeleted: Sequence[str], settled: Sequence[str] = ()) -> None:
        """Record messages that were sent and may still be in the dead-letter queue, and those that have left it."""

    def adopt_undeleted(self, plan: RunIdentity, run_id: str) -> None:
        """Record what a run of version 0.2 has recorded of such messages as later versions do."""

    def undeleted(self, plan: RunPlan) -> list[str]:
        """Return the ids of messages that any run sent but perhaps didn't delete from the queue."""

    def undeleted_uncounted(self, plan: RunIdentity) -> int:
        """Return how many of those the run sent and hasn't counted as possible duplicates."""


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

    def run(self, lane: Lane, heartbeat: Callable[[], bool], heartbeat_seconds: float) -> None:
        """Move messages until the lane has finished."""


class Metrics(Protocol):
    """Where the counts of a run are published."""

    def publish_once(self, run_id: str, step: str, dimensions: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """Publish counts unless an earlier attempt at the same step did."""
