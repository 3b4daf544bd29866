"""Worlds for the lane's tests: messages with verdicts, settings, and a script of failures.

Everything is drawn by hypothesis, so that a failing world shrinks to its essence: a byte of the script that is 0 means
that nothing is wrong with a request, and a world without a byte left is calm.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip, Verdict
from redrive.domain.messages.destinations import Destination, function, quarantine, queue, state_machine
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.outbound import outbound
from redrive.domain.moving.actions import Action, ApiError, ErrorKind, Receive
from redrive.domain.moving.destination_rate import destination_rate
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.lane_settings import LaneSettings
from redrive.domain.moving.rate_limiter import RateLimiter
from redrive.domain.plan.rates import MaxRate
from tests.support import factories
from tests.support.lane_player import VISIBILITY, Evidence, play
from tests.support.model_sqs import CALM, Fate, ModelSqs, kind_of, name_of

# The worlds begin at a time of day like any other.
EPOCH = 1_760_000_000.123
_HOME = "us-east-1:123456789012"
ORDERS = queue(factories.queue("orders"))
INVOICES = queue(factories.queue("invoices"))
ORDERS_FIFO = queue(factories.queue("orders.fifo"))
FUNCTION = function(f"arn:aws:lambda:{_HOME}:function:on-order", "on-order")
WORKFLOW = state_machine(f"arn:aws:states:{_HOME}:stateMachine:orders", "orders-flow")
QUARANTINE = quarantine(factories.queue("quarantine"))

THROTTLED = ApiError("ThrottlingException", ErrorKind.THROTTLED)
UNCERTAIN = ApiError("InternalError", ErrorKind.UNCERTAIN)
TIMEOUT = ApiError("ReadTimeoutError", ErrorKind.UNCERTAIN)
REFUSED = ApiError("InvalidMessageContents", ErrorKind.REFUSED)
GONE = ApiError("QueueDoesNotExist", ErrorKind.GONE)
LIMIT = ApiError("OverLimit", ErrorKind.LIMIT)


@dataclass(frozen=True)
class Wish:
    """The verdict that a message is to get."""

    destination: Destination | None = None
    contract: str | None = None
    repaired: bool = False
    #: Of a quarantined message; without a destination, of a skipped one.
    reason: str | None = None
    #: Of a skipped message in a standard queue: the FIFO queue that it belongs to.
    fifo_queue: str | None = None

    def verdict(self, received: ReceivedMessage) -> Verdict:
        if self.destination is None:
            return Skip(self.reason or "", self.fifo_queue)
        request = outbound(received, self.destination, "{}", f"{received.message_id}-1")
        if self.reason is not None:
            return Quarantine(self.reason, request)
        return Redrive(request, self.contract, self.repaired)


SEND = Wish(ORDERS)
WISHES = (
    SEND,
    Wish(ORDERS, "order"),
    Wish(ORDERS, "order", repaired=True),
    Wish(INVOICES, "invoice"),
    Wish(ORDERS_FIFO),
    Wish(ORDERS_FIFO, "order", repaired=True),
    Wish(FUNCTION),
    Wish(WORKFLOW),
    Wish(QUARANTINE, reason="not-json"),
    Wish(QUARANTINE, reason=Reason.REDRIVEN_TOO_OFTEN),
    Wish(reason=Reason.ARRIVED_AFTER_START),
    Wish(reason=Reason.CAME_BACK),
    Wish(reason=Reason.NOT_SELECTED),
    Wish(reason=Reason.NOT_SELECTED, fifo_queue=ORDERS_FIFO.arn),
)


@dataclass
class World:
    """One dead-letter queue, its lane's settings, and what fails."""

    wishes: list[Wish]
    fifo: bool = False
    groups: int = 1
    #: No other lane receives from the queue.
    alone: bool = True
    #: Seconds between two heartbeats (0: one at every step), and the numbers of those that fail.
    beat_every: float = 0.0
    lost_beats: frozenset[int] = frozenset()
    quota: int | None = None
    rate: float = 5000
    seconds: float = 3000
    grace: float = 60
    concurrency: int = 16
    in_hand: int = 320
    in_hand_bytes: int = 48 * 1024 * 1024
    hold: int = 3600
    defers: bool = True
    #: What destinations accept in messages per second, by address.
    max_rates: Mapping[str, float] = field(default_factory=dict)
    stop_at: float = float("inf")
    #: It isn't an operator's stop, but the loss of the lane's place.
    lost: bool = False
    fate: Callable[[Action], Fate] = lambda _: CALM
    #: Characters that make messages longer, by their place.
    padding: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wish_of: dict[str, Wish] = {}
        self.group_of: dict[str, str | None] = {}
        messages = []
        for number, wish in enumerate(self.wishes):
            ordered = self.fifo or wish.destination is ORDERS_FIFO or wish.fifo_queue is not None
            group = f"g{number % self.groups}" if ordered else None
            name = f"{number:03}"
            self.wish_of[name] = wish
            self.group_of[name] = group
            messages.append(
                factories.message(
                    f"{name} {_text(self.padding.get(number, 0))}",
                    message_id=name,
                    source="orders.fifo" if self.fifo else "orders",
                    system=None if group is None else {"MessageGroupId": group},
                )
            )
        self.sqs = ModelSqs(messages, fifo=self.fifo, fate=self.fate, visibility=VISIBILITY)

    def line_of(self, name: str) -> str | None:
        """Return the FIFO group that a message must not overtake, or None if it is free."""
        wish = self.wish_of[name]
        ordered = self.fifo or wish.destination is ORDERS_FIFO or wish.fifo_queue is not None
        return self.group_of[name] if ordered else None

    def judge(self, received: ReceivedMessage) -> Verdict:
        return self.wish_of[name_of(received.body)].verdict(received)

    def lane(self, start: float = 0.0, sent_before: frozenset[str] = frozenset(), **changes: Any) -> Lane:
        values: dict[str, Any] = {
            "fifo": self.fifo,
            "alone": self.alone,
            "quota": self.quota,
            "ends_at": start + self.seconds,
            "stops_at": start + self.seconds + self.grace,
            "visibility": VISIBILITY,
            "hold": self.hold,
            "concurrency": self.concurrency,
            "in_hand": self.in_hand,
            "in_hand_bytes": self.in_hand_bytes,
            "defers": self.defers,
        }
        settings = LaneSettings(**(values | changes))
        rates = {
            address: destination_rate(_limit(address, max_rate), 0, 1, began=start, ends_at=math.inf, epoch=EPOCH)
            for address, max_rate in self.max_rates.items()
        }
        return Lane(
            settings,
            self.judge,
            RateLimiter(self.rate),
            sent_before,
            random.Random(1).random,
            destination_rates=rates,
        )

    def play(self, lane: Lane, **keys: Any) -> Evidence:
        start = keys.get("start", 0.0)
        beats: dict[str, Any] = {"beat_every": self.beat_every, "lost_beats": self.lost_beats}
        return play(
            lane,
            self.sqs,
            stops_at=start + self.seconds + self.grace,
            stop_at=self.stop_at,
            lost=self.lost,
            **(beats | keys),
        )


