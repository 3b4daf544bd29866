"""What earlier runs did with a message: an attribute that this app adds, or a row of the runs table if it can't.

Read when a message is judged and written when it is sent on, so that bounces and endless loops become visible.
docs/design/moving.md documents its format and size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import replace
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from redrive.domain.messages.message import MAX_ATTRIBUTES, ReceivedMessage

ATTRIBUTE = "redrive"
# More than our attribute takes on a redriven message, in bytes.
_ROOM = 1_024
# Whatever else a message has in its place isn't looked up: DynamoDB refuses keys of more than 2,048 bytes.
_REQUEST_ID = re.compile(r"[0-9a-fA-F-]{36}")
# In the record of an asynchronous invocation, where it comes before the payload.
_REQUEST_ID_IN_RECORD = re.compile(rf'"requestId"\s*:\s*"({_REQUEST_ID.pattern})"')


class Provenance(NamedTuple):
    """What earlier runs did with a message."""

    #: The run that handled it last; empty if none did.
    run: str
    #: How often it has been redriven.
    redrives: int
    #: The id it had when it was first redriven.
    message_id: str
    #: When it was originally sent, in milliseconds since 1970.
    sent_at: int
    #: ARN of the queue that it was sent to, or of the one that it came from if it is in quarantine, where it has no
    #: `DeadLetterQueueSourceArn`. The rest counts for messages of that queue only.
    source: str | None
    #: A run has repaired it: it isn't what was originally sent.
    repaired: bool = False

    def redriven(self, run: str, queue: str | None, *, repaired: bool) -> Provenance:
        """Return the provenance of a message that `run` sends on; `queue` is the ARN of its destination, if a queue."""
        repaired = self.repaired or repaired
        return Provenance(run, self.redrives + 1, self.message_id, self.sent_at, queue or self.source, repaired)

    def quarantined(self, run: str) -> Provenance:
        """Return the provenance of a message that `run` sends to the quarantine."""
        return replace(self, run=run)

    def to_json(self, reason: str | None = None, problems: tuple[str, ...] = ()) -> str:
        """Return the attribute's value; `reason` and `problems` are for quarantined messages only."""
        run, message_id = encode_basestring_ascii(self.run), encode_basestring_ascii(self.message_id)
        # json.dumps would take a fifth of the time of a verdict.
        text = f'{{"run":{run},"count":{self.redrives},"id":{message_id},"sent":{self.sent_at}'
        if self.source is not None:
            text += f',"source":{encode_basestring_ascii(self.source)}'
        if self.repaired:
            text += ',"repaired":true'
        if reason is not None:
            text += f',"reason":{json.dumps(reason)},"problems":{json.dumps(problems, separators=(",", ":"))}'
        return text + "}"


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


@dataclass(frozen=True, slots=True)
class Belief:
    """Which provenance of a message is believed: the one that was made for the queue whose message it is.

    Frameworks copy all attributes to the next queue, so a message may carry those of another queue's redrive.
    """

    #: ARNs of the queues whose messages are in it, and of the run's destination.
    queues: frozenset[str] = frozenset()
    #: The dead-letter queue is the quarantine.
    quarantine: bool = False

    def provenance_of(self, message: ReceivedMessage) -> Provenance:
        """Return what the runs table or the attribute says, or a fresh provenance if neither can be believed.

        The table comes first, because nobody else writes it.
        """
        found = _parsed(message.recorded)
        if found is None:
            found = _parsed(message.attributes.get(ATTRIBUTE, {}).get("StringValue"))
            if found is None or not self._counts(found, message):
                return Provenance("", 0, message.message_id, message.sent_at, message.source_arn)
        return replace(found, source=message.source_arn or found.source)

    def _counts(self, attached: Provenance, message: ReceivedMessage) -> bool:
        if message.source_arn is not None:
            return attached.source == message.source_arn
        # A message that wasn't moved here by a redrive policy: one in quarantine can be of any queue.
        return self.quarantine or attached.source is None or not self.queues or attached.source in self.queues


#: Believes the notes of all queues, as in quarantine.
ANY_QUEUE = Belief(quarantine=True)


def _parsed(text: str | None) -> Provenance | None:
    """Return the provenance in a text, or None if it isn't one: someone else's attribute, or a damaged one."""
    if text is None:
        return None
    try:
        members = json.loads(text)
        source = members.get("source")
        return Provenance(
            str(members["run"]),
            max(0, int(members["count"])),
            str(members["id"]),
            int(members["sent"]),
            source if isinstance(source, str) else None,
            members.get("repaired") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def recorded_under(message: ReceivedMessage, limits: Mapping[str, int], here: int | None) -> str | None:
    """Return the id under which the runs table may have a message's provenance, or None if the message would carry it.

    Parameters
    ----------
    message : ReceivedMessage
        The message.
    limits : Mapping[str, int]
        The largest message of each known source queue in bytes, by ARN.
    here : int | None
        The largest message of the dead-letter queue in bytes, if it is the quarantine.
    """
    if message.source_arn is None and here is None:
        request = message.attributes.get("RequestID", {}).get("StringValue")
        if request is not None:
            return str(request) if _REQUEST_ID.fullmatch(request) else None
        found = _REQUEST_ID_IN_RECORD.search(message.body) if "requestContext" in message.body else None
        return None if found is None else found[1]
    limit = here if message.source_arn is None else limits.get(message.source_arn)
    full = len(message.attributes) >= MAX_ATTRIBUTES
    return message.message_id if full or limit is None or message.size + _ROOM > limit else None
