"""The lease of a run without a stack: a tag of the dead-letter queue that says who moves its messages, and until when.

Read by the plan step of every run, and written by `redrive.adapters.tag_lease` for runs of `redrive move`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.names import display_name

#: Not `redrive:`, because of a queue that messages go to, every other tag with that prefix is a mistake.
LEASE_TAG = "redrive-move"
#: Seconds that a lease lasts unless it is renewed. Whoever finds the lease of a dead run waits for as long at most.
LEASE_LASTS = 120
# What a value may have (SQS developer guide, "Quotas related to queues": letters, digits, spaces, and _ . : / = + - @).
_HOST = re.compile(r"[^A-Za-z0-9_.-]")
_VALUE = re.compile(r"run=(?P<run>\S{1,100}) host=(?P<host>\S{0,64}) until=(?P<until>[0-9T:.+-]{1,40})")


class Lease(NamedTuple):
    """Who moves the messages of a queue without a stack."""

    #: The run's id.
    run: str
    #: The name of the machine.
    host: str
    #: Until when, unless it is renewed.
    until: datetime

    def to_tag(self) -> str:
        """Return the tag's value."""
        host = _HOST.sub("-", self.host)[:64]
        return f"run={self.run} host={host} until={self.until.astimezone(UTC).isoformat(timespec='seconds')}"


def lease_in(tags: Mapping[str, str]) -> Lease | None:
    """Return the lease in a queue's tags; None if there is none, or what is there isn't one."""
    found = _VALUE.fullmatch(tags.get(LEASE_TAG, ""))
    if found is None:
        return None
    try:
        until = datetime.fromisoformat(found["until"])
    except ValueError:
        return None
    return Lease(found["run"], found["host"], until if until.tzinfo else until.replace(tzinfo=UTC))


def check_lease(queue: QueueAddress, tags: Mapping[str, str], now: datetime, own_runs: tuple[str, ...] = ()) -> None:
    """Check that nobody else moves the messages of a queue without a stack.

    Parameters
    ----------
    queue, tags : QueueAddress, Mapping[str, str]
        The dead-letter queue and its tags.
    now : datetime
        The time, as AWS has it.
    own_runs : tuple[str, ...]
        Ids of runs whose lease isn't in the way: this run, and those that it takes over.

    Raises
    ------
    RejectedError
        Names the run, its machine, and when its lease ends.
    """
    lease = lease_in(tags)
    if lease is None or lease.run in own_runs or lease.until <= now:
        return
    raise RejectedError(
        f"The run {display_name(lease.run)} on the machine {display_name(lease.host)} is moving the messages of "
        f"{queue.name} with redrive move; its lease is in the queue's tag {LEASE_TAG} and ends at "
        f"{lease.until:%H:%M:%S} UTC unless it is renewed. Wait until the run ends, or stop it there with Ctrl-C."
    )
