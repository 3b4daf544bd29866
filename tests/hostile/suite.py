"""What must be true of any messages: plays runs on hostile ones, and says what doesn't hold.

A seed stands for some runs, so that a failure can be played again and a search can go on where it ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ConfigDict

from redrive.contracts.contract import Contract, ContractModel, MessageContract
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.judging.verdicts import Reason, Skip
from redrive.domain.plan.request import OnInvalid, TraceHeader
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection
from tests.hostile import messages
from tests.hostile.marks import TEXTS, leak
from tests.hostile.messages import SCRIPT_BYTES, hostile
from tests.hostile.runs import Ran, Table, run
from tests.hostile.wire import LIMIT, Failures, Queue, Stored, Wire, acceptable, fits
from tests.support import factories

# Runs of a seed, and the most messages of a run: about 1,100 messages.
RUNS, MESSAGES = 40, 40
#: The seeds that the tests play; a search goes on from the next one.
SEEDS = range(1, 13)
OURS = "redrive"


class Event(ContractModel):
    """A body of which nothing may be shown."""

    model_config = ConfigDict(extra="ignore")

    event_id: str
    name: str


class EventAttributes(ContractModel):
    """Its attributes."""

    model_config = ConfigDict(extra="ignore")

    store_id: int


EVENT = Contract("event", Event, EventAttributes)
ORDER = SchemaContract(
    "order",
    {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer", "maximum": 10}, "name": {"pattern": "^[a-z]+$", "x-personal": True}},
        "patternProperties": {"^customer": {"type": "string", "maxLength": 3}},
        "additionalProperties": {"type": ["string", "number", "object"]},
        "x-attributes": {"required": ["store_id"]},
    },
)
RAW = SchemaContract("raw", {"x-sns-delivery": "raw"})
CONTRACTS: Sequence[Mapping[str, MessageContract]] = (
    {},
    {"orders": EVENT},
    {"orders": ORDER, "on-order": ORDER},
    {"orders": RAW, "invoices": RAW},
)
SELECTIONS = (
    *9 * (None,),
    Selection(jmespath="length(keys(@)) > `1` || contains(to_string(@), 'zqxj')"),
    Selection(error_type=("*Error",)),
    Selection(source=("orders", "on-*", "nightly"), attributes={"zqxj": None}),
    Selection(jmespath="sum(values(@)) > `0` || sort_by(@, &name)[0].id == '3'"),
)
REPAIRS = (
    None,
    None,
    Repair.model_validate({"setAttributes": {"store_id": {"type": "Number", "from": "store_id || id || `3`"}}}),
    Repair.model_validate({"patch": [{"op": "move", "from": "/store", "path": "/id"}, {"op": "remove", "path": "/a"}]}),
    Repair.model_validate({"project": "{id: id, name: name, all: @}"}),
    Repair.model_validate(
        {"renameAttributes": {"zqxj": "customer_zqxj"}, "patch": [{"op": "test", "path": "", "value": 1}]}
    ),
)
DLQ, DLQ_FIFO, ORDERS, INVOICES, QUARANTINE = (
    factories.queue(name) for name in ("orders-dlq", "orders-dlq.fifo", "orders", "invoices", "quarantine")
)
ORDERS_FIFO = factories.queue("orders.fifo")


#: What sends its failures to the dead-letter queue, according to its configuration.
FAILURES = (
    Failures(messages.FUNCTION, messages.FUNCTION, DLQ.arn),
    Failures(messages.RULE, messages.FUNCTION, DLQ.arn),
    Failures(messages.RULE, messages.WORKFLOW, DLQ_FIFO.arn),
    Failures(messages.SCHEDULE, messages.INVOICES, DLQ.arn),
    Failures(messages.SUBSCRIPTION, messages.INVOICES, DLQ.arn),
)
#: What may be delivered to besides queues, confirmed or not.
ARNS = frozenset({messages.FUNCTION, messages.WORKFLOW, *(text for text in TEXTS if text.startswith("arn:aws:"))})


@dataclass(frozen=True)
class World:
    """A run and the messages in its queue."""

    plan: RunPlan
    contracts: Mapping[str, MessageContract]
    messages: Sequence[dict[str, Any]]
    #: The largest message that the source queues take.
    max_bytes: int
    whole_batches: bool

    def __repr__(self) -> str:
        """Return what matters; a failing test prints it."""
        request = self.plan.request.model_dump(mode="json", exclude_defaults=True)
        listed = "\n".join(f"  {message!a}" for message in self.messages)
        return f"{request}, contracts {[*self.contracts]}, {len(self.messages)} messages:\n{listed}"[:10_000]

    def wire(self) -> Wire:
        """Return the services, with the messages in their queue."""
        names = ("orders", "invoices", "orders.fifo", "quarantine")
        queues = [Queue(name, self.max_bytes if name == "orders" else LIMIT) for name in names]
        dlq = next((queue for queue in queues if queue.name == self.plan.dlq.name), None) or Queue(self.plan.dlq.name)
        dlq.stored = [Stored(message) for message in self.messages]
        more = [] if dlq in queues else [dlq]
        return Wire(*queues, *more, whole_batches=self.whole_batches, failures=FAILURES)


def world_of(choices: bytes, scripts: Sequence[bytes]) -> World:
    """Return the run that some choices stand for, with a message for each script in its queue; zeros are no message."""
    kind, contracts, select, repair, leave, small, whole = choices
    max_bytes = 2_048 if small % 8 == 7 else LIMIT
    orders = ORDERS.model_copy(update={"max_bytes": max_bytes})
    changes: dict[str, Any] = {
        "dlq": DLQ,
        "sources": (orders,),
        "select": SELECTIONS[select % len(SELECTIONS)],
        "repair": REPAIRS[repair % len(REPAIRS)],
        "on_invalid": OnInvalid.LEAVE if leave % 8 == 7 else OnInvalid.QUARANTINE,
        "trace_header": TraceHeader.FRESH if leave % 3 == 2 else TraceHeader.KEEP,
        "sample_size": len(scripts),
    }
    fifo, moved = False, 2
    match kind % 16:
        case 1 | 2:
            changes["sources"] = (orders, INVOICES)
        case 3:
            changes["destination"] = orders
        case 4 | 5 | 6 | 7:
            moved = 1
            changes["sources"] = ()
            changes["trusted_destinations"] = (messages.WORKFLOW,) if whole % 8 == 7 else ()
        case 8:
            fifo = True
            changes |= {"dlq": DLQ_FIFO, "sources": (ORDERS_FIFO,)}
        case 9:
            changes |= {"dlq": QUARANTINE, "sources": ()}
    wanted = [script for script in scripts if any(script)] or scripts[:1]
    made = [hostile(script, number, fifo=fifo, moved_of_4=moved) for number, script in enumerate(wanted)]
    plan = factories.plan(**changes)
    return World(plan, CONTRACTS[contracts % len(CONTRACTS)], made, max_bytes, whole % 4 == 3)


def _bytes(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


worlds = st.builds(world_of, _bytes(7), st.lists(_bytes(SCRIPT_BYTES), min_size=MESSAGES // 2, max_size=MESSAGES))


@dataclass(frozen=True)
class Violation:
    """What didn't hold."""

    #: What kind of property: error, unexpected, fate, altered, leak, or slow.
    kind: str
    text: str


