"""Where a message can go: a queue, a function, or a state machine.

Chosen by the judging, packed by the lane, delivered to by the adapters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from redrive.domain.messages.queues import QueueRef


class Kind(StrEnum):
    """What receives the message, and so how it is delivered."""

    QUEUE = "queue"
    FIFO_QUEUE = "fifo-queue"
    FUNCTION = "function"
    STATE_MACHINE = "state-machine"


@dataclass(frozen=True, slots=True)
class Destination:
    """What receives a message."""

    kind: Kind
    #: URL of a queue, ARN of anything else.
    address: str
    #: For reports, and the key of its contract.
    name: str
    #: The run's rate applies. It doesn't for the quarantine, which nothing consumes.
    throttled: bool = True

    @property
    def takes_batches(self) -> bool:
        """Whether several messages go in one request."""
        return self.kind in {Kind.QUEUE, Kind.FIFO_QUEUE}


def queue(ref: QueueRef) -> Destination:
    """Return a queue as a destination."""
    return Destination(Kind.FIFO_QUEUE if ref.fifo else Kind.QUEUE, ref.url, ref.name)


def quarantine(ref: QueueRef) -> Destination:
    """Return the quarantine as a destination, which the rate doesn't apply to."""
    return Destination(Kind.QUEUE, ref.url, ref.name, throttled=False)


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What besides queues this deployment may deliver to; its roles allow the same and no more."""

    #: Name patterns with the wildcard `*`.
    functions: tuple[str, ...] = ()
    state_machines: tuple[str, ...] = ()

    def destination(self, arn: str, home: str) -> Destination | None:
        """Return a function or state machine as a destination, or None if it may not be delivered to.

        Parameters
        ----------
        arn : str
            `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]` or
            `arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`. A qualifier is kept.
        home : str
            ARN of the dead-letter queue: only its own account and region are delivered to.
        """
        parts = arn.split(":")
        if len(parts) < 7 or parts[3:5] != home.split(":")[3:5]:
            return None
        service, resource, name = parts[2], parts[5], parts[6]
        if (service, resource) == ("lambda", "function") and _matches(name, self.functions):
            return Destination(Kind.FUNCTION, arn, name)
        if (service, resource) == ("states", "stateMachine") and _matches(name, self.state_machines):
            return Destination(Kind.STATE_MACHINE, arn, name)
        return None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
