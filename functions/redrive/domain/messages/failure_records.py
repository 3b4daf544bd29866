"""Recognizes the records that services write about a failure, by the body.

Called when a message is opened that no redrive policy moved. A record isn't the message that failed: it may contain
that message, which is taken out, or it can't be redriven.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import replace
from typing import Any

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.envelopes import (
    RECORD_VERSION,
    BatchPointer,
    BatchSize,
    FailedInvocation,
    IotErrorAction,
    LambdaDestination,
    PipeContext,
    ResponsePayload,
    SubscriberRecord,
)
from redrive.domain.messages.json_text import member_text
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.near_records import nearly_a_record, unreadable
from redrive.domain.messages.opened import BlockedReason, Failure, Recognized

_BATCH = "BatchInfo"

type JsonObject = Mapping[str, Any]


def by_body(received: ReceivedMessage, text: str, content: JsonObject) -> Recognized | None:
    """Return what a record of a failure says, or None if the body is none.

    Parameters
    ----------
    received : ReceivedMessage
        The message.
    text, content : str, JsonObject
        The JSON object in it, as text and parsed.
    """
    for recognize in (_of_invocation, _of_pipe, _of_subscriber, _of_iot):
        found = recognize(received, text, content)
        if found is not None:
            # The records of IoT have no version.
            known = _is_known(content) or found.envelope is Envelope.IOT_ERROR_ACTION
            return found if known else replace(found, blocked_reason=BlockedReason.UNKNOWN_VERSION)
    return unreadable(received, nearly_a_record(content))


def _is_known(content: JsonObject) -> bool:
    """Return whether a record's version is one that this release reads."""
    version: object = content.get("version", RECORD_VERSION)
    return version == RECORD_VERSION


def _of_invocation(received: ReceivedMessage, text: str, content: JsonObject) -> Recognized | None:
    context = content.get("requestContext")
    if not isinstance(context, dict):
        return None
    batch = _batch_in(content)
    if not _is_known(content):
        if batch is None and "requestPayload" not in content and "responseContext" not in content:
            return None
        # Its other fields may have other names.
        function = FailedInvocation.of(context)
        envelope = Envelope.LAMBDA_DESTINATION if batch is None else Envelope.STREAM_BATCH_POINTER
        return None if function is None else Recognized(envelope, received, origin=function.function_arn)
    return _of_asynchronous(received, text, content) if batch is None else _of_batch(received, content, batch)


def _of_batch(received: ReceivedMessage, content: JsonObject, batch: JsonObject) -> Recognized | None:
    record = BatchPointer.of(content)
    if record is None:
        return None
    context = record.context
    failure = Failure(code=context.condition, attempts=context.attempts, failed_at=record.timestamp)
    return _without_payload(received, Envelope.STREAM_BATCH_POINTER, failure, context.function_arn, _size_of(batch))


def _of_asynchronous(received: ReceivedMessage, text: str, content: JsonObject) -> Recognized | None:
    record = LambdaDestination.of(content)
    if record is None:
        return None
    function_arn, failure = record.context.function_arn, _failure_of(record)
    if "requestPayload" not in content:
        # Dropped, because the record was too large for a topic (Lambda API reference, OnFailure).
        return _without_payload(received, Envelope.LAMBDA_DESTINATION, failure, function_arn, 1)
    succeeded = record.context.condition.lower() == "success"
    return Recognized(
        Envelope.LAMBDA_DESTINATION,
        received.with_content(member_text(text, "requestPayload"), received.attributes),
        None if succeeded else failure,
        origin=function_arn,
        claimed_destination=function_arn,
        blocked_reason=BlockedReason.SUCCEEDED if succeeded else None,
    )


def _failure_of(record: LambdaDestination) -> Failure:
    error = ResponsePayload.of(record.response) if isinstance(record.response, Mapping) else None
    return Failure(
        error_type=error.error_type if error else None,
        message=error.error_message if error else None,
        code=record.context.condition,
        attempts=record.context.attempts,
        failed_at=record.timestamp,
    )


def _of_pipe(received: ReceivedMessage, _text: str, content: JsonObject) -> Recognized | None:
    batch = _batch_in(content)
    context = None if batch is None else PipeContext.of(content.get("context"))
    if batch is None or context is None:
        return None
    failed_at = content.get("timestamp")
    failure = Failure(code=context.condition, failed_at=failed_at if isinstance(failed_at, str) else None)
    return _without_payload(received, Envelope.STREAM_BATCH_POINTER, failure, context.pipe, _size_of(batch))


def _of_subscriber(received: ReceivedMessage, _text: str, content: JsonObject) -> Recognized | None:
    record = SubscriberRecord.of(content) if "subscriberArn" in content else None
    if record is None:
        return None
    failure = Failure(message=record.error_message, code=record.error_code, attempts=record.attempts)
    return _without_payload(received, Envelope.EVENTBRIDGE_SUBSCRIBER, failure, record.subscriber, len(record.failed))


def _of_iot(received: ReceivedMessage, _text: str, content: JsonObject) -> Recognized | None:
    record = IotErrorAction.of(content) if "base64OriginalPayload" in content else None
    if record is None:
        return None
    first = record.failures[0]
    return Recognized(
        Envelope.IOT_ERROR_ACTION,
        received,
        Failure(error_type=first.action, message=first.message),
        blocked_reason=BlockedReason.NOT_REDRIVABLE,
    )


def _batch_in(content: JsonObject) -> JsonObject | None:
    """Return the batch that a record names: `KinesisBatchInfo`, `DDBStreamBatchInfo`, or `KafkaBatchInfo`."""
    batches = (value for name, value in content.items() if name.endswith(_BATCH) and isinstance(value, dict))
    return next(batches, None)


def _size_of(batch: JsonObject) -> int | None:
    found = BatchSize.of(batch)
    return None if found is None else found.size


def _without_payload(
    received: ReceivedMessage, envelope: Envelope, failure: Failure, origin: str, events: int | None
) -> Recognized:
    blocked = BlockedReason.NO_PAYLOAD
    return Recognized(envelope, received, failure, origin=origin, blocked_reason=blocked, events=events)
