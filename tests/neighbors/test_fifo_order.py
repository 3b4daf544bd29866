"""FIFO order: whatever stays in a dead-letter queue holds back its group, for whatever reason, until it has left.

Whole runs are played on models, one after another, with faults in the first one. The oracle knows only the order of
arrivals: whenever a message arrives, all that were before it in its group have arrived somewhere, too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redrive.contracts.json_schema import SchemaContract
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.actions import Action, Outcome, Purpose, Received, SetVisibility
from tests.faults.schedules import DELETE, SEND, Fault
from tests.support import factories
from tests.support.lane_player import VISIBILITY
from tests.support.model_faults import FAILURES, KILLS, anything, hits, neighbors
from tests.support.model_runs import EPOCH, QUARANTINE, ModelApp
from tests.support.model_sqs import Delivery, Fate

START = int(EPOCH * 1000)
ORDERS, INVOICES, BILLS = (factories.queue(f"{name}.fifo", max_bytes=2_048) for name in ("orders", "invoices", "bills"))
CONTRACT = SchemaContract("order", {"type": "object", "properties": {"amount": {"type": "number"}}})
# Why a message stays in the first run's dead-letter queue, and in any run's.
PASSING = ("unselected", "invalid", "undecided", "worn", "late", "came-back", "refused", "contract-unusable")
FOREVER = ("unroutable", "too-large")
AMOUNTS = {"invalid": '"none"', "undecided": "1" * 1_001, "too-large": f'1,"text":"{"x" * 2_100}"'}
RECORDED = {"worn": ("run-0", 3), "came-back": ("run-1", 1)}


class Contracts(dict[str, SchemaContract]):
    """Those of the source queues, and one that can't be used."""

    def get(self, name: str, default: Any = None) -> Any:
        if name == BILLS.name:
            raise RejectedError("The contract of bills.fifo is invalid.")
        return super().get(name, default)


@dataclass(frozen=True)
class Message:
    """A message of a FIFO queue, and why it stays; empty if nothing is wrong with it."""

    place: int
    group: str
    source: QueueRef
    why: str

    @property
    def body(self) -> str:
        return f'{{"id":{self.place},"amount":{AMOUNTS.get(self.why, 1)}}}'

    @property
    def line(self) -> tuple[str, str]:
        """What keeps its order once it is back in its queue."""
        return self.source.arn, self.group

    def quarantined(self) -> dict[str, Any]:
        """Return the message as it is in the quarantine."""
        run, count = RECORDED.get(self.why, ("run-0", 0))
        note = {"run": run, "count": count, "id": "m", "sent": 1, "source": self.source.arn, "reason": "x"}
        entry = self.received()
        entry["Attributes"] |= {"SenderId": f"{factories.MOVER}:session"}
        del entry["Attributes"]["DeadLetterQueueSourceArn"]
        entry["MessageAttributes"] = entry.get("MessageAttributes", {}) | {
            "redrive": factories.string(json.dumps(note))
        }
        return entry

    def received(self) -> dict[str, Any]:
        """Return the message as it is in the dead-letter queue."""
        attributes = {} if self.why == "unselected" else {"chosen": factories.string("yes")}
        if self.why in RECORDED:
            run, count = RECORDED[self.why]
            note = {"run": run, "count": count, "id": "m", "sent": 1, "source": self.source.arn}
            attributes["redrive"] = factories.string(json.dumps(note))
        return factories.message(
            self.body,
            message_id=f"m-{self.place:03}",
            attributes=attributes,
            system={"MessageGroupId": self.group},
            sent_at=START + (1_000 if self.why == "late" else -60_000),
            source=self.source.name,
            sender=factories.MOVER if self.why in RECORDED else "AROAPRODUCER",
        )


@st.composite
def queues(draw: st.DrawFn, *, fewest: int = 1, most: int = 30) -> list[Message]:
    """Draw what is in a dead-letter queue, in its order. Most of it can go; the rest stays for up to three reasons."""
    whys = draw(st.lists(st.sampled_from([*PASSING, *FOREVER]), min_size=1, max_size=3))
    number, groups = draw(st.integers(fewest, most)), draw(st.integers(1, 4))
    drawn = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=number, max_size=number))
    messages = []
    for place, (reason, group) in enumerate(drawn):
        why = whys[reason % len(whys)] if reason >= 7 else ""
        source = {"contract-unusable": BILLS, "unroutable": factories.queue("gone.fifo")}.get(why)
        messages.append(Message(place, f"g-{group % groups}", source or (ORDERS, INVOICES)[place % 2], why))
    return messages


def overtaken(messages: Sequence[Message], deliveries: Sequence[Delivery]) -> Iterator[str]:
    """Yield what arrived before something that was ahead of it."""
    by_body = {message.body: message for message in messages}
    gone: set[Message] = set()
    for delivery in deliveries:
        arrived = by_body[delivery.name]
        for message in messages[: arrived.place]:
            if message.group == arrived.group and message not in gone:
                yield f"{arrived} overtook {message} at {delivery.at:.2f}"
        gone.add(arrived)


def deployed(messages: Sequence[Message], faults: Sequence[Fault] = ()) -> ModelApp:
    return ModelApp(
        dlq=factories.queue("orders-dlq.fifo"),
        sources=(ORDERS, INVOICES),
        others=(BILLS,),
        messages=[message.received() for message in messages],
        contracts=Contracts({ORDERS.name: CONTRACT, INVOICES.name: CONTRACT}),
        faults=tuple(faults),
        refused={message.body for message in messages if message.why == "refused"},
    )


