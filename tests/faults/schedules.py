"""A schedule: what one redrive moves, and which faults hit it. Everything is drawn from its seed.

Played by `tests.faults.suite`; `python -m tests.faults --show SEED` prints one.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from redrive.domain.runs.tally import LANE_MESSAGES, LANE_RATE
from tests.faults.messages import Fate, Message, draw_messages, function_arn, target_arn

#: Queues, functions, and runs of a schedule start with this and its seed, so each request can be assigned to one.
PREFIX = "fault-"


class Kind(StrEnum):
    """What happens to a request."""

    # Not carried out.
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    RESET = "reset"
    PARTIAL = "partial"
    KILLED = "killed"
    # Carried out.
    ERROR_AFTER = "error-after"
    RESET_AFTER = "reset-after"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    SLOW = "slow"
    KILLED_AFTER = "killed-after"
    # A Task that Step Functions considers failed while its function still runs.
    OVERTAKEN = "overtaken"


class Scenario(StrEnum):
    """What is redriven, and how."""

    PLAIN = "plain"
    FIFO = "fifo"
    QUARANTINE = "quarantine"
    LEAVE = "leave"
    MAX_MESSAGES = "max-messages"
    DRY_RUN = "dry-run"
    STOP = "stop"
    STOP_EXECUTION = "stop-execution"
    TWO_SOURCES = "two-sources"
    LARGE = "large"
    DESTINATION = "destination"
    SELECT = "select"
    FUNCTION = "function"
    STATE_MACHINE = "state-machine"


@dataclass(frozen=True)
class Fault:
    """What happens to some requests of one operation."""

    operation: str
    #: Which of the schedule's requests of that operation, from 0, and how many in a row.
    first: int
    times: int
    kind: Kind
    #: Share of a batch's entries that fail, of an answer that arrives; seconds of a slow answer.
    amount: float = 0.5

    def hits(self, operation: str, place: int) -> bool:
        """Return whether it hits the request at a place among those of an operation."""
        return operation == self.operation and self.first <= place < self.first + self.times


@dataclass(frozen=True)
class Schedule:
    """One redrive under faults."""

    seed: int
    scenario: Scenario
    fifo: bool
    messages: tuple[Message, ...]
    #: The run's input, without the queue.
    options: dict[str, Any]
    faults: tuple[Fault, ...]
    #: The run is stopped when it makes this request: operation and place.
    stop_at: tuple[str, int] | None = None
    #: A second run without faults follows even if the first one succeeds.
    follow_up: bool = False
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{PREFIX}{self.seed}-")

    @property
    def target(self) -> str:
        """ARN of the function or state machine that its events go to; empty if they don't."""
        arns = {Scenario.FUNCTION: function_arn, Scenario.STATE_MACHINE: target_arn}
        return arns[self.scenario](self.name.removesuffix("-")) if self.scenario in arns else ""

    @property
    def kills(self) -> bool:
        """Whether a process is killed, or a slice is overtaken."""
        return any(f.kind in {Kind.KILLED, Kind.KILLED_AFTER, Kind.OVERTAKEN} for f in self.faults)

    def described(self) -> str:
        """Return the schedule as text, one line per fault."""
        fates = {fate: sum(m.fate is fate for m in self.messages) for fate in Fate}
        counted = ", ".join(f"{number} {fate}" for fate, number in fates.items() if number)
        lines = [
            f"seed {self.seed}: {self.scenario}{', FIFO' if self.fifo else ''}: {counted}; {json.dumps(self.options)}"
        ]
        lines += [f"  {f.kind} {f.operation} {f.first}..{f.first + f.times - 1} ({f.amount:.2f})" for f in self.faults]
        if self.stop_at:
            lines.append(f"  stopped at {self.stop_at[0]} {self.stop_at[1]}")
        return "\n".join(lines)


