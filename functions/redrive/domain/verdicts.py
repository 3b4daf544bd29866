"""What becomes of a letter: redriven, quarantined or skipped, each with its reason.

Made by `redrive.domain.judging`, carried out by the lane, counted in tallies. The codes are stable;
docs/reasons.md explains each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from redrive.domain.destinations import Destination
from redrive.domain.history import History
from redrive.domain.letters import Letter


class Reason(StrEnum):
    """Why a letter was quarantined or skipped; `contracts.contract.Violation` has what breaks a contract."""

    REDRIVEN_TOO_OFTEN = "redriven-too-often"
    CAME_BACK = "came-back"
    ARRIVED_AFTER_START = "arrived-after-start"
    NO_DESTINATION = "no-destination"
    DESTINATION_NOT_ALLOWED = "destination-not-allowed"
    GROUP_WAITS = "group-waits"
    NOT_SELECTED = "not-selected"
    UNDECIDED = "undecided"
    CONTRACT_UNUSABLE = "contract-unusable"


@dataclass(frozen=True, slots=True)
class Redrive:
    """Send the letter to where it belongs.

    Attributes
    ----------
    destination : Destination
        What takes it.
    letter : Letter
        The letter as it goes on: without what a service wrapped around it.
    history : History
        What is told of it in the attribute that is added.
    contract : str | None
        Name of the contract that it satisfies; None where its destination has none, so that only its
        envelope was judged.
    repaired : bool
        The letter was mended.
    """

    destination: Destination
    letter: Letter
    history: History
    contract: str | None = None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Send the letter to the quarantine queue, with the reason."""

    reason: str
    problems: tuple[str, ...]
    history: History


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave the letter in the dead-letter queue; this run does not look at it again."""

    reason: str


type Verdict = Redrive | Quarantine | Skip