def play(app: ModelApp, **options: Any) -> None:
    """Play a run, and another one for which every reason is gone that can go."""
    app.redrive("run-1", select={"attributes": {"chosen": "yes"}}, **options)
    app.wait_until(60, lambda: all(function.ended for function in app.functions))
    app.wait_until(60, lambda: app.queues.facts(app.dlq).in_flight == 0)
    app.faults, app.contracts, app.refused, app.on_request = (), {}, set(), {}
    app.redrive("run-2", rate=100, maxRedrives=10)


def stuck_forever(messages: Sequence[Message]) -> set[str]:
    """Return the bodies of what no run can move, and of what is behind it."""
    stuck: set[str] = set()
    groups: set[str] = set()
    for message in messages:
        if message.why in FOREVER or message.group in groups:
            groups.add(message.group)
            stuck.add(message.body)
    return stuck


@given(
    queues(),
    st.lists(anything(), max_size=4),
    st.sampled_from([2, 15, 100]),
    st.sampled_from(["leave", "quarantine"]),
    st.none() | st.integers(0, 6),
)
@neighbors(150)
def test_whatever_stays_is_never_overtaken_by_this_run_or_the_next(messages, faults, rate, on_invalid, stop_at):
    app = deployed(messages, faults)
    if stop_at is not None:
        app.on_request[SEND, stop_at] = lambda: app.ask_to_stop(app.runs["run-1"])
    app.time.run(lambda: play(app, rate=rate, onInvalid=on_invalid))
    app.check()
    assert list(overtaken(messages, app.sqs.deliveries)) == []
    assert app.sqs.stored.keys() == stuck_forever(messages)


# The way back from the quarantine, a standard queue, which returns messages in any order


@dataclass
class Watched:
    """What SQS did for the lanes of a run, in its order: what it returned, delivered, and keeps invisible."""

    app: ModelApp
    events: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._carry_out = self.app.sqs.carry_out
        self.app.sqs.carry_out = self.carry_out  # type: ignore[method-assign]

    def carry_out(self, action: Action, fate: Fate, now: float) -> Outcome:
        """Carry out a request of a lane and take note of what it did."""
        sqs, before = self.app.sqs, len(self.app.sqs.deliveries)
        outcome = self._carry_out(action, fate, now)
        if isinstance(outcome, Received):
            self.events += [("received", message.body) for message in outcome.messages]
        self.events += [("delivered", delivery.name) for delivery in sqs.deliveries[before:]]
        if isinstance(action, SetVisibility) and action.purpose is Purpose.HOLD:
            names = [held.message.body for held in action.messages]
            self.events += [("held", name) for name in names if sqs.stored[name].visible_at > now + VISIBILITY]
        return outcome

    def overtaken(self, messages: Sequence[Message], *, since: str) -> Iterator[str]:
        """Yield what was received after a message of its group that stays, and delivered all the same.

        Parameters
        ----------
        messages : Sequence[Message]
            All of them.
        since : str
            A message stays since it was `received`, or since it is `held`.
        """
        by_body = {message.body: message for message in messages}
        received: dict[str, int] = {}
        stays: dict[str, int] = {}
        delivered: dict[str, int] = {}
        for place, (event, name) in enumerate(self.events):
            if event == "received":
                received[name] = place
            elif event == "held":
                stays.setdefault(name, received[name] if since == "received" else place)
            else:
                delivered.setdefault(name, received[name])
        for name, place in delivered.items():
            for other, stayed in stays.items():
                if by_body[other].line == by_body[name].line and stayed < place and other != name:
                    yield f"{by_body[name]} overtook {by_body[other]}"


def quarantined(messages: Sequence[Message], order: random.Random, faults: Sequence[Fault]) -> ModelApp:
    entries = [message.quarantined() for message in messages]
    order.shuffle(entries)
    return ModelApp(
        dlq=QUARANTINE,
        sources=(),
        others=(ORDERS, INVOICES, BILLS),
        messages=entries,
        contracts=Contracts({ORDERS.name: CONTRACT, INVOICES.name: CONTRACT}),
        faults=tuple(faults),
        refused={message.body for message in messages if message.why == "refused"},
    )


@given(
    queues(),
    st.randoms(use_true_random=False),
    st.lists(hits([SEND, DELETE], FAILURES, before=6, times=[1, 3]), max_size=3),
)
@neighbors(100)
def test_what_is_received_from_the_quarantine_after_a_message_that_stays_waits(messages, order, faults):
    app = quarantined(messages, order, faults)
    watched = Watched(app)
    app.time.run(lambda: app.redrive("run-1", select={"attributes": {"chosen": "yes"}}, rate=2))
    app.check()
    assert list(watched.overtaken(messages, since="received")) == []


@given(
    queues(fewest=30, most=60),
    st.randoms(use_true_random=False),
    st.lists(hits([SEND, DELETE], KILLS, before=30, times=[1]), min_size=1, max_size=3),
)
@neighbors(100)
def test_it_waits_in_a_slice_that_begins_again_after_its_function_was_killed_too(messages, order, faults):
    app = quarantined(messages, order, faults)
    watched = Watched(app)
    app.time.run(lambda: app.redrive("run-1", select={"attributes": {"chosen": "yes"}}, rate=2))
    app.check()
    assert list(watched.overtaken(messages, since="held")) == []
