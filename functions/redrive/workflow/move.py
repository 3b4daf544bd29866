"""Moves one slice of a lane: what earlier attempts left, the pipeline, and the checkpoints for a later slice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import FindContract, Judge
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.failures import explain
from redrive.domain.moving.lane import Lane, LaneSettings
from redrive.domain.moving.rate_limiter import RateLimiter
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunPlan
from redrive.workflow.ports import ContractFinder, LaneRunner, RunStore

# Seconds between two checkpoints of a slice: a crash leaves at most what moved between them uncounted.
HEARTBEAT_SECONDS = 2.0
# Seconds before Lambda's timeout at which nothing more is sent, so that the last deletes and checkpoints get through.
_RESERVE = 10.0
# Long enough for a message to be sent and deleted, short enough for those of a lane that died to come back soon.
VISIBILITY_SECONDS = 30
# Messages in hand, in seconds of the lane's rate, within bounds.
_IN_HAND_SECONDS = 2
_IN_HAND = (20, 320)
# Their bytes. Each is there as received, opened, and ready to be sent, and must fit in the smallest MoveMemory.
IN_HAND_BYTES = 48 * 1024 * 1024
# Requests in flight: at least one of each kind, and one more for each so many messages per second.
_FEWEST_REQUESTS = 4
_RATE_OF_A_REQUEST = 25
# A message can be kept invisible for 12 hours in all (SQS developer guide, "Visibility timeout").
_HOLD = (600, 11 * 3600)


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves the slices of one process, from run to run."""

    #: Runs lanes on a dead-letter queue, by its URL.
    lane_runner: Callable[[str], LaneRunner]
    #: Finds a queue by ARN; may raise RejectedError if this deployment may not access it.
    find_queue: Callable[[str], QueueRef | None]
    store: RunStore
    #: Creates the contract finder, once for each slice; it may raise RejectedError if a contract can't be used.
    contracts: Callable[[], ContractFinder]
    delivery_policy: DeliveryPolicy

    def move(self, plan: RunPlan, work: LaneWork, seconds: float, seconds_left: float) -> SliceResult:
        """Move messages and return what was done.

        Parameters
        ----------
        plan, work : RunPlan, LaneWork
            The run and the lane's part in it.
        seconds : float
            How long to move messages.
        seconds_left : float
            Until the process must end.

        Raises
        ------
        LockLostError
            If another run has the queue.
        """
        self.store.wants_stop(plan)
        before = self.store.interrupted(plan, work) or SliceResult()
        runner = self.lane_runner(plan.dlq.url)
        started = runner.clock()
        stops_at = started + seconds_left - _RESERVE
        settings = LaneSettings(
            fifo=plan.dlq.fifo,
            quota=None if work.quota is None else max(0, work.quota - before.counts.moved),
            ends_at=min(started + seconds, stops_at),
            stops_at=stops_at,
            visibility=VISIBILITY_SECONDS,
            hold=_within(_HOLD, 1.5 * plan.waiting / plan.rate),
            concurrency=_within((_FEWEST_REQUESTS, runner.threads), work.rate / _RATE_OF_A_REQUEST),
            in_hand=in_hand_limit(work.rate),
            in_hand_bytes=IN_HAND_BYTES,
        )
        judge = Judge(plan, cache(_usable(self.contracts())), cache(self._find), self.delivery_policy, runner.clock)
        lane = Lane(settings, judge, RateLimiter(work.rate), self.store.undeleted(plan), random.random)

        def heartbeat(records: list[HeldRecord]) -> bool:
            self.store.record_held(plan, work, records)
            # A FIFO destination drops what arrives twice, and a lane that has finished has nothing in hand.
            safe = plan.dlq.fifo or lane.finished
            in_hand = 0 if safe else settings.in_hand
            self.store.checkpoint(plan, work, lane.result().after(before), in_hand=in_hand)
            return self.store.wants_stop(plan)

        heartbeat([])
        try:
            runner.run(lane, heartbeat, HEARTBEAT_SECONDS)
        finally:
            self.store.record_undeleted(plan, work, sorted(lane.undeleted))
        result = lane.result().after(before)
        if lane.failure is not None:
            result = result.model_copy(update={"failure": explain(plan, *lane.failure)})
        return result

    def _find(self, arn: str) -> QueueRef | None:
        try:
            return self.find_queue(arn)
        except RejectedError:
            # A queue that this deployment may not access: its messages stay where they are.
            return None


def _usable(find: ContractFinder) -> FindContract:
    def found(name: str) -> MessageContract | Reason | None:
        try:
            return find(name)
        except RejectedError:
            # For the run's known queues this is refused in the plan; the messages of any other stay.
            return Reason.CONTRACT_UNUSABLE

    return found


def in_hand_limit(rate: float) -> int:
    """Return how many messages a lane has in hand at most, for its rate in messages per second."""
    return _within(_IN_HAND, _IN_HAND_SECONDS * rate)


def _within(bounds: tuple[int, int], value: float) -> int:
    return int(min(bounds[1], max(bounds[0], value)))
