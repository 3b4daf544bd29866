"""A queue as the whole app refers to it, and how many messages SQS counts in it.

Made by `redrive.adapters.sqs`; embedded in plans and destinations.
"""

from __future__ import annotations

from pydantic import ConfigDict

from redrive.domain.model import DisplayName, Model

# Messages of a queue that can be in flight at a time, standard or FIFO, unless AWS raised it. A long poll then returns
# nothing, as if the queue were empty (SQS developer guide, "Standard queue quotas" and "FIFO queue quotas").
IN_FLIGHT_LIMIT = 120_000
# The limit of a standard queue is approximate, and so is the count.
_NEAR_THE_LIMIT = 0.95 * IN_FLIGHT_LIMIT


class QueueAddress(Model):
    """Which queue it is. Plans of every version have these keys."""

    model_config = ConfigDict(extra="ignore")

    name: DisplayName
    arn: str
    url: str


class QueueRef(QueueAddress):
    """A queue that exists."""

    model_config = ConfigDict(extra="forbid")

    fifo: bool
    #: `MaximumMessageSize`: body and attributes together, in bytes. Queues made before August 2025 may keep 256 KiB.
    max_bytes: int


class QueueCounts(Model):
    """How many messages are in a queue, as SQS counts them: approximately."""

    visible: int = 0
    #: In their delay: not visible for the first time yet.
    delayed: int = 0
    #: Received by somebody and not visible again yet.
    in_flight: int = 0

    @property
    def total(self) -> int:
        """All messages in the queue."""
        return self.visible + self.delayed + self.in_flight

    @property
    def near_limit(self) -> bool:
        """Whether so many messages are in flight that SQS may return no others."""
        return self.in_flight >= _NEAR_THE_LIMIT
