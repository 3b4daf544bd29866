"""Opens a message: recognizes what AWS services put around it and takes it out.

Called by the judging. Recognition goes by structure and attributes, never by guessing: what matches nothing is raw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.json_text import NotJsonError, parse
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.near_records import RECORD_MARKS, nearly_a_record, nearly_attributes, unreadable
from redrive.domain.messages.opened import Failure, OpenedMessage, Payload, Recognized
from redrive.domain.messages.provenance import NO_BELIEF, Belief, Provenance
from redrive.domain.messages.s3_pointers import Pointer, pointer_of
from redrive.domain.messages.service_attributes import async_failure, by_attributes

if TYPE_CHECKING:
    from redrive.domain.messages.envelopes import SnsNotification

# Envelopes in envelopes are opened to this depth; what is deeper stays as it is.
MAX_DEPTH = 5
# A body without any of these is raw. Most are, and needn't be parsed to know it.
_NOTIFICATION_MARKS = ("TopicArn", "aws:s3", "s3:TestEvent")
# In lower case, where what is nearly a record counts too.
_MARKS = ("topicarn", "aws:s3", "s3:testevent", *RECORD_MARKS)

type JsonObject = Mapping[str, Any]


def open_message(received: ReceivedMessage, belief: Belief = NO_BELIEF) -> OpenedMessage:
    """Return the message with what is inside it, and what earlier runs did with it as far as it is believed.

    A message that an SQS redrive policy moved, even if it has been in the quarantine since, goes back to its queue as
    it is, because its consumer reads what was in that queue. Only its contract looks inside.

    Raises
    ------
    TooMuchWorkError
        If what may be an envelope is nested too deeply to say what is in it.
    """
    provenance = belief.provenance_of(received)
    moved = provenance.moved
    found = None if moved else by_attributes(received)
    if found is not None:
        inside = _look_inside(found.forward, moved=False)
        return _opened(received, provenance, inside, [found.envelope, *inside.envelopes], found)
    inside = _look_inside(received, moved=moved)
    # What Lambda could not process is the message itself, even if it's the record of another failure.
    content = None if moved or inside.failure is not None else inside.innermost
    record = None if content is None else _record_in(received, *content)
    if record is None and not moved:
        record = _nearly_recognized(received, content)
    if record is None:
        return _opened(received, provenance, inside, inside.envelopes)
    envelopes = [*inside.envelopes, record.envelope]
    if record.forward is not received:
        inside = _look_inside(record.forward, moved=False)
        envelopes += inside.envelopes
    return _opened(received, provenance, inside, envelopes, record)


def with_forward(opened: OpenedMessage, forward: ReceivedMessage) -> OpenedMessage:
    """Return the opened message with `forward`, which a repair has made, in place of what goes on."""
    if opened.payload.text == opened.forward.body:
        payload = opened.payload if forward.body == opened.forward.body else Payload(forward.body, {})
        return replace(opened, forward=forward, payload=payload.with_attributes(forward.attributes))
    # The body is still wrapped: what the repair changed may be anywhere in it.
    return replace(opened, forward=forward, payload=_look_inside(forward, moved=opened.provenance.moved).payload)


def raw_delivery(opened: OpenedMessage) -> OpenedMessage:
    """Return a notification as SNS sends it with raw delivery: the message, with its attributes.

    SNS developer guide, "Raw message delivery". What isn't a notification, or was in a source queue in this form, comes
    back as it is.
    """
    if opened.provenance.moved or Envelope.SNS_NOTIFICATION not in opened.envelopes:
        return opened
    inside = _object_in(opened.forward.body)
    notification = None if inside is None else _notification_in(inside[1])
    if notification is None:
        return opened
    inner, _ = _delivered(notification, moved=False)
    attributes = {**opened.forward.attributes, **inner}
    forward = opened.forward.with_content(notification.message, attributes)
    return replace(opened, forward=forward, payload=opened.payload.with_attributes(attributes))


def _opened(
    received: ReceivedMessage,
    provenance: Provenance,
    inside: _Inside,
    envelopes: Sequence[Envelope],
    found: Recognized | None = None,
) -> OpenedMessage:
    """Return the opened message; this is the one place that decides what its origin is.

    The queue that SQS names comes first, then the one that our attribute kept, then what the envelope says.
    """
    kinds = tuple(envelopes) or (Envelope.NONE,)
    if found is None:
        origin = provenance.source or inside.origin
        return OpenedMessage(
            received,
            received,
            kinds,
            inside.payload,
            provenance,
            origin,
            inside.failure,
            subscription=inside.subscription,
            unknown_pointer=inside.unknown_pointer,
        )
    return OpenedMessage(
        received,
        found.forward,
        kinds,
        inside.payload,
        provenance,
        provenance.source or found.origin or inside.origin,
        found.failure,
        found.claimed_destination,
        None,
        found.blocked_reason,
        found.events,
        inside.unknown_pointer,
    )


@dataclass(slots=True)
class _Inside:
    """What a message goes on with, and what is in it."""

    payload: Payload
    #: Outermost first.
    envelopes: list[Envelope] = field(default_factory=list)
    origin: str | None = None
    subscription: str | None = None
    failure: Failure | None = None
    #: The JSON object that the payload is: its text, and its content.
    innermost: tuple[str, JsonObject] | None = None
    #: It has the attribute of a pointer into S3, but no body that is one.
    unknown_pointer: bool = False


def _look_inside(forward: ReceivedMessage, *, moved: bool) -> _Inside:
    """Open notifications, one inside another; the message itself goes on as it is.

    Parameters
    ----------
    forward : ReceivedMessage
        The message as it goes on.
    moved : bool
        Whether a redrive policy moved it.
    """
    inside = _Inside(Payload(forward.body, forward.attributes))
    while True:
        text, attributes = inside.payload.text, inside.payload.attributes
        pointer = pointer_of(text, attributes)
        inside.unknown_pointer = inside.unknown_pointer or pointer is Pointer.UNKNOWN
        if pointer is Pointer.KNOWN:
            inside.payload, inside.innermost = Payload.in_s3(text, attributes), None
            inside.envelopes.append(Envelope.S3_POINTER)
            return inside
        try:
            found = _object_in(text) if _has_mark(text, moved=moved) else None
        except TooMuchWorkError:
            if not moved:
                raise
            # It goes back as it is, whatever is in it.
            found = None
        inside.innermost = found
        if found is None:
            return inside
        if found[0] == text:
            inside.payload = Payload(text, attributes, found[1])
        notification = _notification_in(found[1])
        if notification is None:
            _recognize_event(inside, found[1])
            return inside
        if inside.envelopes.count(Envelope.SNS_NOTIFICATION) == MAX_DEPTH:
            return inside
        inside.envelopes.append(Envelope.SNS_NOTIFICATION)
        if inside.origin is None:
            inside.origin, inside.subscription = notification.topic, notification.subscription
        inner, failure = _delivered(notification, moved=moved)
        if failure is not None:
            inside.envelopes.append(Envelope.LAMBDA_ASYNC_DLQ)
            inside.failure = inside.failure or failure
        inside.payload = Payload(notification.message, inner)


def _nearly_recognized(received: ReceivedMessage, content: tuple[str, JsonObject] | None) -> Recognized | None:
    """Return what is plainly a service's record by its attributes, or is in what is nearly a notification."""
    found = unreadable(received, nearly_attributes(received.attributes))
    members = {} if content is None else {name.lower(): value for name, value in content[1].items()}
    message = members.get("message")
    if found is not None or "topicarn" not in members or not isinstance(message, str):
        return found
    inner = None if content is None or _notification_in(content[1]) else _object_in(message)
    return None if inner is None else unreadable(received, nearly_a_record(inner[1]))


