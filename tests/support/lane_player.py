"""Plays a lane against the model of SQS, and keeps what the requests and answers prove.

Used by the lane's tests. The evidence is independent of the lane's own bookkeeping.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from redrive.domain.messages.destinations import Destination, Kind
from redrive.domain.moving.actions import (
    Action,
    ApiError,
    Delete,
    ErrorKind,
    Outcome,
    Purpose,
    Receive,
    Received,
    Send,
    SetVisibility,
    error_at,
)
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.lane_settings import Notes
from redrive.domain.moving.retries import MAX_ATTEMPTS
from redrive.domain.moving.send_buffer import outbound_of
from redrive.domain.moving.transitions import HeldRecord
from tests.support.model_sqs import Fate, ModelSqs, kind_of, name_of

# Seconds that a received message stays invisible.
VISIBILITY = 30
_TIMEOUT = ApiError("ReadTimeoutError", ErrorKind.UNCERTAIN)
_RETRIABLE = {ErrorKind.THROTTLED, ErrorKind.UNCERTAIN}


@dataclass
class Evidence:
    """What the requests and answers of one lane prove about the messages, by their names."""

    started: float = 0.0
    ended: float = 0.0
    crashed: bool = False
    #: Confirmed to the lane as accepted, and how often.
    accepted: Counter[str] = field(default_factory=Counter)
    #: Failed attempts at sending.
    attempts: Counter[str] = field(default_factory=Counter)
    #: Refused for good while the lane was still sending, by the error code.
    refused: dict[str, str] = field(default_factory=dict)
    #: Answers to sends that left open whether the message was delivered, where a repeated one is delivered twice.
    uncertain: Counter[str] = field(default_factory=Counter)
    #: The same where the destination recognizes a repeated message, for five minutes.
    uncertain_once: Counter[str] = field(default_factory=Counter)
    #: Returned to the lane while it was still sending.
    taken_in: set[str] = field(default_factory=set)
    #: Returned to the lane at any time.
    returned: set[str] = field(default_factory=set)
    #: Sends that the rate applies to: when, how many messages, to where.
    sends: list[tuple[float, int, Destination]] = field(default_factory=list)
    #: When requests were made, by their kind or purpose.
    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    #: Why the lane had to give up, with the time; None if it hadn't.
    gave_up: tuple[float, str] | None = None
    stopped_at: float | None = None
    #: The most requests in flight and messages in hand.
    most_in_flight: int = 0
    most_in_hand: int = 0
    #: What heartbeats recorded: messages to keep invisible, and ids of sent messages that may still be in the queue.
    records: list[HeldRecord] = field(default_factory=list)
    undeleted: set[str] = field(default_factory=set)
    #: Received again, by a request made after their destination had confirmed them: others could have had them too.
    exposed: set[str] = field(default_factory=set)
    #: Sent messages whose deletion failed at least once, or was confirmed late.
    deleted_late: set[str] = field(default_factory=set)
    _accepted_at: dict[str, float] = field(default_factory=dict)
    _received_at: dict[str, float] = field(default_factory=dict)
    _receiving: int = 0
    _failed_receives: int = 0
    _expected: set[str] = field(default_factory=set)

    def issued(self, action: Action, now: float, *, deletable: set[str]) -> None:
        """Check a request when the lane makes it."""
        self.times[kind_of(action)].append(now)
        match action:
            case Receive():
                self._receiving += 1
                assert self.gave_up is None, "a receive after the lane gave up"
            case Send():
                assert self.gave_up is None, "a send after the lane gave up"
                names = [name_of(held.message.body) for held in action.messages]
                groups = [held.message.group_id for held in action.messages]
                if action.destination.kind is Kind.FIFO_QUEUE:
                    assert len(set(groups)) == len(groups), "two messages of a group in one batch"
                for name in names:
                    assert name not in self.accepted, f"{name} is sent again after it was accepted"
                    assert name not in self.refused, f"{name} is sent again after it was refused for good"
                    assert name not in self._expected, f"{name} is sent while it is being sent"
                self._expected.update(names)
                if action.destination.throttled:
                    self.sends.append((now, len(names), action.destination))
            case Delete():
                for held in action.messages:
                    name = name_of(held.message.body)
                    assert name in self.accepted or name in deletable, f"{name} is deleted before it was accepted"
            case SetVisibility():
                if action.purpose is Purpose.HOLD:
                    recorded = {record.receipt_handle for record in self.records}
                    assert recorded.issuperset(action.handles), "kept invisible before anyone can release it"
                for held in action.messages:
                    name = name_of(held.message.body)
                    assert name not in self.accepted or action.purpose is Purpose.EXTEND

    def answered(self, action: Action, outcome: Outcome, now: float) -> None:
        """Take note of an answer before the lane learns of it."""
        errors = [outcome] if isinstance(outcome, ApiError) else getattr(outcome, "failed", {}).values()
        for error in errors:
            if error.kind is ErrorKind.GONE:
                self.give_up(now, error.code)
        match action:
            case Receive():
                self._answered_receive(action, outcome, now)
            case Delete():
                for place, held in enumerate(action.messages):
                    name = name_of(held.message.body)
                    late = now >= self._received_at[name] + VISIBILITY
                    if late or error_at(outcome, place) is not None:
                        self.deleted_late.add(name)
            case Send():
                for place, held in enumerate(action.messages):
                    error = error_at(outcome, place)
                    self._accepted_at.setdefault(name_of(held.message.body), now)
                    whole = error is outcome and len(action.messages) > 1
                    self._answered_send(name_of(held.message.body), error, whole=whole, once=outbound_of(held))

    def _answered_receive(self, action: Receive, outcome: Outcome, now: float) -> None:
        self._receiving -= 1
        if isinstance(outcome, Received):
            self._failed_receives = 0
            names = {name_of(message.body) for message in outcome.messages}
            self.returned |= names
            for message in outcome.messages:
                name = name_of(message.body)
                self._received_at.setdefault(name, action.issued_at)
                if name in self.accepted and action.issued_at >= self._accepted_at[name]:
                    self.exposed.add(name)
            if self.gave_up is None:
                self.taken_in |= names
            return
        assert isinstance(outcome, ApiError)
        self._failed_receives += 1
        often = self._failed_receives >= MAX_ATTEMPTS and not self._receiving
        if often or outcome.kind not in _RETRIABLE:
            self.give_up(now, outcome.code)

    def _answered_send(self, name: str, error: ApiError | None, *, whole: bool, once: Any) -> None:
        self._expected.discard(name)
        if error is None:
            self.accepted[name] += 1
            return
        self._accepted_at.pop(name, None)
        self.attempts[name] += 1
        if error.kind is ErrorKind.UNCERTAIN:
            (self.uncertain_once if once.deduplicated else self.uncertain)[name] += 1
        alone_next = whole and error.kind is ErrorKind.REFUSED
        if self.gave_up is None and error.kind not in _RETRIABLE and not alone_next:
            self.refused[name] = error.code

    def note(self, notes: Notes) -> None:
        """Take note of what a heartbeat recorded."""
        self.records += notes.held
        self.undeleted = (self.undeleted | set(notes.undeleted)) - set(notes.settled)

    def give_up(self, now: float, why: str) -> None:
        """Take note that the lane has a reason to send and receive nothing more."""
        self.gave_up = self.gave_up or (now, why)


def play(
    lane: Lane,
    sqs: ModelSqs,
    *,
    start: float = 0.0,
    stops_at: float = float("inf"),
    stop_at: float = float("inf"),
    lost: bool = False,
    crash_after: int | None = None,
    sent_before: set[str] | None = None,
    beat_every: float = 0.0,
    lost_beats: Collection[int] = (),
) -> Evidence:
    """Run a lane to its end, or until it crashes after so many requests, and return what could be observed.

    Parameters
    ----------
    lane, sqs : Lane, ModelSqs
        What acts, and on what.
    start : float
        The time at which the lane starts.
    stops_at : float
        The lane's deadline, from which on it may send nothing.
    stop_at : float
        When an operator stops it.
    lost : bool
        Nobody stops it then: it learns that it has lost its place, and has no heartbeats from then on.
    crash_after : int | None
        Requests until the lane is never asked again. What is on its way takes effect.
    sent_before : set[str] | None
        Names of messages that may be deleted without being sent.
    beat_every : float
        Seconds between two heartbeats, which record what the lane wants to have recorded; 0 for one at every step.
    lost_beats : Collection[int]
        Numbers of the heartbeats that fail.
    """
    evidence = Evidence(started=start)
    wire = Wire(sqs)
    beats = _Heartbeats(lane, evidence, beat_every, lost_beats)
    now = start
    for _ in range(200_000):
        now = beats.take(now)
        if now >= stop_at and evidence.stopped_at is None:
            lane.stop(now, lost=lost)
            beats.over = lost
            evidence.stopped_at = now
            evidence.give_up(now, "stopped")
        if now >= stops_at:
            evidence.give_up(now, "deadline")
        actions = lane.next(now)
        for action in actions:
            evidence.crashed = crash_after is not None and wire.requests >= crash_after
            if evidence.crashed:
                break
            evidence.issued(action, now, deletable=sent_before or set())
            wire.start(action, now)
        evidence.most_in_flight = max(evidence.most_in_flight, wire.in_flight)
        evidence.most_in_hand = max(evidence.most_in_hand, lane.in_hand)
        if evidence.crashed or lane.finished:
            break
        wake_at = min(lane.wake_at(), stop_at if stop_at > now else float("inf"), beats.due_at(now))
        if wire.next_at > wake_at:
            assert actions or wake_at > now or beats.due_at(now) <= now, "the lane is busy doing nothing"
            now = max(now, wake_at)
            continue
        assert wire.next_at < float("inf"), "the lane waits for nothing"
        now = wire.next_at
        for action, outcome in wire.step():
            evidence.answered(action, outcome, now)
            lane.outcome(action, outcome, now)
    else:
        raise AssertionError("the lane doesn't come to an end")
    assert evidence.crashed or not wire.in_flight, "the lane has finished with requests in flight"
    evidence.ended = wire.end(now)
    if not evidence.crashed:
        notes = lane.notes()
        assert not notes.held, "the lane has finished before a message was kept"
        evidence.note(notes)
    return evidence


class _Heartbeats:
    """What records what the lane wants to have recorded: at an interval, and when the lane can't go on without."""

    def __init__(self, lane: Lane, evidence: Evidence, every: float, lost_beats: Collection[int]) -> None:
        self._lane = lane
        self._evidence = evidence
        self._every = every
        self._lost = lost_beats
        self._next = evidence.started + every
        self._number = 0
        #: There are no more.
        self.over = False

    def due_at(self, now: float) -> float:
        """Return when the next one is due; infinity if only the next step of the lane matters."""
        if self.over:
            return float("inf")
        if self._lane.needs_heartbeat:
            return now
        return self._next if self._every else float("inf")

    def take(self, now: float) -> float:
        """Take a heartbeat if it is time; return the time afterwards."""
        urgent = self._lane.needs_heartbeat
        if self.over or (now < self._next and not urgent):
            return now
        notes = self._lane.notes()
        self._number += 1
        if self._number not in self._lost:
            self._evidence.note(notes)
            self._lane.noted(notes, now)
        elif urgent:
            # What failed isn't repeated at once.
            now += 0.1
        self._next = now + self._every
        return now