def violations(world: World, wire: Wire, ran: Ran) -> Iterator[Violation]:
    """Yield what doesn't hold of a run."""
    for step, error in ran.errors.items():
        yield Violation("error", f"{step}: {type(error).__name__}")
    for error in wire.bugs:
        yield Violation("error", f"the model of the services raised {error!r}")
    if ran.result is not None:
        yield from _fates(world, wire, ran)
    yield from _altered(world, ran)
    yield from _misdirected(world, ran)
    yield from _leaks(ran)
    yield from _slow(world, ran)


def _fates(world: World, wire: Wire, ran: Ran) -> Iterator[Violation]:
    """Yield messages that aren't accounted for, each once."""
    assert ran.result is not None
    counts, ids = ran.result.counts, {message["MessageId"] for message in world.messages}
    if ran.result.failure is not None:
        yield Violation("fate", f"the lane ended: {ran.result.failure}")
    left = {one.message["MessageId"] for one in wire.queues[world.plan.dlq.name].stored}
    delivered = {message_id: len(found) for message_id, found in ran.delivered.items()}
    if (left & ids) | delivered.keys() != ids or left & delivered.keys() or set(delivered.values()) - {1}:
        yield Violation("fate", f"of {len(ids)} messages, {len(left)} are left and {delivered} were delivered")
    # Of a FIFO queue, SQS doesn't return what waits behind a message that the run keeps invisible.
    seen = counts.stayed if world.plan.dlq.fifo else len(ids & left)
    if (counts.moved, counts.stayed, counts.released) != (len(delivered), seen, 0) or seen > len(ids & left):
        yield Violation("fate", f"{len(delivered)} were delivered and {len(ids & left)} left, but counted are {counts}")
    hidden = [one for one in wire.queues[world.plan.dlq.name].stored if one.visible_at > wire.now]
    if hidden:
        yield Violation("fate", f"{len(hidden)} messages are left invisible")
    for message in world.messages:
        verdict = ran.judged[message["MessageId"]].verdict if message["MessageId"] in ran.judged else None
        if isinstance(verdict, Skip) and verdict.reason == Reason.UNEXPECTED_ERROR and acceptable(message):
            yield Violation(
                "unexpected", f"{message['MessageId']} raised an error: {json.dumps(message, default=repr)}"
            )


