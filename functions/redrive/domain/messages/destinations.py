"""Where a message can go: a queue, a function, or a state machine.

Chosen by the judging, packed by the lane, delivered to by the adapters.
"""

from __future__ import annotations

import re
from copy import replace
from enum import StrEnum
from typing import NamedTuple

from redrive.domain.messages.message import MAX_BYTES
from redrive.domain.messages.queues import QueueRef
from redrive.domain.names import display_name

# Lambda API reference, Invoke: names, and qualifiers ($LATEST, a version, or an alias).
_FUNCTION = re.compile(
    r"arn:(?P<partition>[a-z-]+):lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):function:"
    r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)
# Step Functions API reference, CreateStateMachine: what a name may not contain; then a version or an alias.
_STATE_MACHINE = re.compile(
    r"arn:(?P<partition>[a-z-]+):states:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):stateMachine:"
    r"(?P<name>[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80})(?::[A-Za-z0-9_.-]{1,80})?"
)
# Asynchronous invocations take 1 MB (Lambda developer guide, "Lambda quotas"), executions 256 KiB (Step Functions
# developer guide, "Quotas").
_MAX_EVENT_BYTES = 1_048_576
_MAX_INPUT_BYTES = 262_144


class Kind(StrEnum):
    """What receives the message, and so how it is delivered."""

    QUEUE = "queue"
    FIFO_QUEUE = "fifo-queue"
    FUNCTION = "function"
    STATE_MACHINE = "state-machine"


_QUEUES = frozenset({Kind.QUEUE, Kind.FIFO_QUEUE})


class Destination(NamedTuple):
    """What receives a message."""

    kind: Kind
    arn: str
    #: URL of a queue, ARN of anything else.
    address: str
    #: For reports, and the key of its contract.
    name: str
    #: The largest message that it takes.
    max_bytes: int
    #: The run's rate applies. It doesn't for the quarantine, which nothing consumes.
    throttled: bool = True
    #: The plan doesn't know it: if it can't be delivered to, that concerns its own messages only.
    met: bool = False

    @property
    def takes_batches(self) -> bool:
        """Whether several messages go in one request."""
        return self.kind in _QUEUES

    @property
    def size_limit(self) -> str:
        """How large messages may be, and what to do with larger ones: a sentence for an operator."""
        advice = "its service takes no larger ones, so shorten them with a repair, or start a run with a destination"
        if self.takes_batches and self.max_bytes < MAX_BYTES:
            advice = f"raise its MaximumMessageSize, which can be up to {MAX_BYTES:,}"
        return f"{display_name(self.name)} takes messages of up to {self.max_bytes:,} bytes: {advice}."


def queue(ref: QueueRef) -> Destination:
    """Return a queue as a destination."""
    return Destination(Kind.FIFO_QUEUE if ref.fifo else Kind.QUEUE, ref.arn, ref.url, ref.name, ref.max_bytes)


def quarantine(ref: QueueRef) -> Destination:
    """Return the quarantine as a destination, which the rate doesn't apply to."""
    return replace(queue(ref), throttled=False)


def function(arn: str, name: str) -> Destination:
    """Return a function as a destination; the ARN may have a qualifier."""
    return Destination(Kind.FUNCTION, arn, arn, name, _MAX_EVENT_BYTES, met=True)


def state_machine(arn: str, name: str) -> Destination:
    """Return a state machine as a destination."""
    return Destination(Kind.STATE_MACHINE, arn, arn, name, _MAX_INPUT_BYTES, met=True)


def unqualified(arn: str) -> str:
    """Return an ARN without `:$LATEST`, which names the same code of a function as no qualifier does."""
    return arn.removesuffix(":$LATEST")


class DeliveryPolicy(NamedTuple):
    """What besides queues this deployment may deliver to; its roles allow the same and no more."""

    #: ARNs of functions and state machines. One with a version or an alias allows just that.
    arns: frozenset[str] = frozenset()

    def destination(self, arn: str, home: str) -> Destination | None:
        """Return a function or state machine as a destination, or None if it may not be delivered to.

        Parameters
        ----------
        arn : str
            `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]` or
            `arn:aws:states:REGION:ACCOUNT:stateMachine:NAME[:QUALIFIER]`.
        home : str
            ARN of the dead-letter queue: only its own partition, account, and region are delivered to.
        """
        _, partition, _, region, account, _ = home.split(":")
        if arn not in self.arns:
            return None
        for made, service in ((function, _FUNCTION), (state_machine, _STATE_MACHINE)):
            found = service.fullmatch(arn)
            if found is not None and found.group("partition", "region", "account") == (partition, region, account):
                return made(arn, found["name"])
        return None
