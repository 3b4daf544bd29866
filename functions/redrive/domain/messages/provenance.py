"""The one message attribute that this app adds: what earlier runs did with a message.

Read when a message is opened and written when it is sent on, so that bounces and endless loops become visible.
docs/design/moving.md documents its format and size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from redrive.domain.messages.message import ReceivedMessage

ATTRIBUTE = "redrive"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What earlier runs did with a message."""

    #: The run that handled it last; empty if none did.
    run: str
    #: How often it has been redriven.
    count: int
    #: The id it had when it was first redriven.
    message_id: str
    #: When it was originally sent, in milliseconds since 1970.
    sent_at: int
    #: ARN of the queue it came from. Kept because a quarantined message has no `DeadLetterQueueSourceArn`.
    source: str | None
    #: A run has repaired it: it isn't what was originally sent.
    repaired: bool = False

    def next(self, run: str, *, redriven: bool, repaired: bool = False) -> Provenance:
        """Return the provenance after `run` has handled the message."""
        return replace(self, run=run, count=self.count + redriven, repaired=self.repaired or (redriven and repaired))

    def to_json(self, reason: str | None = None, problems: tuple[str, ...] = ()) -> str:
        """Return the attribute's value; `reason` and `problems` are for quarantined messages only."""
        members = {
            "run": self.run,
            "count": self.count,
            "id": self.message_id,
            "sent": self.sent_at,
            "source": self.source,
            "repaired": self.repaired or None,
            "reason": reason,
            "problems": None if reason is None else list(problems),
        }
        return json.dumps({key: value for key, value in members.items() if value is not None}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class QuarantineNote:
    """Why a message is in quarantine."""

    #: The run that quarantined it.
    run: str
    #: The reason code.
    reason: str
    #: What failed in validation: places and rules, never values.
    problems: tuple[str, ...]


def quarantine_note_of(message: ReceivedMessage) -> QuarantineNote | None:
    """Return why a message was quarantined, or None if its attribute doesn't say (there was no room)."""
    try:
        members = json.loads(message.attributes[ATTRIBUTE]["StringValue"])
        return QuarantineNote(
            str(members["run"]),
            str(members["reason"]),
            tuple(str(problem) for problem in members.get("problems", ())),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def provenance_of(message: ReceivedMessage) -> Provenance:
    """Return what the message's attribute says, or a fresh provenance if it has none that can be read."""
    value = message.attributes.get(ATTRIBUTE, {}).get("StringValue")
    if value is not None:
        try:
            members = json.loads(value)
            return Provenance(
                str(members["run"]),
                max(0, int(members["count"])),
                str(members["id"]),
                int(members["sent"]),
                message.source_arn or _source(members.get("source")),
                members.get("repaired") is True,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Someone else's attribute of the same name, or a damaged one: the message starts afresh.
            pass
    return Provenance("", 0, message.message_id, message.sent_at, message.source_arn)


def _source(value: Any) -> str | None:
    return value if isinstance(value, str) else None