def _altered(world: World, ran: Ran) -> Iterator[Violation]:
    """Yield messages that a redrive policy moved and that don't arrive as they were sent."""
    if world.plan.request.repair is not None or any(contract.sns_delivery for contract in world.contracts.values()):
        return
    for message in world.messages:
        if "DeadLetterQueueSourceArn" not in message["Attributes"]:
            continue
        for delivery in ran.delivered.get(message["MessageId"], ()):
            expected = carried(message)
            if world.plan.request.trace_header is TraceHeader.FRESH and delivery.target != QUARANTINE.arn:
                expected = (*expected[:2], None, expected[3])
            if carried(delivery.request) != expected:
                yield Violation("altered", f"{expected} arrived as {carried(delivery.request)}")


def _misdirected(world: World, ran: Ran) -> Iterator[Violation]:
    """Yield messages that went where neither the run, nor SQS, nor a configuration says that they belong."""
    for message in world.messages:
        allowed = _belongs(world.plan, message["Attributes"].get("DeadLetterQueueSourceArn"))
        for delivery in ran.delivered.get(message["MessageId"], ()):
            if delivery.target not in allowed:
                yield Violation("misdirected", f"to {delivery.target}: {message!a}")


def _belongs(plan: RunPlan, source: str | None) -> set[str]:
    """Return where a message may go that came from a queue, or that a service or a person has put where it is."""
    quarantine = set() if plan.in_quarantine else {QUARANTINE.arn}
    if plan.destination is not None:
        return quarantine | {plan.destination.arn}
    if source is not None:
        return quarantine | {source}
    if plan.sources:
        return quarantine | ({plan.sources[0].arn} if len(plan.sources) == 1 else set())
    trusted = set(plan.request.trusted_destinations)
    return quarantine | trusted | {one.target for one in FAILURES if one.queue == plan.dlq.arn}


