"""What earlier runs did with a message: an attribute that this app adds, or a row of the runs table if it can't.

Read when a message is judged and written when it is sent on, so that bounces and endless loops become visible.
docs/design/moving.md documents its format and size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import replace
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from redrive.domain.messages.message import MAX_ATTRIBUTES, ReceivedMessage

ATTRIBUTE = "redrive"
# More than our attribute takes on a redriven message, in bytes.
_ROOM = 1_024
# The largest message of queues made before August 2025, unless it was changed (SQS developer guide, "Message quotas").
_FORMER_LIMIT = 262_144
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
    #: ARN of the dead-letter queue that a message in quarantine came from, if it has no source: the configuration of
    #: what failed names that queue.
    dlq: str | None = None
    #: It was in a source queue, whose consumer reads it as it is, whatever it looks like.
    moved: bool = False
    #: It carries an attribute of our name that isn't believed, and that doesn't go on with it.
    foreign: bool = False

    def redriven(self, run: str, queue: str | None, *, repaired: bool) -> Provenance:
        """Return the provenance of a message that `run` sends on; `queue` is the ARN of its destination, if a queue."""
        repaired = self.repaired or repaired
        return Provenance(run, self.redrives + 1, self.message_id, self.sent_at, queue or self.source, repaired)

    def quarantined(self, run: str, dlq: str) -> Provenance:
        """Return the provenance of a message that `run` sends from a dead-letter queue, an ARN, to the quarantine."""
        return replace(self, run=run, dlq=None if self.source else dlq)

    def to_json(self, reason: str | None = None, problems: tuple[str, ...] = ()) -> str:
        """Return the attribute's value; `reason` and `problems` are for quarantined messages only."""
        run, message_id = encode_basestring_ascii(self.run), encode_basestring_ascii(self.message_id)
        # json.dumps would take a fifth of the time of a verdict.
        text = f'{{"run":{run},"count":{self.redrives},"id":{message_id},"sent":{self.sent_at}'
        if self.source is not None:
            text += f',"source":{encode_basestring_ascii(self.source)}'
        if self.repaired:
            text += ',"repaired":true'
        if self.dlq is not None:
            text += f',"dlq":{encode_basestring_ascii(self.dlq)}'
        if reason is not None:
            text += f',"reason":{json.dumps(reason)},"problems":{json.dumps(problems, separators=(",", ":"))}'
        return text + "}"


class QuarantineNote(NamedTuple):
    """Why a message is in quarantine."""

    #: The run that quarantined it.
    run: str
    #: The reason code.
    reason: str
    #: What failed in validation: places and rules, never values.
    problems: tuple[str, ...]


def quarantine_note_of(message: ReceivedMessage, movers: frozenset[str]) -> QuarantineNote | None:
    """Return why a message was quarantined, or None if its attribute doesn't say: there was no room, or it's forged.

    Parameters
    ----------
    message : ReceivedMessage
        A message of the quarantine.
    movers : frozenset[str]
        Unique ids of the roles whose attribute is believed.
    """
    if message.sender not in movers:
        return None
    try:
        members = json.loads(message.attributes[ATTRIBUTE]["StringValue"])
        return QuarantineNote(
            str(members["run"]),
            str(members["reason"]),
            tuple(str(problem) for problem in members.get("problems", ())),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Belief(NamedTuple):
    """Which provenance of a message is believed, for the messages of one dead-letter queue.

    The runs table's is, because nobody else writes it, and the attribute of a message that our own mover has sent: SQS
    names the sender of each message, and keeps naming it after a redrive policy has moved the message. Anyone else can
    write or copy the attribute.
    """

    #: Unique ids of the roles whose attributes are believed: the mover's, and those that it had before.
    movers: frozenset[str] = frozenset()
    #: ARN of the dead-letter queue.
    dlq: str | None = None
    #: The dead-letter queue is the quarantine.
    quarantine: bool = False

    def provenance_of(self, message: ReceivedMessage) -> Provenance:
        """Return what the runs table or the attribute says, or a fresh provenance if neither can be believed."""
        attached = message.attributes.get(ATTRIBUTE)
        source = message.source_arn
        found = _parsed(message.recorded)
        if found is not None and source is None and not self.quarantine:
            # Found under an id that the message itself names: it counts, but it gives the message no rights.
            return replace(found, source=None, dlq=None, foreign=attached is not None)
        if found is None and attached is not None and message.sender in self.movers:
            found = _parsed(attached.get("StringValue"))
            if found is not None and source in {None, found.source}:
                attached = None
            else:
                found = None
        foreign = attached is not None
        if found is None:
            # In the quarantine, nothing says whether it was in a source queue, so it's left as it is.
            moved = source is not None or self.quarantine
            return Provenance("", 0, message.message_id, message.sent_at, source, moved=moved, foreign=foreign)
        # A run may have parked it here, which doesn't say where it belongs.
        source = source or (None if found.source == self.dlq else found.source)
        return replace(found, source=source, moved=not (self.quarantine and found.dlq), foreign=foreign)


#: Believes nobody's attribute.
NO_BELIEF = Belief()


def _parsed(text: str | None) -> Provenance | None:
    """Return the provenance in a text, or None if it isn't one: someone else's attribute, or a damaged one."""
    if text is None:
        return None
    try:
        members = json.loads(text)
        source, dlq = members.get("source"), members.get("dlq")
        return Provenance(
            str(members["run"]),
            max(0, int(members["count"])),
            str(members["id"]),
            int(members["sent"]),
            source if isinstance(source, str) else None,
            members.get("repaired") is True,
            dlq if isinstance(dlq, str) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def recorded_under(
    message: ReceivedMessage, limits: Mapping[str, int], here: int | None, movers: frozenset[str]
) -> str | None:
    """Return the id under which the runs table may have a message's provenance, or None if the message would carry it.

    Parameters
    ----------
    message : ReceivedMessage
        The message.
    limits : Mapping[str, int]
        The largest message of each known source queue in bytes, by ARN.
    here : int | None
        The largest message of the dead-letter queue in bytes, if it is the quarantine.
    movers : frozenset[str]
        Unique ids of the mover's roles: what they sent has the attribute, or else the runs table has it.
    """
    if message.source_arn is None and here is None:
        request = message.attributes.get("RequestID", {}).get("StringValue")
        if request is not None:
            return str(request) if _REQUEST_ID.fullmatch(request) else None
        found = _REQUEST_ID_IN_RECORD.search(message.body) if "requestContext" in message.body else None
        return None if found is None else found[1]
    if message.sender in movers:
        return None if ATTRIBUTE in message.attributes else message.message_id
    # A queue might not keep the sender.
    limit = here if message.source_arn is None else limits.get(message.source_arn)
    full = len(message.attributes) >= MAX_ATTRIBUTES
    # The limit may have been raised since, most likely from what it was by default until 2025.
    return message.message_id if full or limit is None or message.size + _ROOM > min(limit, _FORMER_LIMIT) else None
