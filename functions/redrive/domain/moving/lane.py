"""One lane of a run: decides which requests to make next, from what the last ones returned.

It makes no request itself: `redrive.adapters.pipeline` carries out its actions and reports the
outcomes, and the tests drive it against a model of SQS with every failure injected. All its state changes in
`next` and `outcome`, which one thread calls. `redrive.domain.moving.transitions` has the rules that it follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from redrive.domain.judging.verdicts import Line, Verdict
from redrive.domain.messages.message import MAX_BATCH_ENTRIES, ReceivedMessage
from redrive.domain.moving.actions import (
    Action,
    ApiError,
    BatchResult,
    Delete,
    ErrorKind,
    Outcome,
    Purpose,
    Receive,
    Received,
    Send,
    SetVisibility,
    error_at,
    gone_in,
)
from redrive.domain.moving.counting import LaneCounts
from redrive.domain.moving.deferral import Deferral
from redrive.domain.moving.destination_rate import DestinationRate
from redrive.domain.moving.hand import TOO_LATE, Hand, pop_batch
from redrive.domain.moving.intake import Intake
from redrive.domain.moving.lane_settings import LaneSettings, Notes
from redrive.domain.moving.rate_limiter import Departure, RateLimiter
from redrive.domain.moving.results import SliceResult
from redrive.domain.moving.retries import MAX_ATTEMPTS
from redrive.domain.moving.send_buffer import SendBuffer, outbound_of
from redrive.domain.moving.transitions import Event, InHand, Stage

# Incomplete batches wait this many seconds for more messages.
_SEND_LINGER = 0.2
_LINGER = {Stage.DELETING: 1.0, Stage.HOLDING: 0.0, Stage.DEFERRING: 0.2, Stage.RELEASING: 0.0}


class Lane:
    """Moves messages: receives, judges, sends, and deletes what was sent.

    Parameters
    ----------
    settings : LaneSettings
        What the lane needs to know.
    judge : Callable[[ReceivedMessage], Verdict | None]
        The verdict on one message; None ends the lane early.
    rate_limiter : RateLimiter
        How fast messages leave, to all destinations together.
    sent_before : Iterable[str]
        Ids of messages that earlier slices or runs sent but perhaps didn't delete.
    jitter : Callable[[], float]
        Random numbers from 0 to 1 for the pauses between attempts.
    destination_rates : Mapping[str, DestinationRate]
        Of destinations that declare a max rate, by address. The judge may add some while messages move.
    blocked : Iterable[Line]
        FIFO groups of which a message stays since an earlier slice.
    """

    def __init__(
        self,
        settings: LaneSettings,
        judge: Callable[[ReceivedMessage], Verdict | None],
        rate_limiter: RateLimiter,
        sent_before: Iterable[str],
        jitter: Callable[[], float],
        *,
        destination_rates: Mapping[str, DestinationRate],
        blocked: Iterable[Line] = (),
    ) -> None:
        self.rate_limiter = rate_limiter
        #: What ended the lane early: the action, None if it is that nothing can be recorded, and the error.
        self.failure: tuple[Action | None, ApiError] | None = None
        self._settings = settings
        self._destination_rates = destination_rates
        self._counts = LaneCounts()
        self._intake = Intake(settings.fifo, settings.quota, settings.in_hand, settings.in_hand_bytes)
        self._hand = Hand(
            fifo=settings.fifo,
            alone=settings.alone,
            judge=judge,
            intake=self._intake,
            counts=self._counts,
            sent_before=sent_before,
            blocked=blocked,
            jitter=jitter,
            deferral=self._seconds_to_defer,
        )
        self._deferral = Deferral(destination_rates, settings.defers and not settings.fifo)
        self._in_flight = 0
        self._sending = 0
        self._ended = False
        self._stopped = False
        self._lost = False
        self._lease_ends = float("inf")
        self._wake = float("inf")

    # What the pipeline asks

    @property
    def finished(self) -> bool:
        """Whether nothing is in flight or in hand and nothing more will be received."""
        return not self._in_flight and not self._hand and not self._hand.retries and self._closing

    @property
    def in_hand(self) -> int:
        """Messages received and not done with."""
        return len(self._hand)

    @property
    def undeleted(self) -> frozenset[str]:
        """Ids of messages that this lane sent and that may still be in the dead-letter queue."""
        return self._hand.sent.undeleted

    @property
    def blocked(self) -> frozenset[Line]:
        """FIFO groups that nothing more is sent of, because one of their messages stays."""
        return frozenset(self._hand.blocked)

    @property
    def committed(self) -> int:
        """Messages that have left the queue or are about to."""
        return self._intake.committed

    @property
    def needs_heartbeat(self) -> bool:
        """Whether the lane can't go on before something is recorded."""
        idle = self._closing and not self._in_flight
        return self._hand.waits_for_record(idle=idle) or self._intake.waits_for_checkpoint

    def notes(self) -> Notes:
        """Return what has to be recorded now."""
        undeleted, settled = self._hand.sent.to_record(everything=self.finished or self._lost)
        return Notes(self._hand.keeping.to_record(), undeleted, settled)

    def noted(self, notes: Notes, now: float, *, lease_ends: float = float("inf"), granted: int | None = None) -> None:
        """Continue after a heartbeat: until a time, and until so many messages have left the queue in all."""
        self._hand.sent.recorded(notes.undeleted, notes.settled)
        self._hand.keeping.recorded(notes.held, now)
        self._lease_ends = lease_ends
        self._intake.granted = granted

    def result(self) -> SliceResult:
        """Return the counts so far."""
        return self._counts.result(drained=self._intake.drained, stopped=self._stopped)

    def stop(self, now: float, *, lost: bool = False) -> None:
        """Finish what is under way and release the rest; also what is about to be held, if the lane lost its place."""
        self._stopped = True
        self._lost = lost
        self._hand.give_up(now)

    def wake_at(self) -> float:
        """Return the time at which `next` has something to do even if no request ends before."""
        return self._wake

    # Deciding what to do next

    @property
    def _closing(self) -> bool:
        """Whether no more messages will be received."""
        return self._hand.giving_up or self._ended or self._intake.exhausted

    def next(self, now: float) -> list[Action]:
        """Return the requests to make now, at most as many as may be in flight."""
        settings = self._settings
        self._ended = self._ended or now >= settings.ends_at
        if now >= settings.stops_at or (self._closing and now >= self._lease_ends):
            self._hand.give_up(now)
            self._hand.keeping.give_back([Stage.RECORDING], now)
        if self._lost:
            # Nobody would make them visible again.
            self._hand.keeping.give_back([Stage.RECORDING, Stage.HOLDING], now)
        self._hand.ended = self._ended
        self._hand.retries.run_due(now)
        times = (self._hand.retries.next_at, settings.ends_at, settings.stops_at)
        self._wake = min([at for at in times if at > now], default=float("inf"))
        self._hand.find_expiring(now)
        actions: list[Action] = []
        self._add_deletes(actions, now)
        self._add_visibility(actions, self._hand.waiting[Stage.RELEASING], 0, Purpose.RELEASE, now)
        self._add_visibility(actions, self._hand.waiting[Stage.DEFERRING], None, Purpose.DEFER, now)
        self._add_visibility(actions, self._hand.to_extend(), settings.visibility, Purpose.EXTEND, now)
        self._add_visibility(actions, self._hand.keeping.to_hold(now), settings.hold, Purpose.HOLD, now)
        if now < self._lease_ends:
            self._add_sends(actions, now)
            self._add_receives(actions, now)
            self._wake = min(self._wake, self._lease_ends)
        return actions

    def _seconds_to_defer(self, held: InHand, now: float) -> int:
        if not self._destination_rates:
            return 0
        destination = outbound_of(held).destination
        waiting = self._hand.buffers.waiting_for(destination)
        return self._deferral.seconds(destination, waiting, self.rate_limiter.rate, now)

    def _free(self) -> bool:
        return self._in_flight < self._settings.concurrency

    def _start(self, actions: list[Action], action: Action) -> None:
        self._in_flight += 1
        self._counts.called(type(action).__name__)
        actions.append(action)

    def _ripe(self, waiting: deque[InHand], now: float) -> bool:
        """Whether a batch should go now: full, waited long enough, or nothing more will come."""
        if not waiting:
            return False
        ripe_at = waiting[0].since + _LINGER.get(waiting[0].stage, 0.0)
        if len(waiting) >= MAX_BATCH_ENTRIES or now >= ripe_at or self._settings.fifo:
            return True
        if self._closing and not self._intake.receiving and not self._sending:
            return True
        self._wake = min(self._wake, ripe_at)
        return False

    def _add_deletes(self, actions: list[Action], now: float) -> None:
        waiting = self._hand.waiting[Stage.DELETING]
        while self._free() and self._ripe(waiting, now):
            self._start(actions, Delete(*pop_batch(waiting)))

    def _add_visibility(
        self, actions: list[Action], waiting: deque[InHand], seconds: int | None, purpose: Purpose, now: float
    ) -> None:
        while self._free() and self._ripe(waiting, now):
            messages, handles = pop_batch(waiting)
            each = [held.deferred_for if seconds is None else seconds for held in messages]
            self._start(actions, SetVisibility(messages, handles, each, purpose, now))

    def _add_sends(self, actions: list[Action], now: float) -> None:
        for buffer in self._hand.buffers.longest_waiting_first():
            while buffer and self._free():
                if (batch := self._take_batch(buffer, now)) is None:
                    break
                if batch:
                    self._sending += 1
                    self._start(actions, Send(buffer.destination, batch, self._departure(buffer, batch, now)))

    def _take_batch(self, buffer: SendBuffer, now: float) -> list[InHand] | None:
        """Return the next batch, which may turn out empty, or None if none may leave now."""
        destination = buffer.destination
        limiter = self._destination_rates.get(destination.address) if destination.throttled else None
        most = self.rate_limiter.batch_size if destination.throttled else MAX_BATCH_ENTRIES
        most = most if limiter is None else min(most, limiter.batch_size(now))
        most = most if destination.takes_batches else 1
        ripe_at = buffer.oldest() + _SEND_LINGER
        if len(buffer) < most and now < ripe_at and self._intake.receiving and not self._closing:
            self._wake = min(self._wake, ripe_at)
            return None
        ready_at = self.rate_limiter.ready_at(now) if destination.throttled else now
        if (ready_at := ready_at if limiter is None else max(ready_at, limiter.ready_at(now))) > now:
            self._wake = min(self._wake, ready_at)
            return None
        batch = []
        for held in buffer.take(most):
            if held.visible_until > now + TOO_LATE:
                held.advance(Event.TAKEN, now)
                batch.append(held)
            else:
                self._hand.expired(held, now)
        return batch

    def _departure(self, buffer: SendBuffer, batch: list[InHand], now: float) -> Departure:
        departure = Departure(len(batch), now)
        if buffer.destination.throttled:
            self.rate_limiter.take(departure)
            if (limiter := self._destination_rates.get(buffer.destination.address)) is not None:
                limiter.take(departure)
            self._counts.throttled_send(now, now + departure.count / self.rate_limiter.rate)
        return departure

    def _add_receives(self, actions: list[Action], now: float) -> None:
        while not self._closing and self._free() and (wanted := self._intake.wanted(len(self._hand))):
            if now < self._intake.not_before:
                self._wake = min(self._wake, self._intake.not_before)
                return
            self._intake.start(wanted)
            self._start(actions, Receive(wanted, now, not self._hand))

    # Processing outcomes

    def outcome(self, action: Action, outcome: Outcome, now: float) -> None:
        """Take note of the outcome of an action that `next` returned."""
        self._in_flight -= 1
        if (gone := gone_in(outcome)) is not None:
            self._fail(action, gone, now)
        match action:
            case Receive():
                self._intake.end(action)
                self._after_receive(action, outcome, now)
            case Send():
                self._sending -= 1
                self._after_send(action, outcome, now)
            case Delete():
                for place, held in enumerate(action.messages):
                    self._hand.deleted(held, action.handles[place], error_at(outcome, place), now)
            case SetVisibility():
                self._after_visibility(action, outcome, now)

    def _after_receive(self, action: Receive, outcome: Outcome, now: float) -> None:
        intake = self._intake
        if isinstance(outcome, ApiError):
            intake.failures += 1
            exhausted = intake.failures >= MAX_ATTEMPTS and not intake.receiving
            if exhausted or outcome.kind in {ErrorKind.REFUSED, ErrorKind.LIMIT}:
                self._fail(action, outcome, now)
            intake.not_before = now + self._hand.retries.pause(intake.failures)
            return
        assert isinstance(outcome, Received)
        intake.answered(action, len(outcome.messages))
        visible_until = action.issued_at + self._settings.visibility
        for message in outcome.messages:
            self._hand.take_in(message, visible_until, now)

    def _after_send(self, action: Send, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, BatchResult) and outcome.unrecorded is not None:
            self._fail(None, outcome.unrecorded, now)
        for place, held in enumerate(action.messages):
            error = error_at(outcome, place)
            if error is None:
                self._hand.accepted(held, now)
            else:
                whole = error is outcome and len(action.messages) > 1
                self._hand.not_accepted(held, error, now, whole=whole)

    def _after_visibility(self, action: SetVisibility, outcome: Outcome, now: float) -> None:
        for place, held in enumerate(action.messages):
            error = error_at(outcome, place)
            if action.purpose is not Purpose.EXTEND:
                self._hand.held_or_released(held, action.handles[place], error, now)
            elif error is None and now < held.visible_until and held.message.receipt_handle == action.handles[place]:
                # Otherwise another receive may have voided the handle, and then the extension had no effect.
                held.visible_until = action.issued_at + action.seconds[place]

    def _fail(self, action: Action | None, error: ApiError, now: float) -> None:
        self.failure = self.failure or (action, error)
        self._hand.give_up(now)
