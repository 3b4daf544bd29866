"""Moves one slice of a lane: what earlier attempts left, the pipeline, and the checkpoints for a later slice."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from redrive.domain.errors import LogMessageError, RejectedError
from redrive.domain.judging.authority import Authority, Confirm
from redrive.domain.judging.judge import Judge
from redrive.domain.judging.verdicts import Reason, explained
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.destination_rate import DestinationRate, destination_rate
from redrive.domain.moving.failures import explain
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.lane_settings import LaneSettings
from redrive.domain.moving.rate_limiter import RateLimiter
from redrive.domain.moving.results import LaneWork, SliceResult, smallest
from redrive.domain.plan.directories import QueueDirectory
from redrive.domain.plan.rates import MaxRate, RateShares, less_than_wanted
from redrive.domain.plan.run_plan import RunPlan
from redrive.workflow.memory import Memory
from redrive.workflow.met_queue import met_queue
from redrive.workflow.ports import (
    LEASE_SECONDS,
    Checkpoint,
    CheckpointStore,
    ContractFinder,
    LaneRunner,
    MessageFacts,
    RunStore,
)

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
# Maximum number of messages that may leave the queue before the next checkpoint, in addition to those in hand. If the
# lane dies, the run counts them all as moved.
_MOST_GRANTED = 1_000
# Requests in flight: at least one of each kind, and one more of each per this many messages per second.
_FEWEST_REQUESTS = 4
_RATE_OF_A_REQUEST = 25
# A message can be kept invisible for 12 hours in all (SQS developer guide, "Visibility timeout").
_HOLD = (600, 11 * 3600)


class Mover(NamedTuple):
    """Moves the slices of one process, from run to run."""

    #: Runs lanes on a run's dead-letter queue.
    lane_runner: Callable[[Memory, LogMessageError], LaneRunner]
    #: Makes the directory of queues, for messages of a queue that the plan doesn't know.
    queues: Callable[[], QueueDirectory]
    store: RunStore
    checkpoints: CheckpointStore
    facts: MessageFacts
    shares: RateShares
    #: Creates the contract finder, once for each slice; it may raise RejectedError if a contract can't be used.
    contracts: Callable[[], ContractFinder]
    #: Creates what logs unexpected errors of messages, once for each slice.
    error_log: Callable[[], LogMessageError]
    delivery_policy: DeliveryPolicy
    #: Asks AWS's configuration where messages of a run belong, and remembers the answers.
    confirms: Callable[[str], Confirm]
    #: Unique ids of the roles whose `redrive` attribute is believed.
    movers: frozenset[str]
    #: The time in seconds since 1970.
    time: Callable[[], float]
    #: Waits for so many seconds.
    pause: Callable[[float], None]

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
        SupersededError
            If another attempt at the slice has taken the lane's place.
        RedriveError
            If the judge raised it, such as UnavailableError for a contract that can't be read now. By then, the lane
            has finished its open requests and released its messages, so another attempt can take over.
        """
        log_error = self.error_log()
        runner = self.lane_runner(Memory(plan, self.facts, self.movers), log_error)
        stops_at = runner.clock() + seconds_left - _RESERVE
        self.store.wants_stop(plan)
        attempt = uuid.uuid4().hex
        taken = self.checkpoints.take(plan, work, attempt)
        before = taken.before or SliceResult()
        if taken.finished:
            return before
        if taken.interrupted:
            self.pause(LEASE_SECONDS)
        started = runner.clock()
        settings = LaneSettings(
            fifo=plan.dlq.fifo,
            alone=work.lanes == 1,
            quota=None if work.quota is None else max(0, work.quota - before.taken),
            ends_at=min(started + seconds, stops_at),
            stops_at=stops_at,
            visibility=VISIBILITY_SECONDS,
            hold=_within(_HOLD, 1.5 * plan.waiting / plan.rate),
            concurrency=_within((_FEWEST_REQUESTS, runner.threads), work.rate / _RATE_OF_A_REQUEST),
            in_hand=in_hand_limit(work.rate),
            in_hand_bytes=IN_HAND_BYTES,
            # Receiving messages again raises their receive count, which a redrive policy acts on.
            defers=not plan.request.allow_nested_dlq,
        )
        epoch = self.time() - runner.clock()
        met = _MetQueues(plan, work, self.queues, self.shares, began=started, ends_at=settings.ends_at, epoch=epoch)
        authority = Authority(plan, cache(met.find), self.delivery_policy, self.confirms(plan.run_id))
        judge = Judge(plan, self.contracts(), authority, self.movers, log_error)
        # SQS itself keeps the groups of a FIFO queue waiting while one of their messages is invisible.
        blocked = frozenset(self.facts.blocked(plan)) if plan.in_quarantine else frozenset()
        lane = Lane(
            settings,
            judge,
            RateLimiter(work.rate, lane=work.lane, lanes=work.lanes, epoch=epoch, ends_at=settings.ends_at),
            self.checkpoints.undeleted(plan),
            random.random,
            destination_rates=met.rates,
            blocked=blocked,
        )

        def reached() -> SliceResult:
            failure = None if lane.failure is None else explain(plan, *lane.failure)
            explanations = explained(met.explanations, judge.explanations)
            learned = {"max_rate": met.max_rate, "failure": failure, "explanations": explanations}
            return lane.result().model_copy(update=learned).after(before)

        def heartbeat() -> bool:
            nonlocal blocked
            now, notes = runner.clock(), lane.notes()
            granted = 0 if lane.finished else lane.committed + settings.in_hand + min(int(work.rate), _MOST_GRANTED)
            granted = granted if settings.quota is None else min(settings.quota, granted)
            # Those of a FIFO queue may arrive twice, too: in the quarantine, which is a standard queue.
            in_hand = 0 if lane.finished else settings.in_hand
            finished = lane.finished and judge.error is None
            checkpoint = Checkpoint(reached(), in_hand, before.taken + granted, finished)
            self.checkpoints.record_sent(plan, work, notes.undeleted, notes.settled)
            # Before anything is kept invisible: an attempt that has lost its place must not hide messages, and the one
            # that has taken it must know the groups that wait for them.
            self.checkpoints.checkpoint(plan, work, attempt, checkpoint)
            if plan.in_quarantine and lane.blocked != blocked:
                self.facts.record_blocked(plan, work, lane.blocked)
                blocked = lane.blocked
            self.checkpoints.record_held(plan, work, notes.held)
            stop = self.store.wants_stop(plan)
            lane.noted(notes, runner.clock(), lease_ends=now + LEASE_SECONDS, granted=granted)
            return stop

        heartbeat()
        try:
            runner.run(lane, heartbeat, HEARTBEAT_SECONDS)
        except Exception:
            # Whatever ended it: what was sent must not be sent again.
            self.checkpoints.record_sent(plan, work, sorted(lane.undeleted))
            raise
        if judge.error is not None:
            raise judge.error
        return reached()


