"""What a lane asks for and what it learns: requests, and their outcomes.

Returned by `redrive.domain.moving.lane`, carried out by `redrive.adapters.pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from redrive.domain.messages.destinations import Destination
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.moving.rate_limiter import Departure
from redrive.domain.moving.transitions import InHand


class ErrorKind(StrEnum):
    """What an error means for the request or entry that it is about."""

    THROTTLED = "throttled"  # not carried out; try again later
    UNCERTAIN = "uncertain"  # may have been carried out; try again
    REFUSED = "refused"  # not carried out, and won't be the next time either
    GONE = "gone"  # the queue is gone or access to it is denied; the run can't continue
    LIMIT = "limit"  # too many messages are in flight in this queue


class ApiError(NamedTuple):
    """Why a request, or one entry of a batch, failed: the service's error code and what it means."""

    code: str
    kind: ErrorKind

    @property
    def may_succeed_later(self) -> bool:
        """Whether it makes sense to try again."""
        return self.kind in {ErrorKind.THROTTLED, ErrorKind.UNCERTAIN}


@dataclass(frozen=True, slots=True, eq=False)
class Receive:
    """Ask the dead-letter queue for messages."""

    max_messages: int
    issued_at: float
    #: The lane had nothing in hand when it asked.
    empty_handed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Send:
    """Send messages to one destination."""

    destination: Destination
    messages: Sequence[InHand]
    #: Records when it is sent and answered.
    departure: Departure


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Delete messages that were sent, by the handles they had when this was decided."""

    messages: Sequence[InHand]
    handles: Sequence[str]


class Purpose(StrEnum):
    """Why a message's visibility changes."""

    EXTEND = "extend"
    HOLD = "hold"
    DEFER = "defer"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, eq=False)
class SetVisibility:
    """Change how long messages stay invisible, by the handles they had when this was decided."""

    messages: Sequence[InHand]
    handles: Sequence[str]
    #: For each message.
    seconds: Sequence[int]
    purpose: Purpose
    issued_at: float


type Action = Receive | Send | Delete | SetVisibility


class Received(NamedTuple):
    """What a receive returned."""

    messages: Sequence[ReceivedMessage]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """A batch request that was answered: the entries that failed, by their place in the batch."""

    failed: Mapping[int, ApiError] = field(default_factory=dict)
    #: Why what a run must remember of the accepted messages couldn't be recorded.
    unrecorded: ApiError | None = None


type Outcome = Received | BatchResult | ApiError


def gone_in(outcome: Outcome) -> ApiError | None:
    """Return the error after which the run can't continue, or None if there is none.

    An entry has it because of its queue or the queue's key: all others would fail like it, one by one.
    """
    errors = [outcome] if isinstance(outcome, ApiError) else getattr(outcome, "failed", {}).values()
    return next((error for error in errors if error.kind is ErrorKind.GONE), None)


def error_at(outcome: Outcome, place: int) -> ApiError | None:
    """Return why the entry at a place in a batch failed, or None if it succeeded."""
    if isinstance(outcome, ApiError):
        return outcome
    assert isinstance(outcome, BatchResult)
    return outcome.failed.get(place)
