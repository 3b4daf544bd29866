"""Runs one slice of a lane: what earlier attempts left, the pipeline, and the notes that a later slice needs.

Called by the move handler.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from contracts.contract import MessageContract
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.run_table import RunTable
from redrive.domain.destinations import Allowed
from redrive.domain.errors import RejectedError
from redrive.domain.failures import explain
from redrive.domain.judging import FindContract, Judge
from redrive.domain.lane import HeldRecord, Lane, LaneSettings
from redrive.domain.pacing import Pacer
from redrive.domain.runs import LaneWork, QueueRef, RunPlan, SliceResult, Tally
from redrive.domain.tallying import plus
from redrive.domain.verdicts import Reason

# Seconds between two notes of how far a slice is: what a crash leaves uncounted is at most what moved
# between them.
HEARTBEAT_SECONDS = 2.0
# Seconds before Lambda's timeout at which nothing more is sent, so that the last deletes and notes get
# through.
_RESERVE = 10.0
# Long enough for a letter to be sent and deleted, short enough for those of a lane that died to come back
# soon.
VISIBILITY_SECONDS = 30
# Letters in hand, in seconds of the lane's rate, within bounds.
_IN_HAND_SECONDS = 2
_IN_HAND = (20, 320)
# Requests in flight: at least one of each kind, and at a rate that so many messages per second add one to.
_FEWEST_REQUESTS = 4
_RATE_OF_A_REQUEST = 25
# A letter can be kept invisible for 12 hours in all (SQS developer guide, "Visibility timeout").
_HOLD = (600, 11 * 3600)


@dataclass(frozen=True, slots=True)
class Slices:
    """Runs the slices of one Lambda.

    Attributes
    ----------
    pipeline : Callable[[str], Pipeline]
        The pipeline for a dead-letter queue's URL.
    find_queue : Callable[[str], QueueRef | None]
        Looks a queue up by ARN; may raise RejectedError where this deployment may not touch it.
    table : RunTable
        The table of runs.
    contracts : Callable[[], Callable[[str], MessageContract | None]]
        Makes what finds the contract of a queue or function by name, anew for each slice; that may raise
        RejectedError where a contract cannot be used.
    allowed : Allowed
        What may be delivered to beside queues.
    """

    pipeline: Callable[[str], Pipeline]
    find_queue: Callable[[str], QueueRef | None]
    table: RunTable
    contracts: Callable[[], Callable[[str], MessageContract | None]]
    allowed: Allowed

    def run(self, plan: RunPlan, work: LaneWork, seconds: float, seconds_left: float) -> SliceResult:
        """Move letters and return what was done.

        Parameters
        ----------
        plan, work : RunPlan, LaneWork
            The run and the lane's part in it.
        seconds : float
            How long to move letters.
        seconds_left : float
            Until Lambda ends the invocation.

        Raises
        ------
        LockLostError
            Where another run has the queue.
        """
        self.table.wants_stop(plan)
        before = self.table.interrupted(plan, work) or SliceResult()
        pipeline = self.pipeline(plan.dlq.url)
        started = pipeline.clock()
        stops_at = started + seconds_left - _RESERVE
        settings = LaneSettings(
            run_id=plan.run_id,
            fifo=plan.dlq.fifo,
            quarantine_url=plan.quarantine_url,
            quota=None if work.quota is None else max(0, work.quota - before.redriven - before.quarantined),
            ends_at=min(started + seconds, stops_at),
            stops_at=stops_at,
            visibility=VISIBILITY_SECONDS,
            hold=_within(_HOLD, 1.5 * plan.waiting / plan.rate),
            concurrency=_within((_FEWEST_REQUESTS, pipeline.threads), work.rate / _RATE_OF_A_REQUEST),
            in_hand=in_hand_limit(work.rate),
        )
        contracts = _usable(self.contracts())
        judge = Judge(plan, cache(contracts), cache(self._find), self.allowed, pipeline.clock)
        lane = Lane(settings, judge, Pacer(work.rate), self.table.undeleted(plan), random.random)

        def heartbeat(records: list[HeldRecord]) -> bool:
            self.table.note_held(plan, work, records)
            result = _plus(before, lane.result())
            # What a FIFO destination gets twice it drops, and a lane that has finished has nothing in hand.
            safe = plan.dlq.fifo or lane.finished
            self.table.note_progress(plan, work, result, in_hand=0 if safe else settings.in_hand)
            return self.table.wants_stop(plan)

        heartbeat([])
        try:
            pipeline.run(lane, heartbeat, HEARTBEAT_SECONDS)
        finally:
            self.table.note_undeleted(plan, work, sorted(lane.undeleted))
        result = _plus(before, lane.result())
        if lane.failure is not None:
            result = result.model_copy(update={"failure": explain(plan, *lane.failure)})
        return result

    def _find(self, arn: str) -> QueueRef | None:
        try:
            return self.find_queue(arn)
        except RejectedError:
            # A queue that this deployment may not touch: its letters stay where they are.
            return None


def _usable(find: Callable[[str], MessageContract | None]) -> FindContract:
    def found(name: str) -> MessageContract | Reason | None:
        try:
            return find(name)
        except RejectedError:
            # Refused in the plan where the run's queues are known then: the letters of this one stay.
            return Reason.CONTRACT_UNUSABLE

    return found


def in_hand_limit(rate: float) -> int:
    """Return how many letters a lane has in hand at most, for its rate in messages per second."""
    return _within(_IN_HAND, _IN_HAND_SECONDS * rate)


def _within(bounds: tuple[int, int], value: float) -> int:
    return int(min(bounds[1], max(bounds[0], value)))


def _plus(before: SliceResult, result: SliceResult) -> SliceResult:
    both = plus(Tally(), (before, result))
    return result.model_copy(
        update={
            name: getattr(both, name)
            for name in SliceResult.model_fields
            if name not in {"drained", "stopped", "seconds", "failure"}
        }
        | {"seconds": before.seconds + result.seconds}
    )