class _MetQueues:
    """The queues that a lane delivers to: those of the plan, and those it meets while messages move.

    Parameters
    ----------
    plan, work : RunPlan, LaneWork
        The run and the lane's part in it.
    queues : Callable[[], QueueDirectory]
        Makes the directory of queues.
    shares : RateShares
        Where the run's shares are reserved.
    began, ends_at : float
        When the slice began, and when it ends, on the lane's clock.
    epoch : float
        What to add to the lane's clock to get seconds since 1970.
    """

    def __init__(
        self,
        plan: RunPlan,
        work: LaneWork,
        queues: Callable[[], QueueDirectory],
        shares: RateShares,
        *,
        began: float,
        ends_at: float,
        epoch: float,
    ) -> None:
        #: The rates to keep to, by the address of the destination; grows.
        self.rates: dict[str, DestinationRate] = {}
        #: The smallest rate that a queue declares which the plan doesn't know; None if none does.
        self.max_rate: float | None = None
        #: Why nothing is sent to a queue, or less than wanted: sentences for an operator, each once.
        self.explanations: dict[str, None] = {}
        self._plan = plan
        self._work = work
        self._queues = queues
        self._shares = shares
        self._began = began
        self._ends_at = ends_at
        self._epoch = epoch
        for limit in plan.max_rates:
            self._keep(limit)

    def find(self, arn: str) -> QueueRef | Reason | None:
        """Return a queue that the plan doesn't know, or why nothing may be sent to it."""
        met = met_queue(self._queues(), arn, self.explanations.setdefault)
        if not isinstance(met, tuple):
            return met
        found, max_rate = met
        if max_rate is None:
            return found
        plan = self._plan
        self.max_rate = smallest(self.max_rate, max_rate)
        wanted = min(plan.request.rate, max_rate)
        try:
            limit = self._shares.reserve(plan.run_id, plan.execution_arn, found, wanted, max_rate)
        except RejectedError as error:
            self.explanations.setdefault(str(error))
            return Reason.RATE_UNAVAILABLE
        self._keep(limit)
        if less := less_than_wanted(limit, wanted):
            self.explanations.setdefault(less)
        return found

    def _keep(self, limit: MaxRate) -> None:
        # Every lane has the same part of the run's rate.
        lanes = max(1, round(self._plan.rate / self._work.rate))
        self.rates[limit.queue.url] = destination_rate(
            limit, self._work.lane, lanes, began=self._began, ends_at=self._ends_at, epoch=self._epoch
        )


def in_hand_limit(rate: float) -> int:
    """Return how many messages a lane has in hand at most, for its rate in messages per second."""
    return _within(_IN_HAND, _IN_HAND_SECONDS * rate)


def _within(bounds: tuple[int, int], value: float) -> int:
    return int(min(bounds[1], max(bounds[0], value)))
