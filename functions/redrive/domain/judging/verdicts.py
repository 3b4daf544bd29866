"""The verdict on a message: redrive, quarantine, or skip, each with what it takes to carry it out.

Made by `redrive.domain.judging.judge`, carried out by the lane, counted in results. The codes are stable;
docs/reference/reasons.md explains each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

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
    GROUP_WAITS = "group-waits"
    NOT_SELECTED = "not-selected"
    UNDECIDED = "undecided"
    UNEXPECTED_ERROR = "unexpected-error"
    CONTRACT_UNUSABLE = "contract-unusable"
    RATE_UNAVAILABLE = "rate-unavailable"
    TOO_LARGE = "too-large"
    NOT_SENDABLE = "not-sendable"


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
