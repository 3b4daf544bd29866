"""A model of SQS on a clock of its own, with failures injected: carries out a lane's actions in any schedule.

Used by the property tests of the lane. It keeps what matters there: visibility, receipt handles, partial
failures, answers that get lost after the request was carried out, FIFO groups and deduplication.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from redrive.domain.lane import (
    Action,
    BatchResult,
    Delete,
    Failure,
    Lane,
    Messages,
    Outcome,
    Receive,
    Send,
    SetVisibility,
    Trouble,
)
from redrive.domain.letters import MAX_BATCH_ENTRIES, MAX_BYTES, attributes_size


@dataclass
class Stored:
    """A message in the dead-letter queue."""

    message: dict[str, Any]
    visible_at: float = 0.0
    handle: str = ""


@dataclass
class Faults:
    """How often things go wrong, as shares from 0 to 1."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    throttled: float = 0.0
    entry_failed: float = 0.0
    entry_refused: float = 0.0
    slow: float = 0.0

    @classmethod
    def every(cls, share: float) -> Faults:
        return cls(share, share, share, share, 0.0, share)


@dataclass
class ModelSqs:
    """One dead-letter queue and what was sent anywhere."""

    messages: list[dict[str, Any]]
    fifo: bool = False
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.stored = {message["MessageId"]: Stored(message) for message in self.messages}
        self._handles = itertools.count()
        self._deduplicated: set[str] = set()

    def sent_bodies(self) -> Counter[str]:
        return Counter(request["MessageBody"] for _, request in self.sent)

    def carry_out(
        self, action: Action, now: float, visibility: float, faults: Faults, dice: random.Random
    ) -> Outcome:
        """Return what the client gets to know, after the queue has changed (or not) as the faults say."""
        self.calls[type(action).__name__] += 1
        if dice.random() < faults.lost_request:
            return Failure("EndpointConnectionError", Trouble.UNCERTAIN)
        if dice.random() < faults.throttled:
            return Failure("ThrottlingException", Trouble.THROTTLED)
        outcome = self._apply(action, now, visibility, faults, dice)
        if dice.random() < faults.lost_answer:
            return Failure("ReadTimeoutError", Trouble.UNCERTAIN)
        return outcome

    def _apply(
        self, action: Action, now: float, visibility: float, faults: Faults, dice: random.Random
    ) -> Outcome:
        match action:
            case Receive():
                return Messages(self._receive(action.max_messages, now, visibility))
            case Send():
                return self._send(action, faults, dice)
            case Delete():
                for held, handle in zip(action.letters, action.handles, strict=True):
                    stored = self.stored.get(held.letter.message_id)
                    if stored is not None and stored.handle == handle:
                        del self.stored[held.letter.message_id]
                return BatchResult()
            case SetVisibility():
                for held, handle in zip(action.letters, action.handles, strict=True):
                    stored = self.stored.get(held.letter.message_id)
                    if stored is not None and stored.handle == handle:
                        stored.visible_at = now + action.seconds
                return BatchResult()

    def _receive(self, most: int, now: float, visibility: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        locked = {
            stored.message["Attributes"].get("MessageGroupId")
            for stored in self.stored.values()
            if self.fifo and stored.visible_at > now
        }
        for stored in self.stored.values():
            if len(found) >= most:
                break
            if stored.visible_at > now:
                continue
            if self.fifo and stored.message["Attributes"].get("MessageGroupId") in locked:
                continue
            stored.visible_at = now + visibility
            stored.handle = f"receipt-{next(self._handles)}"
            found.append(stored.message | {"ReceiptHandle": stored.handle})
        return found

    def _send(self, action: Send, faults: Faults, dice: random.Random) -> BatchResult:
        assert 1 <= len(action.letters) <= MAX_BATCH_ENTRIES
        requests = [dict(held.outgoing.request) for held in action.letters if held.outgoing is not None]
        sizes = [
            len(r["MessageBody"].encode()) + attributes_size(r.get("MessageAttributes", {})) for r in requests
        ]
        assert sum(sizes) <= MAX_BYTES
        failed = {}
        for place, request in enumerate(requests):
            if dice.random() < faults.entry_refused:
                failed[place] = Failure("InvalidMessageContents", Trouble.REFUSED)
            elif dice.random() < faults.entry_failed:
                failed[place] = Failure("InternalError", Trouble.THROTTLED)
            elif request.get("MessageDeduplicationId") not in self._deduplicated:
                self.sent.append((action.destination.address, request))
                if "MessageDeduplicationId" in request:
                    self._deduplicated.add(request["MessageDeduplicationId"])
        return BatchResult(failed)


def play(
    lane: Lane,
    sqs: ModelSqs,
    *,
    dice: random.Random,
    faults: Faults,
    visibility: float,
    start: float = 0.0,
    crash_after: int | None = None,
) -> float:
    """Run a lane to its end, or until it crashes after so many requests; return the time then.

    Each request takes effect and is answered at times drawn from `dice`, so that requests overtake each
    other.
    """
    now = start
    order = itertools.count()
    coming: list[tuple[float, int, Action, Outcome | None]] = []
    requests = 0
    for _ in range(200_000):
        for action in lane.next(now):
            requests += 1
            if crash_after is not None and requests > crash_after:
                return now
            delay = visibility * 1.5 if dice.random() < faults.slow else dice.uniform(0.001, 0.05)
            heapq.heappush(coming, (now + delay * dice.random(), next(order), action, None))
        if lane.finished:
            return now
        due = coming[0][0] if coming else float("inf")
        if due > lane.wake_at():
            now = max(now, lane.wake_at())
            continue
        now, _, action, outcome = heapq.heappop(coming)
        if outcome is None:
            outcome = sqs.carry_out(action, now, visibility, faults, dice)
            pause = 1.0 if isinstance(action, Receive) and outcome == Messages([]) else 0.01
            heapq.heappush(coming, (now + pause * dice.random(), next(order), action, outcome))
        else:
            lane.outcome(action, outcome, now)
    raise AssertionError("the lane does not come to an end")


def bodies(messages: Iterable[dict[str, Any]]) -> set[str]:
    return {message["Body"] for message in messages}