def _limit(address: str, max_rate: float) -> MaxRate:
    (place,) = (place for place in (ORDERS, INVOICES, ORDERS_FIFO) if place.address == address)
    return factories.limit(max_rate, max_rate, place.name)


@cache
def _text(length: int) -> str:
    return "x" * length


def plot(fates: Mapping[tuple[str, int], Fate]) -> Callable[[Action], Fate]:
    """Return what gives single requests their fates, by kind and number; all others are calm.

    Kinds are those of `kind_of`; the number -1 stands for every other one.
    """
    seen: Counter[str] = Counter()

    def fate(action: Action) -> Fate:
        kind = kind_of(action)
        seen[kind] += 1
        return fates.get((kind, seen[kind] - 1), fates.get((kind, -1), CALM))

    return fate


class Script:
    """Gives each request its fate, from bytes.

    Parameters
    ----------
    choices : bytes
        What to read; afterwards everything is calm.
    level : int
        How many of 256 requests go wrong.
    fatal : bool
        Whether errors may end the run.
    """

    def __init__(self, choices: bytes, level: int, *, fatal: bool) -> None:
        self._text = f"Script({choices.rstrip(bytes(1))!r}, {level}, fatal={fatal})"
        self._choices = iter(choices)
        self._level = level
        self._kinds = len(_FATES) if fatal else _FATAL
        self._fatal = fatal

    def __repr__(self) -> str:
        return self._text

    def __call__(self, action: Action) -> Fate:
        effect = 0.001 + self._next() / 2000
        answer = effect + self._next() / 2000
        if self._next() < 256 - self._level:
            return Fate(effect=effect, answer=answer)
        kind = self._next() * self._kinds // 256
        if isinstance(action, Receive):
            kind = kind if self._fatal or kind < _ENTRY_KINDS else 0
            entries: tuple[int, ...] = ()
        else:
            mask = self._next() | 1 << self._next() % len(action.messages)
            entries = tuple(place for place in range(len(action.messages)) if mask >> place & 1)
        fate = _FATES[kind](effect, answer, entries)
        if isinstance(action, Receive) and fate.error is None and fate.effect > VISIBILITY:
            # A request times out long before the visibility does, so one that is answered took effect by then.
            return replace(fate, effect=11)
        return fate

    def _next(self) -> int:
        return next(self._choices, 0)


