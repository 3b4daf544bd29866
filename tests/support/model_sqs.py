"""A model of SQS on a clock of its own: carries out a lane's requests, each with the fate that a test gives it.

Used by the lane's tests. It keeps what matters there: visibility, receipt handles, FIFO groups, deduplication,
requests that fail as a whole or entry by entry, and answers that are lost, late, or both. What it observes is the
test's evidence; it reads nothing of the lane's own bookkeeping.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redrive.domain.messages.message import MAX_BATCH_ENTRIES, MAX_BYTES, ReceivedMessage, attributes_size
from redrive.domain.moving.actions import (
    Action,
    ApiError,
    BatchResult,
    Delete,
    ErrorKind,
    Outcome,
    Receive,
    Received,
    Send,
    SetVisibility,
)
from redrive.domain.moving.send_buffer import outbound_of

_NOT_IN_FLIGHT = ApiError("MessageNotInflight", ErrorKind.REFUSED)
_EXPIRED_HANDLE = ApiError("InvalidParameterValue", ErrorKind.REFUSED)


@dataclass(frozen=True)
class Fate:
    """What becomes of one request."""

    #: The request fails as a whole.
    error: ApiError | None = None
    #: Entries that fail, by their place.
    entries: Mapping[int, ApiError] = field(default_factory=dict)
    #: What fails with an uncertain error is carried out all the same.
    carried_out: bool = False
    #: Seconds until the request takes effect, and until it is answered. The answer may come first, as a timeout does.
    effect: float = 0.01
    answer: float = 0.02


CALM = Fate()


@dataclass
class Stored:
    """A message in the dead-letter queue."""

    message: dict[str, Any]
    visible_at: float = 0.0
    handle: str = ""


@dataclass
class Delivery:
    """One copy of a message that arrived somewhere."""

    at: float
    address: str
    name: str
    request: Mapping[str, Any]


def name_of(body: str) -> str:
    """Return the name of a test's message: the first word of its body."""
    return body.split(" ", 1)[0]


def kind_of(action: Action) -> str:
    """Return `receive`, `send`, `delete`, `extend`, `hold`, or `release`."""
    return str(action.purpose) if isinstance(action, SetVisibility) else type(action).__name__.lower()


def text_of(request: Mapping[str, Any]) -> str:
    """Return the body in a request to a queue, a function, or a state machine."""
    return str(request.get("MessageBody") or request.get("Payload") or request["input"])


