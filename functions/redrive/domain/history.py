"""The one message attribute that this app adds: what has happened to a letter so far.

Written when a letter is sent on, read when it is judged: it makes bounces and endless loops visible. Format
and size are documented in docs/moving.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from redrive.domain.letters import Letter

ATTRIBUTE = "redrive"


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs did with a letter.

    Attributes
    ----------
    run : str
        The run that sent it last.
    count : int
        How often it was redriven.
    message_id : str
        The id it had when it was first redriven.
    sent_at : int
        When it was originally sent, in milliseconds since 1970.
    source : str | None
        ARN of the queue it came from; kept since a quarantined letter has no `DeadLetterQueueSourceArn`.
    repaired : bool
        A run has mended it: it is not what was sent first.
    """

    run: str
    count: int
    message_id: str
    sent_at: int
    source: str | None
    repaired: bool = False

    def next(self, run: str, *, redriven: bool, repaired: bool = False) -> History:
        """Return the history after `run` has handled the letter."""
        return replace(
            self, run=run, count=self.count + redriven, repaired=self.repaired or (redriven and repaired)
        )

    def to_json(self, reason: str | None = None, problems: list[str] | None = None) -> str:
        """Return the attribute's value; `reason` and `problems` are there for quarantined letters only."""
        told = {
            "run": self.run,
            "count": self.count,
            "id": self.message_id,
            "sent": self.sent_at,
            "source": self.source,
            "repaired": self.repaired or None,
            "reason": reason,
            "problems": problems,
        }
        return json.dumps(
            {key: value for key, value in told.items() if value is not None}, separators=(",", ":")
        )


@dataclass(frozen=True, slots=True)
class QuarantineNote:
    """Why a letter lies in the quarantine.

    Attributes
    ----------
    run : str
        The run that put it there.
    reason : str
        The reason code.
    problems : tuple[str, ...]
        What failed in validation: places and rules, never values.
    """

    run: str
    reason: str
    problems: tuple[str, ...]


def quarantine_note_of(letter: Letter) -> QuarantineNote | None:
    """Return why a letter was quarantined, or None where its attribute does not tell (there was no room)."""
    try:
        told = json.loads(letter.attributes[ATTRIBUTE]["StringValue"])
        return QuarantineNote(
            str(told["run"]), str(told["reason"]), tuple(str(problem) for problem in told.get("problems", ()))
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _source(told: Any) -> str | None:
    return told if isinstance(told, str) else None


def history_of(letter: Letter) -> History:
    """Return what the letter's attribute tells, or a fresh history where it has none that can be read."""
    value = letter.attributes.get(ATTRIBUTE, {}).get("StringValue")
    if value is not None:
        try:
            told = json.loads(value)
            return History(
                str(told["run"]),
                max(0, int(told["count"])),
                str(told["id"]),
                int(told["sent"]),
                letter.source_arn or _source(told.get("source")),
                told.get("repaired") is True,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Somebody else's attribute of the same name, or a damaged one: the letter starts afresh.
            pass
    return History("", 0, letter.message_id, letter.sent_at, letter.source_arn)
