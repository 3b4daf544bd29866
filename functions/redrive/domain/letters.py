"""A dead letter as SQS hands it out, and the entry that sends it on with nothing lost or bent.

Used by the lane, the sample and the judging. Sizes follow SQS: body plus, for each attribute, name, type and
value, all in UTF-8 bytes (SQS developer guide, "Amazon SQS message metadata" and "Message quotas").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# One message and one batch alike: 1 MiB (SQS developer guide, "Message quotas"; announced 2025-08).
MAX_BYTES = 1_048_576
MAX_BATCH_ENTRIES = 10
MAX_ATTRIBUTES = 10

type AttributeMap = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a dead-letter queue.

    Attributes
    ----------
    message_id, receipt_handle : str
        As SQS gave them; the handle is the one of the latest receive.
    body : str
        The body, untouched.
    attributes : AttributeMap
        Message attributes as ReceiveMessage returns them (DataType, StringValue or BinaryValue).
    sent_at : int
        `SentTimestamp`, milliseconds since 1970. In a standard dead-letter queue that of the original send,
        in a FIFO one that of the arrival (SQS developer guide, "Using dead-letter queues").
    receive_count : int
        `ApproximateReceiveCount`.
    source_arn : str | None
        `DeadLetterQueueSourceArn`: the queue whose redrive policy put the letter here.
    group_id : str | None
        `MessageGroupId`; standard queues have it too (fair queues).
    trace_header : str | None
        `AWSTraceHeader`, the X-Ray trace that the message belongs to.
    size : int
        Bytes as SQS counts them.
    """

    message_id: str
    receipt_handle: str
    body: str
    attributes: AttributeMap
    sent_at: int
    receive_count: int
    source_arn: str | None
    group_id: str | None
    trace_header: str | None
    size: int

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Letter:
        """Return the letter in one entry of ReceiveMessage's `Messages`, received with all attributes."""
        system = message.get("Attributes", {})
        attributes = message.get("MessageAttributes", {})
        body = message["Body"]
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=body,
            attributes=attributes,
            sent_at=int(system["SentTimestamp"]),
            receive_count=int(system.get("ApproximateReceiveCount", "1")),
            source_arn=system.get("DeadLetterQueueSourceArn"),
            group_id=system.get("MessageGroupId"),
            trace_header=system.get("AWSTraceHeader"),
            size=utf8_size(body) + attributes_size(attributes),
        )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A letter ready to be sent: what the request to its destination takes (without the `Id` of an entry)."""

    request: Mapping[str, Any]
    size: int
    group_id: str | None = None


def attributes_size(attributes: AttributeMap) -> int:
    """Return the bytes that message attributes count for: names, types and values."""
    size = 0
    for name, value in attributes.items():
        size += attribute_size(name, value)
    return size


def attribute_size(name: str, value: Mapping[str, Any]) -> int:
    """Return the bytes that one message attribute counts for."""
    text = value.get("StringValue")
    content = utf8_size(text) if text is not None else len(value.get("BinaryValue", b""))
    return utf8_size(name) + utf8_size(value["DataType"]) + content


def utf8_size(text: str) -> int:
    """Return the bytes of a text in UTF-8, without encoding it where that is not needed."""
    return len(text) if text.isascii() else len(text.encode())


def with_attribute(letter: Letter, name: str, text: str) -> tuple[AttributeMap, int]:
    """Return the letter's attributes with one String attribute set, and the size of the whole message.

    Where it does not fit (ten attributes already, or 1 MiB), the letter's own attributes come back unchanged:
    what belongs to the message goes before what belongs to us.
    """
    ours = {"DataType": "String", "StringValue": text}
    size = letter.size + attribute_size(name, ours)
    if name in letter.attributes:
        size -= attribute_size(name, letter.attributes[name])
    elif len(letter.attributes) >= MAX_ATTRIBUTES:
        return letter.attributes, letter.size
    if size > MAX_BYTES:
        return letter.attributes, letter.size
    return {**letter.attributes, name: ours}, size


def outgoing(letter: Letter, attributes: AttributeMap, size: int, deduplication_id: str | None) -> Outgoing:
    """Return what sends `letter` to a queue with everything it carries.

    Parameters
    ----------
    letter : Letter
        The dead letter.
    attributes : AttributeMap
        Its message attributes, ours included.
    size : int
        Bytes of body and attributes.
    deduplication_id : str | None
        For a FIFO destination only. The letter's own must not be used again: inside five minutes SQS would
        accept the message and drop it (SQS developer guide, "Using the message deduplication ID").
    """
    request: dict[str, Any] = {"MessageBody": letter.body}
    if attributes:
        request["MessageAttributes"] = attributes
    if letter.trace_header is not None:
        request["MessageSystemAttributes"] = {
            "AWSTraceHeader": {"DataType": "String", "StringValue": letter.trace_header}
        }
    if letter.group_id is not None:
        request["MessageGroupId"] = letter.group_id
    if deduplication_id is not None:
        request["MessageDeduplicationId"] = deduplication_id
    return Outgoing(request, size, letter.group_id if deduplication_id is not None else None)
