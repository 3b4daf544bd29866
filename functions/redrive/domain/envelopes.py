"""Recognises what AWS services wrapped around a message on its way to a dead-letter queue, and unwraps it.

Called by the judging. Recognition goes by structure and attributes, never by guess: what matches nothing is
raw. The forms are those of the AWS documentation, named beside each model.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redrive.domain.letters import AttributeMap, Letter, attributes_size, utf8_size

# Envelopes in envelopes are opened to this depth; what lies deeper is left as it is.
MAX_DEPTH = 5
# A body without any of these is raw: most are, and need not be parsed to know it.
_MARKS = ("requestContext", "TopicArn", "aws:s3", "s3:TestEvent", "subscriberArn")
_DECODER = json.JSONDecoder()


class Envelope(StrEnum):
    """What a service wrapped around a message."""

    NONE = "none"
    LAMBDA_DESTINATION = "lambda-destination"
    LAMBDA_ASYNC_DLQ = "lambda-async-dlq"
    STREAM_BATCH_POINTER = "stream-batch-pointer"
    SNS_NOTIFICATION = "sns-notification"
    EVENTBRIDGE_RULE = "eventbridge-rule"
    EVENTBRIDGE_SCHEDULER = "eventbridge-scheduler"
    EVENTBRIDGE_SUBSCRIBER = "eventbridge-subscriber"
    S3_EVENT = "s3-event"


class NotRedrivable(StrEnum):
    """Why a letter cannot be redriven whatever its contract says; stable codes."""

    NO_PAYLOAD = "no-payload"
    SUCCEEDED = "succeeded"
    PAYLOAD_TRUNCATED = "payload-truncated"


@dataclass(frozen=True, slots=True)
class Failure:
    """How the message failed, as far as the envelope tells.

    Attributes
    ----------
    error_type, message, code : str | None
        Name of the error, its text (which may quote the payload: never log it), the service's code.
    attempts : int | None
        Attempts before the message was given up.
    failed_at : str | None
        When, as the service wrote it.
    """

    error_type: str | None = None
    message: str | None = None
    code: str | None = None
    attempts: int | None = None
    failed_at: str | None = None


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A letter without its envelope.

    Attributes
    ----------
    envelopes : tuple[Envelope, ...]
        Outermost first; (`NONE`,) for a raw letter.
    letter : Letter
        What goes on: the letter with the body that its destination reads, and without the attributes that the
        service added.
    payload : str
        What the contract is about: the innermost content.
    payload_attributes : AttributeMap
        Message attributes of the payload.
    failure : Failure | None
        How it failed.
    origin : str | None
        ARN of the function, rule, schedule, topic or bucket that the message comes from.
    destination : str | None
        ARN that the message was meant for, where the envelope tells.
    obstacle : NotRedrivable | None
        Why it cannot be redriven.
    """

    envelopes: tuple[Envelope, ...]
    letter: Letter
    payload: str
    payload_attributes: AttributeMap
    failure: Failure | None = None
    origin: str | None = None
    destination: str | None = None
    obstacle: NotRedrivable | None = None


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)


class _RequestContext(_Form):
    request_id: str = Field(alias="requestId")
    function_arn: str = Field(alias="functionArn")
    condition: str
    attempts: int = Field(alias="approximateInvokeCount")


class _ResponsePayload(_Form):
    error_type: str | None = Field(default=None, alias="errorType")
    error_message: str | None = Field(default=None, alias="errorMessage")


class LambdaDestination(_Form):
    """The record of an asynchronous invocation (Lambda developer guide, "Capturing records")."""

    version: str
    timestamp: str
    context: _RequestContext = Field(alias="requestContext")
    response: Any = Field(default=None, alias="responsePayload")


class StreamBatchPointer(_Form):
    """A failed batch of a stream: shard and range, no data (Lambda developer guide, "Kinesis")."""

    timestamp: str
    context: _RequestContext = Field(alias="requestContext")


class SubscriberRecord(_Form):
    """Events that a custom event bus could not deliver to a subscriber's target: their ids, no data.

    EventBridge user guide, "Retry policies and dead-letter queues" (custom event buses).
    """

    bus: str = Field(alias="busArn", pattern="^arn:")
    subscriber: str = Field(alias="subscriberArn", pattern="^arn:")
    target: str = Field(alias="targetArn", pattern="^arn:")
    error_code: str | None = Field(default=None, alias="errorCode")
    error_message: str | None = Field(default=None, alias="errorMessage")
    attempts: int | None = Field(default=None, alias="retryAttempts")
    failed: list[dict[str, Any]] = Field(alias="failedMessages")