def carried(message: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a message carries, received or sent, without our attribute."""
    system = message.get("Attributes", {})
    trace = message.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
    attributes = {name: value for name, value in message.get("MessageAttributes", {}).items() if name != OURS}
    return (
        message.get("MessageBody", message.get("Body")),
        attributes,
        trace or system.get("AWSTraceHeader"),
        message.get("MessageGroupId") or system.get("MessageGroupId"),
    )


# The one thing that a message says and that is shown: the type of its error, if it looks like one.
ERROR_TYPE = re.compile(
    r'(?:errorType[\\"]+:[\\"]+|failed with |Failed with</dt><dd><bdi>)'
    r"[A-Za-z_][A-Za-z0-9_.]*(?:Error|Exception|Timeout|Failure|Fault|Action)\b"
)


def _leaks(ran: Ran) -> Iterator[Violation]:
    for place, whole in ran.shown.items():
        text = ERROR_TYPE.sub("", whole)
        sign = leak(text)
        if sign is not None:
            at = text.lower().find(sign)
            yield Violation("leak", f"{place}: {text[max(0, at - 80) : at + 40]}")


def _slow(world: World, ran: Ran) -> Iterator[Violation]:
    for message in world.messages:
        seconds, size = ran.seconds.get(message["MessageId"], 0.0), len(message["Body"])
        if seconds > allowed_seconds(size):
            yield Violation("slow", f"{seconds:.3f} s for {size} characters")


def allowed_seconds(size: int) -> float:
    """Return the processor seconds that a message of so many characters may take to be judged and shown."""
    return 0.1 + size * 2e-6


def allowed_bytes(size: int) -> int:
    """Return the memory that it may take meanwhile."""
    return 1_000_000 + size * 250


def _restored(world: World, wire: Wire, table: Table, ran: Ran) -> Iterator[Violation]:
    """Play a run on the quarantine; yield what doesn't come back as if it had never been there."""
    if world.plan.in_quarantine:
        return
    later = {"max_redrives": 10**9, "started_at": world.plan.started_at + 10**9}
    again = run(wire, table, factories.plan(run_id="run-2", dlq=QUARANTINE, sources=(), **later), {}, ARNS)
    for step, error in again.errors.items():
        yield Violation("error", f"{step} of the quarantine: {type(error).__name__}")
    queues = {queue.arn: queue for queue in wire.queues.values()}
    direct: Ran | None = None
    for message in world.messages:
        source = message["Attributes"].get("DeadLetterQueueSourceArn")
        for first in ran.delivered.get(message["MessageId"], ()):
            if first.target != QUARANTINE.arn:
                continue
            found = [(one.target, carried(one.request)) for one in again.delivered.get(first.message_id, ())]
            if source is not None:
                wanted = (
                    [(source, carried(message))]
                    if source in queues and fits(_without_ours(message), queues[source])
                    else []
                )
            elif not found:
                # What isn't known to belong anywhere stays in the quarantine.
                continue
            else:
                direct = direct or _without_rules(world, later)
                wanted = [(one.target, carried(one.request)) for one in direct.delivered.get(message["MessageId"], ())]
            if found != wanted:
                yield Violation("restored", f"{message!a} came back as {found}, not as {wanted}")


def _without_ours(message: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in message["MessageAttributes"].items() if name != OURS}
    return {**message, "MessageAttributes": kept}


def _without_rules(world: World, later: Mapping[str, Any]) -> Ran:
    """Play the run without anything that could quarantine or change a message."""
    return run(world.wire(), Table(), factories.plan(dlq=world.plan.dlq, sources=(), **later), {}, ARNS)


def play(world: World) -> list[Violation]:
    """Play a run, and one on what it quarantined; return what doesn't hold."""
    wire, table = world.wire(), Table()
    ran = run(wire, table, world.plan, world.contracts, ARNS)
    return [*violations(world, wire, ran), *_restored(world, wire, table, ran)]


def search(number: int) -> int:
    """Play the runs of a seed; return the number of messages.

    Raises
    ------
    AssertionError
        Lists what doesn't hold of the smallest run that violates something.
    """
    played = 0

    @seed(number)
    @settings(
        max_examples=RUNS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(worlds)
    def searched(world: World) -> None:
        nonlocal played
        played += len(world.messages)
        listed = [f"{one.kind}: {one.text}"[:2_000] for one in play(world)]
        assert not listed, "\n".join(listed)

    searched()
    return played