class ModelSqs:
    """One dead-letter queue and what was delivered anywhere.

    Parameters
    ----------
    messages : list[dict[str, Any]]
        As ReceiveMessage returns them; the first word of each body is unique.
    fifo : bool
        The queue is a FIFO queue.
    fate : Callable[[Action], Fate]
        What becomes of the next request.
    visibility : float
        Seconds that a received message stays invisible.
    """

    def __init__(
        self,
        messages: list[dict[str, Any]],
        *,
        fifo: bool = False,
        fate: Callable[[Action], Fate] = lambda _: CALM,
        visibility: float = 30.0,
    ) -> None:
        self.messages = messages
        self.fifo = fifo
        self.fate = fate
        self.visibility = visibility
        self.stored = {name_of(message["Body"]): Stored(message) for message in messages}
        self.deliveries: list[Delivery] = []
        self.deleted: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._handles = itertools.count()
        self._deduplicated: set[tuple[str, str]] = set()

    @property
    def names(self) -> set[str]:
        return {name_of(message["Body"]) for message in self.messages}

    @property
    def copies(self) -> Counter[str]:
        """Copies that arrived of each message."""
        return Counter(delivery.name for delivery in self.deliveries)

    def release(self, handles: Iterable[str], now: float) -> None:
        """Make messages visible by their handles, as the end of a run does."""
        for _, stored in self._in_flight_by(handles):
            stored.visible_at = min(stored.visible_at, now)

    def carry_out(self, action: Action, fate: Fate, now: float) -> Outcome:
        """Change the queue as the fate says, and return the answer."""
        if fate.error is not None:
            if fate.carried_out:
                self._apply(action, {}, now)
            return fate.error
        applied = {} if fate.carried_out else fate.entries
        outcome = self._apply(action, applied, now)
        if isinstance(outcome, Received):
            return outcome
        return BatchResult({**outcome.failed, **fate.entries})

    def _apply(self, action: Action, failing: Mapping[int, ApiError], now: float) -> Received | BatchResult:
        match action:
            case Receive():
                found = self.receive(action.max_messages, now, self.visibility)
                return Received([ReceivedMessage.from_sqs(message) for message in found])
            case Send():
                return self._send(action, failing, now)
            case Delete():
                return self._delete(action, failing, now)
            case SetVisibility():
                return self._set_visibility(action, failing, now)

    def receive(self, most: int, now: float, visibility: float) -> list[dict[str, Any]]:
        """Return messages, which stay invisible for some seconds."""
        assert 1 <= most <= MAX_BATCH_ENTRIES
        found: list[dict[str, Any]] = []
        # A FIFO queue returns nothing of a group while a message of it is in flight.
        locked = {_group(stored) for stored in self.stored.values() if self.fifo and stored.visible_at > now}
        for stored in self.stored.values():
            if len(found) >= most:
                break
            if stored.visible_at > now or (self.fifo and _group(stored) in locked):
                continue
            stored.visible_at = now + visibility
            stored.handle = f"handle-{next(self._handles)}"
            found.append(stored.message | {"ReceiptHandle": stored.handle})
        return found

    def _send(self, action: Send, failing: Mapping[int, ApiError], now: float) -> BatchResult:
        destination = action.destination
        requests = [outbound_of(held).request for held in action.messages]
        assert 1 <= len(requests) <= (MAX_BATCH_ENTRIES if destination.takes_batches else 1)
        sizes = [len(text_of(r).encode()) + attributes_size(r.get("MessageAttributes", {})) for r in requests]
        assert len(requests) == 1 or sum(sizes) <= MAX_BYTES
        for place, request in enumerate(requests):
            once = request.get("MessageDeduplicationId", request.get("name"))
            if place in failing or (destination.address, once) in self._deduplicated:
                continue
            if once is not None:
                self._deduplicated.add((destination.address, once))
            self.deliveries.append(Delivery(now, destination.address, name_of(text_of(request)), request))
        return BatchResult()

    def _delete(self, action: Delete, failing: Mapping[int, ApiError], now: float) -> BatchResult:
        failed = {}
        for place, stored in self._in_flight_by(action.handles):
            if place in failing:
                continue
            # A FIFO queue refuses a handle whose visibility has run out (SQS API reference, DeleteMessage).
            if self.fifo and stored.visible_at <= now:
                failed[place] = _EXPIRED_HANDLE
                continue
            name = name_of(stored.message["Body"])
            del self.stored[name]
            self.deleted.add(name)
        return BatchResult(failed)

    def _set_visibility(self, action: SetVisibility, failing: Mapping[int, ApiError], now: float) -> BatchResult:
        # SQS API reference, ChangeMessageVisibility.
        assert all(0 <= seconds <= 43_200 for seconds in action.seconds)
        failed = {}
        for place, stored in self._in_flight_by(action.handles):
            if place in failing:
                continue
            if stored.visible_at <= now:
                failed[place] = _NOT_IN_FLIGHT
            else:
                stored.visible_at = now + action.seconds[place]
        return BatchResult(failed)

    def _in_flight_by(self, handles: Iterable[str]) -> list[tuple[int, Stored]]:
        """Return the messages whose latest handles these are; SQS accepts an older one and does nothing."""
        latest = {stored.handle: stored for stored in self.stored.values()}
        return [(place, latest[handle]) for place, handle in enumerate(handles) if handle in latest]


def _group(stored: Stored) -> str | None:
    group: str | None = stored.message["Attributes"].get("MessageGroupId")
    return group