class DeliveryAttributes(_Form):
    """Message attributes of what EventBridge could not deliver; not all are always there."""

    target: str = Field(alias="TARGET_ARN")
    error_code: str | None = Field(default=None, alias="ERROR_CODE")
    error_message: str | None = Field(default=None, alias="ERROR_MESSAGE")
    exhausted: str | None = Field(default=None, alias="EXHAUSTED_RETRY_CONDITION")
    attempts: str | None = Field(default=None, alias="RETRY_ATTEMPTS")


class RuleAttributes(DeliveryAttributes):
    """Those of a rule (EventBridge user guide, "Using dead-letter queues to process undelivered events")."""

    rule: str = Field(alias="RULE_ARN")


class ScheduleAttributes(DeliveryAttributes):
    """Those of a schedule (EventBridge Scheduler user guide, "Configuring a dead-letter queue")."""

    schedule: str = Field(alias="SCHEDULE_ARN")
    scheduled_time: str | None = Field(default=None, alias="SCHEDULED_TIME")
    execution_id: str | None = Field(default=None, alias="EXECUTION_ID")
    truncated: str = Field(default="false", alias="IS_PAYLOAD_TRUNCATED")


class AsyncDlqAttributes(_Form):
    """Message attributes of an event in a function's dead-letter queue; the error's text is cut at 1 KB.

    Lambda developer guide, "Adding a dead-letter queue".
    """

    request_id: str = Field(alias="RequestID")
    error_code: str = Field(alias="ErrorCode")
    error_message: str | None = Field(default=None, alias="ErrorMessage")


class S3Event(_Form):
    """What S3 notifies of (S3 user guide, "Event message structure")."""

    records: list[dict[str, Any]] = Field(alias="Records", min_length=1)

    @property
    def is_of_s3(self) -> bool:
        """Whether S3 sent it, and not another service with records."""
        return any(record.get("eventSource") == "aws:s3" for record in self.records)

    @property
    def bucket(self) -> str | None:
        """ARN of the bucket."""
        try:
            arn = self.records[0]["s3"]["bucket"]["arn"]
        except (KeyError, TypeError):
            return None
        return arn if isinstance(arn, str) else None


class S3TestEvent(_Form):
    """What S3 sends when a notification is set up (S3 user guide, "Event message structure")."""

    service: Literal["Amazon S3"] = Field(alias="Service")
    event: Literal["s3:TestEvent"] = Field(alias="Event")


class SnsNotification(_Form):
    """What SNS sends to a queue without raw delivery (SNS developer guide, "Parsing message formats")."""

    type: str = Field(alias="Type", pattern="^Notification$")
    message_id: str = Field(alias="MessageId")
    topic: str = Field(alias="TopicArn", pattern="^arn:")
    message: str = Field(alias="Message")
    attributes: dict[str, dict[str, Any]] = Field(default_factory=dict, alias="MessageAttributes")


def unwrap(letter: Letter) -> Unwrapped:
    """Return the letter without what services wrapped around it.

    A letter that an SQS redrive policy moved goes back to its queue as it is: its consumer reads what lies
    in that queue. Only its contract looks inside.
    """
    if letter.source_arn is None:
        for recognise in (_of_scheduler, _of_rule, _of_async_dlq):
            found = recognise(letter)
            if found is not None:
                return found
    inside = _object_in(letter.body) if any(mark in letter.body for mark in _MARKS) else None
    if inside is None:
        return Unwrapped((Envelope.NONE,), letter, letter.body, letter.attributes)
    if letter.source_arn is None:
        found = _of_lambda(letter, *inside) or _of_subscriber(letter, inside[1])
        if found is not None:
            return found
    return _inner(letter, inside)


