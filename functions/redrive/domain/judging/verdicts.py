"""The verdict on a message: redrive, quarantine, or skip, each with what it takes to carry it out.

Made by `redrive.domain.judging.judge`, carried out by the lane, counted in results. The codes are stable;
docs/reference/reasons.md explains each.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from redrive.domain.messages.destinations import Kind
from redrive.domain.messages.outbound import Outbound


class Reason(StrEnum):
    """Why a message was quarantined or skipped; `Violation` and `BlockedReason` have the other codes."""

    REDRIVEN_TOO_OFTEN = "redriven-too-often"
    CAME_BACK = "came-back"
    ARRIVED_AFTER_START = "arrived-after-start"
    NO_DESTINATION = "no-destination"
    DESTINATION_NOT_ALLOWED = "destination-not-allowed"
    DESTINATION_NOT_CONFIRMED = "destination-not-confirmed"
    CONFIGURATION_UNREADABLE = "configuration-unreadable"
    TOO_MANY_CLAIMS = "too-many-claims"
    GROUP_WAITS = "group-waits"
    NOT_SELECTED = "not-selected"
    UNDECIDED = "undecided"
    UNEXPECTED_ERROR = "unexpected-error"
    CONTRACT_UNUSABLE = "contract-unusable"
    RATE_UNAVAILABLE = "rate-unavailable"
    MAX_RATE_INVALID = "max-rate-invalid"
    TOO_LARGE = "too-large"
    NOT_SENDABLE = "not-sendable"
    UNKNOWN_POINTER = "unknown-pointer"
    NO_MESSAGE_GROUP = "no-message-group"


# Explanations in a report; more would crowd out the rest.
_MAX_EXPLANATIONS = 5


class Redrive(NamedTuple):
    """Send the message to where it belongs."""

    #: The request that does it.
    outbound: Outbound
    #: Name of the contract that it satisfies; None if its destination has none, so that only its envelope was judged.
    contract: str | None = None
    #: The message was repaired.
    repaired: bool = False
    #: It loses a `redrive` attribute that isn't ours.
    foreign: bool = False


class Quarantine(NamedTuple):
    """Send the message to the quarantine."""

    reason: str
    #: The request that does it.
    outbound: Outbound
    #: It loses a `redrive` attribute that isn't ours.
    foreign: bool = False


class Skip(NamedTuple):
    """Leave the message in the dead-letter queue; this run doesn't judge it again."""

    reason: str
    #: ARN of the FIFO queue that it belongs to, where nothing of its group may overtake it; None if there is none.
    fifo_queue: str | None = None


type Verdict = Redrive | Quarantine | Skip

# Messages that keep their order: the ARN of the FIFO queue they belong to (empty if they are in a FIFO dead-letter
# queue, whose groups keep it wherever they go), and the message group.
type Line = tuple[str, str | None]


def line_of(verdict: Verdict | None, group_id: str | None, *, fifo: bool) -> Line | None:
    """Return the line of a message, or None if nothing needs to wait for it.

    Parameters
    ----------
    verdict : Verdict | None
        The verdict on it; None if it waits without one.
    group_id : str | None
        Its message group.
    fifo : bool
        The dead-letter queue is a FIFO queue, so that each of its groups is one line wherever its messages go.
        Otherwise, a group is a line if it goes to a FIFO queue.
    """
    if fifo:
        return "", group_id
    if verdict is None:
        return None
    if isinstance(verdict, Skip):
        return None if verdict.fifo_queue is None else (verdict.fifo_queue, group_id)
    destination = verdict.outbound.destination
    return (destination.arn, group_id) if destination.kind is Kind.FIFO_QUEUE else None


def explained(*explanations: Iterable[str]) -> tuple[str, ...]:
    """Return different explanations, each once and not too many."""
    return tuple(dict.fromkeys(chain.from_iterable(explanations)))[:_MAX_EXPLANATIONS]