def _whole(error: ApiError, *, carried_out: bool = False) -> Any:
    return lambda effect, answer, _: Fate(error, carried_out=carried_out, effect=effect, answer=answer)


def _entries(error: ApiError, *, carried_out: bool = False) -> Any:
    # A receive has no entries; it fails as a whole.
    return lambda effect, answer, places: Fate(
        None if places else error, dict.fromkeys(places, error), carried_out=carried_out, effect=effect, answer=answer
    )


_FATES = (
    _whole(THROTTLED),
    _whole(UNCERTAIN),
    _whole(TIMEOUT, carried_out=True),
    # The request outlives its answer's timeout, and the visibility.
    lambda *_: Fate(TIMEOUT, carried_out=True, effect=45, answer=11),
    lambda *_: Fate(effect=0.01, answer=45),
    lambda *_: Fate(effect=45, answer=46),
    _entries(THROTTLED),
    _entries(UNCERTAIN),
    _entries(UNCERTAIN, carried_out=True),
    _entries(REFUSED),
    _entries(LIMIT),
    _entries(GONE),
    _whole(REFUSED),
    # From here on, the run ends.
    _whole(GONE),
    _whole(LIMIT),
)
_ENTRY_KINDS = 9
_FATAL = 13


# Made once: making a strategy and validating it takes longer than drawing from it.
_LEVELS = st.sampled_from([4, 20, 60, 150])
_FATALS = st.sampled_from([False, False, False, True])
_BEATS = st.sampled_from([0.0, 0.0, 2.0])
_LOST_BEATS = st.frozensets(st.integers(1, 12), max_size=6)
_QUOTAS = st.none() | st.integers(1, 30)
_RATES = st.sampled_from([5000, 40, 3])
_SECONDS = st.sampled_from([1, 5, 40])
_GRACES = st.sampled_from([0, 3, 60])
_CONCURRENCIES = st.sampled_from([16, 4, 1])
_IN_HAND = st.sampled_from([320, 20, 10])
_STOPS = st.just(float("inf")) | st.floats(0, 15)
_QUEUES = st.sampled_from([ORDERS.address, INVOICES.address, ORDERS_FIFO.address])
_MAX_RATES = st.dictionaries(_QUEUES, st.sampled_from([0.3, 1, 1.9, 4, 7.5, 20, 100, 600]), max_size=3)


@st.composite
def worlds(draw: st.DrawFn, *, fifo: bool = False, calm: bool = False) -> World:
    """Draw a world: up to 40 messages, and 300 bytes of failures."""
    number = draw(st.integers(0, 40))
    wishes = [WISHES[byte * len(WISHES) // 256] for byte in draw(st.binary(min_size=40, max_size=40))[:number]]
    level = 0 if calm else draw(_LEVELS)
    fatal = draw(_FATALS)
    script = Script(draw(st.binary(min_size=300, max_size=300)), level, fatal=fatal)
    unhurried = calm or draw(st.booleans())
    return World(
        wishes=wishes,
        fifo=fifo,
        groups=draw(st.integers(1, 6)),
        alone=fifo or draw(st.booleans()),
        beat_every=draw(_BEATS),
        lost_beats=frozenset() if calm else draw(_LOST_BEATS),
        quota=None if calm else draw(_QUOTAS),
        rate=draw(_RATES),
        seconds=3000 if unhurried else draw(_SECONDS),
        grace=60 if unhurried else draw(_GRACES),
        concurrency=draw(_CONCURRENCIES),
        in_hand=draw(_IN_HAND),
        stop_at=float("inf") if unhurried else draw(_STOPS),
        max_rates=draw(_MAX_RATES),
        lost=not unhurried and draw(st.booleans()),
        fate=script,
    )