def mended(unwrapped: Unwrapped, letter: Letter) -> Unwrapped:
    """Return the unwrapped letter with `letter`, which a repair has made, in place of what goes on."""
    if unwrapped.payload == unwrapped.letter.body:
        return replace(unwrapped, letter=letter, payload=letter.body, payload_attributes=letter.attributes)
    # The body is still wrapped: what the repair changed may lie anywhere in it.
    inner = _inner(letter, _object_in(letter.body))
    return replace(
        unwrapped, letter=letter, payload=inner.payload, payload_attributes=inner.payload_attributes
    )


def raw_delivery(unwrapped: Unwrapped) -> Unwrapped:
    """Return a notification as SNS sends it with raw delivery: the message, with its attributes.

    SNS developer guide, "Raw message delivery". What is no notification comes back as it is.
    """
    if unwrapped.envelopes[0] is not Envelope.SNS_NOTIFICATION:
        return unwrapped
    inside = _object_in(unwrapped.letter.body)
    notification = None if inside is None else _parsed(SnsNotification, inside[1])
    if notification is None:
        return unwrapped
    # Our own attribute is outside of the notification.
    attributes = {**unwrapped.letter.attributes, **_attributes_of(notification)}
    size = utf8_size(notification.message) + attributes_size(attributes)
    letter = replace(unwrapped.letter, body=notification.message, attributes=attributes, size=size)
    return replace(unwrapped, letter=letter, payload_attributes=attributes)


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


# Envelopes told by attributes


def _told_by[F: _Form](letter: Letter, form: type[F]) -> F | None:
    return _parsed(form, {name: value.get("StringValue") for name, value in letter.attributes.items()})


def _stripped(letter: Letter, form: type[_Form]) -> Letter:
    """Return the letter without the attributes that the service added."""
    added = {field.alias for field in form.model_fields.values()}
    attributes = {name: value for name, value in letter.attributes.items() if name not in added}
    return replace(letter, attributes=attributes, size=utf8_size(letter.body) + attributes_size(attributes))


def _unwrapped(envelope: Envelope, letter: Letter, **told: Any) -> Unwrapped:
    return Unwrapped(
        envelopes=(envelope,),
        letter=letter,
        payload=letter.body,
        payload_attributes=letter.attributes,
        **told,
    )


def _delivery_failure(told: DeliveryAttributes) -> Failure:
    attempts = told.attempts
    return Failure(
        message=told.error_message,
        code=told.error_code,
        attempts=int(attempts) if attempts is not None and attempts.isdecimal() else None,
    )


def _of_scheduler(letter: Letter) -> Unwrapped | None:
    told = _told_by(letter, ScheduleAttributes) if "SCHEDULE_ARN" in letter.attributes else None
    if told is None:
        return None
    return _unwrapped(
        Envelope.EVENTBRIDGE_SCHEDULER,
        _stripped(letter, ScheduleAttributes),
        failure=_delivery_failure(told),
        origin=told.schedule,
        destination=told.target,
        obstacle=NotRedrivable.PAYLOAD_TRUNCATED if told.truncated.lower() == "true" else None,
    )


def _of_rule(letter: Letter) -> Unwrapped | None:
    told = _told_by(letter, RuleAttributes) if "RULE_ARN" in letter.attributes else None
    if told is None:
        return None
    return _unwrapped(
        Envelope.EVENTBRIDGE_RULE,
        _stripped(letter, RuleAttributes),
        failure=_delivery_failure(told),
        origin=told.rule,
        destination=told.target,
    )


def _of_async_dlq(letter: Letter) -> Unwrapped | None:
    # A Number, as Lambda writes it: other senders may have attributes of these names too.
    if letter.attributes.get("ErrorCode", {}).get("DataType") != "Number":
        return None
    told = _told_by(letter, AsyncDlqAttributes)
    if told is None:
        return None
    failure = Failure(message=told.error_message, code=told.error_code)
    return _unwrapped(Envelope.LAMBDA_ASYNC_DLQ, _stripped(letter, AsyncDlqAttributes), failure=failure)


# Envelopes told by the body


