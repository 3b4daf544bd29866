"""Where a letter can go: a queue, a function or a state machine.

Made by the judging, used by the lane to pack and by `redrive.adapters.pipeline` to deliver.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from redrive.domain.runs import QueueRef


class Kind(StrEnum):
    """What kind of thing takes the letter, and so how it is delivered."""

    QUEUE = "queue"
    FIFO_QUEUE = "fifo-queue"
    FUNCTION = "function"
    STATE_MACHINE = "state-machine"


@dataclass(frozen=True, slots=True)
class Destination:
    """What takes a letter.

    Attributes
    ----------
    kind : Kind
        How it is delivered.
    address : str
        URL of a queue, ARN of anything else.
    name : str
        For reports, and the key of its contract.
    """

    kind: Kind
    address: str
    name: str

    @property
    def takes_batches(self) -> bool:
        """Whether several letters go in one request."""
        return self.kind in {Kind.QUEUE, Kind.FIFO_QUEUE}


def queue(ref: QueueRef) -> Destination:
    """Return a queue as a destination."""
    return Destination(Kind.FIFO_QUEUE if ref.fifo else Kind.QUEUE, ref.url, ref.name)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What this deployment may deliver to beside queues; its roles allow the same and no more.

    Attributes
    ----------
    functions, state_machines : tuple[str, ...]
        Name patterns with the wildcard `*`.
    """

    functions: tuple[str, ...] = ()
    state_machines: tuple[str, ...] = ()

    def destination(self, arn: str, home: str) -> Destination | None:
        """Return a function or state machine as a destination, or None where it may not be delivered to.

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