SQS = "AmazonSQS."
DYNAMODB = "DynamoDB_20120810."
TASK = "Task."
SEND, DELETE = SQS + "SendMessageBatch", SQS + "DeleteMessageBatch"
RECEIVE, VISIBILITY = SQS + "ReceiveMessage", SQS + "ChangeMessageVisibilityBatch"
_BATCHES = {SEND, DELETE, VISIBILITY}
# How often each operation is drawn, and up to which place of its requests.
_OPERATIONS: dict[str, tuple[int, int]] = {
    SEND: (20, 6),
    DELETE: (16, 6),
    RECEIVE: (14, 10),
    VISIBILITY: (8, 4),
    SQS + "GetQueueAttributes": (3, 4),
    SQS + "GetQueueUrl": (1, 2),
    SQS + "ListDeadLetterSourceQueues": (1, 1),
    SQS + "ListQueueTags": (1, 1),
    DYNAMODB + "PutItem": (7, 6),
    DYNAMODB + "GetItem": (5, 5),
    DYNAMODB + "Query": (4, 3),
    DYNAMODB + "DeleteItem": (2, 1),
    TASK + "plan": (3, 1),
    TASK + "sample": (3, 1),
    TASK + "move": (6, 2),
    TASK + "tally": (3, 2),
    TASK + "clean-up": (3, 1),
    TASK + "report": (3, 1),
    TASK + "publish": (3, 1),
}
_REQUEST_KINDS = {
    Kind.THROTTLED: 6,
    Kind.UNAVAILABLE: 5,
    Kind.ERROR_AFTER: 5,
    Kind.RESET: 4,
    Kind.RESET_AFTER: 6,
    Kind.TRUNCATED: 4,
    Kind.SLOW: 3,
    Kind.TIMEOUT: 2,
    Kind.KILLED: 3,
    Kind.KILLED_AFTER: 3,
}
_TASK_KINDS = {Kind.THROTTLED: 3, Kind.UNAVAILABLE: 3, Kind.ERROR_AFTER: 2, Kind.OVERTAKEN: 2}
# A client waits up to a minute for DynamoDB; ten seconds for SQS.
_WAITS_LONG = (DYNAMODB, "Lambda.", "AWSStepFunctions.")
_SCENARIOS = {
    Scenario.PLAIN: 5,
    Scenario.FIFO: 5,
    Scenario.QUARANTINE: 3,
    Scenario.LEAVE: 3,
    Scenario.MAX_MESSAGES: 3,
    Scenario.DRY_RUN: 1,
    Scenario.STOP: 2,
    Scenario.STOP_EXECUTION: 2,
    Scenario.TWO_SOURCES: 2,
    Scenario.LARGE: 2,
    Scenario.DESTINATION: 2,
    Scenario.SELECT: 1,
    Scenario.FUNCTION: 2,
    Scenario.STATE_MACHINE: 2,
}
# Messages of a schedule; each event runs a function in a process of its own.
_NUMBERS = {Scenario.LARGE: (4, 9), Scenario.FUNCTION: (6, 12)}
_NEVER_FIFO = {Scenario.FUNCTION, Scenario.STATE_MACHINE, Scenario.LARGE}


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed, always the same."""
    rng = random.Random(seed)
    scenario = _pick(rng, _SCENARIOS)
    fifo = scenario is Scenario.FIFO or (scenario not in _NEVER_FIFO and rng.random() < 0.3)
    stops = scenario in {Scenario.STOP, Scenario.STOP_EXECUTION}
    rate = rng.choice([8, 15]) if stops else rng.choice([40, 100, 600])
    number = rng.randint(*_NUMBERS.get(scenario, (20, 50)))
    two_lanes = rate > LANE_RATE and not fifo and scenario not in {*_NUMBERS, Scenario.STATE_MACHINE}
    messages = draw_messages(
        rng,
        f"{PREFIX}{seed}",
        number=number + (LANE_MESSAGES if two_lanes else 0),
        fifo=fifo,
        large=scenario is Scenario.LARGE,
        fates=_FATES.get(scenario, (Fate.REDRIVEN,)),
        wrapped={Scenario.FUNCTION: "function", Scenario.STATE_MACHINE: "state-machine"}.get(scenario),
        sources=2 if scenario is Scenario.TWO_SOURCES else 1,
    )
    options: dict[str, Any] = {"rate": rate}
    if scenario is Scenario.LEAVE:
        options["onInvalid"] = "leave"
    if scenario is Scenario.MAX_MESSAGES:
        options["maxMessages"] = rng.randint(1, len(messages) + 3)
    if scenario is Scenario.DRY_RUN:
        options["dryRun"] = True
    if scenario is Scenario.SELECT:
        options["select"] = {"attributes": {"chosen": "yes"}}
    return Schedule(
        seed=seed,
        scenario=scenario,
        fifo=fifo,
        messages=messages,
        options=options,
        faults=_draw_faults(rng, scenario),
        stop_at=(SEND, rng.randint(0, 3)) if stops else None,
        follow_up=rng.random() < 0.2,
    )


_FATES = {
    Scenario.QUARANTINE: (Fate.REDRIVEN, Fate.REDRIVEN, Fate.QUARANTINED),
    Scenario.LEAVE: (Fate.REDRIVEN, Fate.REDRIVEN, Fate.REDRIVEN, Fate.REDRIVEN, Fate.INVALID),
    Scenario.SELECT: (Fate.REDRIVEN, Fate.REDRIVEN, Fate.UNSELECTED),
}


def _draw_faults(rng: random.Random, scenario: Scenario) -> tuple[Fault, ...]:
    operations = dict(_OPERATIONS)
    if scenario in {Scenario.FUNCTION, Scenario.STATE_MACHINE}:
        del operations[SEND]
        operations["Lambda.Invoke" if scenario is Scenario.FUNCTION else "AWSStepFunctions.StartExecution"] = (20, 30)
    weights = {operation: weight for operation, (weight, _) in operations.items()}
    faults = []
    # Now and then none: what the app says without faults must be exact.
    for _ in range(rng.choice([0, *[1, 2, 3, 4, 5] * 4])):
        operation = _pick(rng, weights)
        kinds = dict(_TASK_KINDS if operation.startswith(TASK) else _REQUEST_KINDS)
        if operation in _BATCHES:
            kinds[Kind.PARTIAL] = 8
        if operation.startswith(_WAITS_LONG):
            kinds.pop(Kind.TIMEOUT, None)
        if operation == TASK + "publish":
            del kinds[Kind.OVERTAKEN]
        kind = _pick(rng, kinds)
        most = operations[operation][1]
        faults.append(Fault(operation, rng.randrange(most), _times(rng, kind), kind, round(rng.random(), 3)))
    return tuple(faults)


def _times(rng: random.Random, kind: Kind) -> int:
    if kind in {Kind.KILLED, Kind.KILLED_AFTER, Kind.OVERTAKEN, Kind.TIMEOUT}:
        return rng.choice([1, 1, 1, 2])
    # Six attempts exhaust a message's retries; a dozen reach the retries of SDK and state, too.
    return rng.choice([1, 1, 1, 1, 2, 2, 3, 6, 8, 14])


def _pick[T](rng: random.Random, weights: dict[T, int]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