def _of_lambda(letter: Letter, text: str, content: Mapping[str, Any]) -> Unwrapped | None:
    if "requestContext" not in content:
        return None
    if "KinesisBatchInfo" in content or "DDBStreamBatchInfo" in content:
        pointer = _parsed(StreamBatchPointer, content)
        return None if pointer is None else _of_stream(letter, pointer)
    record = _parsed(LambdaDestination, content)
    if record is None or "requestPayload" not in content:
        return None
    payload = member_text(text, "requestPayload")
    error = _parsed(_ResponsePayload, record.response) if isinstance(record.response, Mapping) else None
    succeeded = record.context.condition == "Success"
    return Unwrapped(
        envelopes=(Envelope.LAMBDA_DESTINATION,),
        letter=replace(letter, body=payload, size=utf8_size(payload) + attributes_size(letter.attributes)),
        payload=payload,
        payload_attributes=letter.attributes,
        failure=None
        if succeeded
        else Failure(
            error_type=error.error_type if error else None,
            message=error.error_message if error else None,
            code=record.context.condition,
            attempts=record.context.attempts,
            failed_at=record.timestamp,
        ),
        origin=record.context.function_arn,
        destination=record.context.function_arn,
        obstacle=NotRedrivable.SUCCEEDED if succeeded else None,
    )


def _of_subscriber(letter: Letter, content: Mapping[str, Any]) -> Unwrapped | None:
    record = _parsed(SubscriberRecord, content) if "subscriberArn" in content else None
    if record is None:
        return None
    return _unwrapped(
        Envelope.EVENTBRIDGE_SUBSCRIBER,
        letter,
        failure=Failure(message=record.error_message, code=record.error_code, attempts=record.attempts),
        origin=record.subscriber,
        obstacle=NotRedrivable.NO_PAYLOAD,
    )


def _of_stream(letter: Letter, pointer: StreamBatchPointer) -> Unwrapped:
    return _unwrapped(
        Envelope.STREAM_BATCH_POINTER,
        letter,
        failure=Failure(
            code=pointer.context.condition, attempts=pointer.context.attempts, failed_at=pointer.timestamp
        ),
        origin=pointer.context.function_arn,
        obstacle=NotRedrivable.NO_PAYLOAD,
    )


def _inner(letter: Letter, inside: tuple[str, Mapping[str, Any]] | None) -> Unwrapped:
    """Open notifications, one inside another; the letter itself goes on as it is."""
    kinds: list[Envelope] = []
    payload, attributes, origin = letter.body, letter.attributes, None
    while inside is not None and len(kinds) < MAX_DEPTH:
        _, content = inside
        notification = _parsed(SnsNotification, content) if "TopicArn" in content else None
        if notification is not None:
            kinds.append(Envelope.SNS_NOTIFICATION)
            origin = origin or notification.topic
            payload = notification.message
            attributes = _attributes_of(notification)
            inside = _object_in(payload)
            continue
        event = _parsed(S3Event, content) if "Records" in content else None
        if event is not None and event.is_of_s3:
            kinds.append(Envelope.S3_EVENT)
            origin = origin or event.bucket
        elif _parsed(S3TestEvent, content) is not None:
            kinds.append(Envelope.S3_EVENT)
        break
    return Unwrapped(tuple(kinds) or (Envelope.NONE,), letter, payload, attributes, origin=origin)


# Reading JSON


def member_text(text: str, name: str) -> str:
    """Return the JSON text of a member of an object, letter for letter as it stands there.

    Parsing and writing it anew would bend numbers: 1.0 and 1E0, or more digits than a float holds.

    Raises
    ------
    KeyError
        Where the object has no such member. Of several the last counts, as everywhere.
    """
    found: str | None = None
    place = _skip(text, 0) + 1
    while text[(place := _skip(text, place))] == '"':
        key, place = _DECODER.raw_decode(text, place)
        start = _skip(text, _skip(text, place) + 1)
        _, place = _DECODER.raw_decode(text, start)
        if key == name:
            found = text[start:place]
        place = _skip(text, place)
        if text[place] != ",":
            break
        place += 1
    if found is None:
        raise KeyError(name)
    return found


def _skip(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place


def _object_in(text: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the JSON object that a text is, or that lies in a JSON string: its text, and what was read."""
    for _ in range(MAX_DEPTH):
        try:
            content = json.loads(text)
            if isinstance(content, str):
                # Half of a surrogate pair can be written in JSON, but not be sent.
                content.encode()
        except (ValueError, RecursionError):
            return None
        if isinstance(content, str):
            text = content
            continue
        return (text, content) if isinstance(content, dict) else None
    return None


def _parsed[F: _Form](form: type[F], content: Any) -> F | None:
    try:
        return form.model_validate(content)
    except ValidationError:
        return None