class Wire:
    """The requests under way: two events for each, its effect and its answer."""

    def __init__(self, sqs: ModelSqs) -> None:
        self._sqs = sqs
        self._coming: list[tuple[float, int, Action, Fate, Outcome | None]] = []
        self._order = itertools.count()
        self.requests = 0
        self.in_flight = 0

    @property
    def next_at(self) -> float:
        return self._coming[0][0] if self._coming else float("inf")

    def _add(self, at: float, action: Action, fate: Fate, answer: Outcome | None) -> None:
        heapq.heappush(self._coming, (at, next(self._order), action, fate, answer))

    def start(self, action: Action, now: float) -> None:
        self.requests += 1
        self.in_flight += 1
        self._sqs.calls[type(action).__name__] += 1
        fate = self._sqs.fate(action)
        self._add(now + fate.effect, action, fate, None)
        if fate.answer < fate.effect:
            # The client gives up waiting; nobody learns what the request did.
            self._add(now + fate.answer, action, fate, fate.error or _TIMEOUT)

    def step(self) -> Iterator[tuple[Action, Outcome]]:
        """Let the next event happen; yield the action and its outcome if that is an answer."""
        now, _, action, fate, answer = heapq.heappop(self._coming)
        if answer is not None:
            self.in_flight -= 1
            yield action, answer
            return
        outcome = self._sqs.carry_out(action, fate, now)
        if fate.answer >= fate.effect:
            # A long poll that finds nothing takes its second.
            poll = 1.0 if isinstance(outcome, Received) and not outcome.messages else 0.0
            self._add(now + fate.answer - fate.effect + poll, action, fate, outcome)

    def end(self, now: float) -> float:
        """Let everything take effect that is under way, and return when the last of it did."""
        while self._coming:
            at, _, action, fate, answer = heapq.heappop(self._coming)
            if answer is None:
                self._sqs.carry_out(action, fate, at)
                now = at
        return now