def _has_mark(text: str, *, moved: bool) -> bool:
    """Return whether a text could be an envelope. A message that a redrive policy moved can't be a failure record."""
    if moved:
        return any(map(text.__contains__, _NOTIFICATION_MARKS))
    return any(map(text.lower().__contains__, _MARKS))


def _record_in(received: ReceivedMessage, text: str, content: JsonObject) -> Recognized | None:
    # Few messages are in envelopes, and importing the formats takes a part of a cold start.
    from redrive.domain.messages.failure_records import by_body  # noqa: PLC0415

    return by_body(received, text, content)


def _notification_in(content: JsonObject) -> SnsNotification | None:
    if "TopicArn" not in content:
        return None
    from redrive.domain.messages.envelopes import SnsNotification  # noqa: PLC0415

    return SnsNotification.of(content)


def _recognize_event(inside: _Inside, content: JsonObject) -> None:
    from redrive.domain.messages.envelopes import S3Event, S3TestEvent  # noqa: PLC0415

    event = S3Event.of(content) if "Records" in content else None
    if event is not None and event.is_of_s3:
        inside.envelopes.append(Envelope.S3_EVENT)
        inside.origin = inside.origin or event.bucket
    elif "Service" in content and S3TestEvent.of(content) is not None:
        inside.envelopes.append(Envelope.S3_EVENT)


def _delivered(notification: SnsNotification, *, moved: bool) -> tuple[AttributeMap, Failure | None]:
    """Return a notification's attributes, and how a function failed on the event in it.

    What Lambda sends to a dead-letter topic has the attributes that it adds in a dead-letter queue. If a redrive policy
    moved the message, they were in the source queue, and its consumer reads them.
    """
    attributes = notification.sqs_attributes()
    failed = None if moved else async_failure(attributes)
    if failed is None:
        return attributes, None
    failure, own = failed
    return own, failure


def _object_in(text: str) -> tuple[str, JsonObject] | None:
    """Return the JSON object that a text is, or that is inside a JSON string: its text, and its content."""
    for _ in range(MAX_DEPTH):
        try:
            content = parse(text)
        except NotJsonError:
            return None
        if isinstance(content, str):
            text = content
            continue
        return (text, content) if isinstance(content, dict) else None
    return None
