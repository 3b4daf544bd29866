"""Opens a message: recognizes what AWS services put around it and takes it out.

Called by the judging. Recognition goes by structure and attributes, never by guessing: what matches nothing is raw.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from redrive.domain.messages.envelopes import (
    AsyncDlqAttributes,
    DeliveryAttributes,
    Envelope,
    Form,
    LambdaDestination,
    ResponsePayload,
    RuleAttributes,
    S3Event,
    S3TestEvent,
    ScheduleAttributes,
    SnsNotification,
    StreamBatchPointer,
    SubscriberRecord,
)
from redrive.domain.messages.json_text import NotJsonError, member_text, parse
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.opened import BlockedReason, Failure, OpenedMessage, Payload
from redrive.domain.messages.provenance import provenance_of

# Envelopes in envelopes are opened to this depth; what is deeper stays as it is.
MAX_DEPTH = 5
# A body without any of these is raw. Most are, and needn't be parsed to know it.
_MARKS = ("requestContext", "TopicArn", "aws:s3", "s3:TestEvent", "subscriberArn")

type JsonObject = Mapping[str, Any]


def open_message(received: ReceivedMessage) -> OpenedMessage:
    """Return the message with what is inside it.

    A message that an SQS redrive policy moved goes back to its queue as it is, because its consumer reads what was
    in that queue. Only its contract looks inside.
    """
    if received.source_arn is None:
        for recognize in (_of_scheduler, _of_rule, _of_async_dlq):
            found = recognize(received)
            if found is not None:
                return found
    inside = _object_in(received.body) if any(mark in received.body for mark in _MARKS) else None
    if inside is None:
        return _opened(received, Envelope.NONE)
    if received.source_arn is None:
        found = _of_lambda(received, *inside) or _of_subscriber(received, inside[1])
        if found is not None:
            return found
    envelopes, payload, origin = _inner(received, inside)
    return replace(_opened(received, *envelopes, origin=origin), payload=payload)


def with_forward(opened: OpenedMessage, forward: ReceivedMessage) -> OpenedMessage:
    """Return the opened message with `forward`, which a repair has made, in place of what goes on."""
    if opened.payload.text == opened.forward.body:
        payload = opened.payload if forward.body == opened.forward.body else Payload(forward.body, {})
        return replace(opened, forward=forward, payload=payload.with_attributes(forward.attributes))
    # The body is still wrapped: what the repair changed may be anywhere in it.
    _, payload, _ = _inner(forward, _object_in(forward.body))
    return replace(opened, forward=forward, payload=payload)


def raw_delivery(opened: OpenedMessage) -> OpenedMessage:
    """Return a notification as SNS sends it with raw delivery: the message, with its attributes.

    SNS developer guide, "Raw message delivery". What isn't a notification comes back as it is.
    """
    if opened.envelopes[0] is not Envelope.SNS_NOTIFICATION:
        return opened
    inside = _object_in(opened.forward.body)
    notification = None if inside is None else _parsed(SnsNotification, inside[1])
    if notification is None:
        return opened
    # Our own attribute is outside of the notification.
    attributes = {**opened.forward.attributes, **_attributes_of(notification)}
    forward = opened.forward.with_content(notification.message, attributes)
    return replace(opened, forward=forward, payload=opened.payload.with_attributes(attributes))


def _opened(
    received: ReceivedMessage,
    *envelopes: Envelope,
    forward: ReceivedMessage | None = None,
    origin: str | None = None,
    **found: Any,
) -> OpenedMessage:
    """Return the opened message; this is the one place that decides what its origin is.

    The queue that SQS names comes first, then the one that our attribute kept, then what the envelope says.
    """
    forward = forward or received
    provenance = provenance_of(received)
    return OpenedMessage(
        received,
        forward,
        envelopes,
        Payload(forward.body, forward.attributes),
        provenance,
        provenance.source or origin,
        **found,
    )


# Envelopes recognized by attributes


def _attributes_as[F: Form](received: ReceivedMessage, form: type[F]) -> F | None:
    return _parsed(form, {name: value.get("StringValue") for name, value in received.attributes.items()})


def _without(received: ReceivedMessage, form: type[Form]) -> ReceivedMessage:
    """Return the message without the attributes that the service added."""
    added = {field.alias for field in form.model_fields.values()}
    kept = {name: value for name, value in received.attributes.items() if name not in added}
    return received.with_content(received.body, kept)


def _of_scheduler(received: ReceivedMessage) -> OpenedMessage | None:
    found = _attributes_as(received, ScheduleAttributes) if "SCHEDULE_ARN" in received.attributes else None
    if found is None:
        return None
    blocked = BlockedReason.PAYLOAD_TRUNCATED if found.truncated.lower() == "true" else None
    return _undelivered(received, Envelope.EVENTBRIDGE_SCHEDULER, found, origin=found.schedule, blocked_reason=blocked)


def _of_rule(received: ReceivedMessage) -> OpenedMessage | None:
    found = _attributes_as(received, RuleAttributes) if "RULE_ARN" in received.attributes else None
    return None if found is None else _undelivered(received, Envelope.EVENTBRIDGE_RULE, found, origin=found.rule)


def _undelivered(
    received: ReceivedMessage,
    envelope: Envelope,
    found: DeliveryAttributes,
    *,
    origin: str,
    blocked_reason: BlockedReason | None = None,
) -> OpenedMessage:
    """Return an event that EventBridge could not deliver to its target."""
    attempts = found.attempts
    return _opened(
        received,
        envelope,
        forward=_without(received, type(found)),
        failure=Failure(
            message=found.error_message,
            code=found.error_code,
            attempts=int(attempts) if attempts is not None and attempts.isdecimal() else None,
        ),
        origin=origin,
        claimed_destination=found.target,
        blocked_reason=blocked_reason,
    )


def _of_async_dlq(received: ReceivedMessage) -> OpenedMessage | None:
    # A Number, as Lambda writes it: other senders may have attributes of these names too.
    if received.attributes.get("ErrorCode", {}).get("DataType") != "Number":
        return None
    found = _attributes_as(received, AsyncDlqAttributes)
    if found is None:
        return None
    return _opened(
        received,
        Envelope.LAMBDA_ASYNC_DLQ,
        forward=_without(received, AsyncDlqAttributes),
        failure=Failure(message=found.error_message, code=found.error_code),
    )


# Envelopes recognized by the body


def _of_lambda(received: ReceivedMessage, text: str, content: JsonObject) -> OpenedMessage | None:
    if "requestContext" not in content:
        return None
    if "KinesisBatchInfo" in content or "DDBStreamBatchInfo" in content:
        pointer = _parsed(StreamBatchPointer, content)
        return None if pointer is None else _of_stream(received, pointer)
    record = _parsed(LambdaDestination, content)
    if record is None or "requestPayload" not in content:
        return None
    error = _parsed(ResponsePayload, record.response) if isinstance(record.response, Mapping) else None
    succeeded = record.context.condition == "Success"
    failure = Failure(
        error_type=error.error_type if error else None,
        message=error.error_message if error else None,
        code=record.context.condition,
        attempts=record.context.attempts,
        failed_at=record.timestamp,
    )
    return _opened(
        received,
        Envelope.LAMBDA_DESTINATION,
        forward=received.with_content(member_text(text, "requestPayload"), received.attributes),
        failure=None if succeeded else failure,
        origin=record.context.function_arn,
        claimed_destination=record.context.function_arn,
        blocked_reason=BlockedReason.SUCCEEDED if succeeded else None,
    )


def _of_subscriber(received: ReceivedMessage, content: JsonObject) -> OpenedMessage | None:
    record = _parsed(SubscriberRecord, content) if "subscriberArn" in content else None
    if record is None:
        return None
    return _opened(
        received,
        Envelope.EVENTBRIDGE_SUBSCRIBER,
        failure=Failure(message=record.error_message, code=record.error_code, attempts=record.attempts),
        origin=record.subscriber,
        blocked_reason=BlockedReason.NO_PAYLOAD,
    )


def _of_stream(received: ReceivedMessage, pointer: StreamBatchPointer) -> OpenedMessage:
    context = pointer.context
    return _opened(
        received,
        Envelope.STREAM_BATCH_POINTER,
        failure=Failure(code=context.condition, attempts=context.attempts, failed_at=pointer.timestamp),
        origin=context.function_arn,
        blocked_reason=BlockedReason.NO_PAYLOAD,
    )


def _inner(
    forward: ReceivedMessage, inside: tuple[str, JsonObject] | None
) -> tuple[tuple[Envelope, ...], Payload, str | None]:
    """Open notifications, one inside another; the message itself goes on as it is."""
    kinds: list[Envelope] = []
    text, attributes, origin = forward.body, forward.attributes, None
    content = inside[1] if inside is not None and inside[0] == text else None
    while inside is not None and len(kinds) < MAX_DEPTH:
        notification = _parsed(SnsNotification, inside[1]) if "TopicArn" in inside[1] else None
        if notification is not None:
            kinds.append(Envelope.SNS_NOTIFICATION)
            origin = origin or notification.topic
            text, attributes = notification.message, _attributes_of(notification)
            inside = _object_in(text)
            content = inside[1] if inside is not None and inside[0] == text else None
            continue
        event = _parsed(S3Event, inside[1]) if "Records" in inside[1] else None
        if event is not None and event.is_of_s3:
            kinds.append(Envelope.S3_EVENT)
            origin = origin or event.bucket
        elif _parsed(S3TestEvent, inside[1]) is not None:
            kinds.append(Envelope.S3_EVENT)
        break
    payload = Payload(text, attributes) if content is None else Payload(text, attributes, content)
    return tuple(kinds) or (Envelope.NONE,), payload, origin


def _attributes_of(notification: SnsNotification) -> AttributeMap:
    attributes: dict[str, dict[str, Any]] = {}
    for name, value in notification.attributes.items():
        kind, text = str(value.get("Type")), str(value.get("Value"))
        if kind == "Binary":
            # SNS writes bytes in base64 (SNS API reference, MessageAttributeValue).
            attributes[name] = {"DataType": kind, "BinaryValue": b64decode(text)}
        else:
            attributes[name] = {"DataType": kind, "StringValue": text}
    return attributes


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


def _parsed[F: Form](form: type[F], content: Any) -> F | None:
    try:
        return form.model_validate(content)
    except ValidationError:
        return None
