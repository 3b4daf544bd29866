"""A message as SQS hands it out, and its size as SQS counts it.

Used throughout the domain. Sizes are body plus, for each attribute, name, type, and value, in UTF-8 bytes (SQS
developer guide, "Amazon SQS message metadata" and "Message quotas").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

# For one message and for one batch: 1 MiB (SQS developer guide, "Message quotas"; announced 2025-08).
MAX_BYTES = 1_048_576
MAX_BATCH_ENTRIES = 10
MAX_ATTRIBUTES = 10

# SQS API reference, SendMessage: characters that make SQS reject a message with InvalidMessageContents. The same hold
# for the values and types of message attributes (SQS developer guide, "Amazon SQS message metadata").
# Lists those outside of "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", because a negated
# set of these takes Python ten times as long to compile.
NOT_IN_SQS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# SQS developer guide, "Amazon SQS message metadata": names and types of message attributes; "a number can have up to 38
# digits of precision, and it can be between 10^-128 and 10^+126". Zeros around it don't count: SQS removes them.
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?", re.DOTALL)
_MAX_TYPE = 256
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAX_DIGITS = 38
_SMALLEST, _LARGEST = Decimal("1e-128"), Decimal("1e126")

type AttributeMap = Mapping[str, Mapping[str, Any]]


class ReceivedMessage(NamedTuple):
    """A message of a dead-letter queue."""

    #: As SQS assigned them; the handle belongs to the latest receive.
    message_id: str
    receipt_handle: str
    #: The body, untouched.
    body: str
    #: Message attributes as ReceiveMessage returns them (DataType, StringValue or BinaryValue).
    attributes: AttributeMap
    #: `SentTimestamp` in milliseconds since 1970: in a standard DLQ the original send, in a FIFO DLQ the arrival
    #: there (SQS developer guide, "Using dead-letter queues").
    sent_at: int
    #: `DeadLetterQueueSourceArn`: the queue whose redrive policy moved the message here; only SQS can set it.
    source_arn: str | None
    #: `SenderId` without the session's name: the unique id of the role or user that sent the message. Only SQS can set
    #: it, and a redrive policy that moves the message keeps it (docs/design/threat-model.md).
    sender: str | None
    #: `MessageGroupId`; messages of standard queues can have one too (fair queues).
    group_id: str | None
    #: `AWSTraceHeader`, the X-Ray trace that the message belongs to.
    trace_header: str | None
    #: Bytes as SQS counts them.
    size: int
    #: What the runs table has about the message, in place of the attribute that it couldn't carry.
    recorded: str | None = None
    #: What reading the message raised, as the name of the error's class; then only its ids are known.
    unreadable: str | None = None

    @classmethod
    def not_read(cls, message: Mapping[str, Any], error: Exception) -> ReceivedMessage:
        """Return what is left of an entry of ReceiveMessage's `Messages` that raised an error when it was read."""
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body="",
            attributes={},
            sent_at=0,
            source_arn=None,
            sender=None,
            group_id=message.get("Attributes", {}).get("MessageGroupId"),
            trace_header=None,
            size=0,
            unreadable=type(error).__name__,
        )

    @classmethod
    def from_sqs(cls, message: Mapping[str, Any]) -> ReceivedMessage:
        """Return the message in one entry of ReceiveMessage's `Messages`, received with all attributes.

        Whatever else than a message it is raises an error: of Python, because SQS returns nothing else.
        """
        system = message.get("Attributes", {})
        attributes = message.get("MessageAttributes", {})
        body = message["Body"]
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=body,
            attributes=attributes,
            sent_at=_milliseconds(system["SentTimestamp"]),
            source_arn=system.get("DeadLetterQueueSourceArn"),
            sender=system.get("SenderId", "").partition(":")[0] or None,
            group_id=system.get("MessageGroupId"),
            trace_header=system.get("AWSTraceHeader"),
            size=utf8_size(body) + attributes_size(attributes),
        )

    def with_content(self, body: str, attributes: AttributeMap) -> ReceivedMessage:
        """Return the message with another body and other attributes, and the size that results."""
        return replace(self, body=body, attributes=attributes, size=utf8_size(body) + attributes_size(attributes))


def _milliseconds(text: str) -> int:
    """Return a time in milliseconds since 1970; OverflowError if it is none that a datetime holds."""
    milliseconds = int(text)
    datetime.fromtimestamp(milliseconds / 1000, UTC)
    return milliseconds


def check_attribute_name(name: str) -> None:
    """Refuse what can't be the name of a message attribute.

    Raises
    ------
    ValueError
        Without the name, which may be any text.
    """
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise ValueError(
            "expected names of message attributes (1 to 256 letters, digits, underscores, hyphens, and single periods "
            "inside, not beginning with AWS. or Amazon.), found one that can't be a name"
        )


def is_attribute(name: str, value: Mapping[str, Any]) -> bool:
    """Return whether SQS takes a message attribute, which it says only when a message is sent."""
    kind, text = value["DataType"], value.get("StringValue")
    if _ATTRIBUTE_NAME.fullmatch(name) is None or _TYPE.fullmatch(kind) is None:
        return False
    if len(kind) > _MAX_TYPE or not is_text(kind):
        return False
    if text is None:
        return bool(value.get("BinaryValue"))
    # "Amazon SQS doesn't interpret, validate, or use" the label of a custom type such as Number.int (same source).
    return is_text(text) and (kind.partition(".")[0] != "Number" or _is_number(text))


def is_text(text: str) -> bool:
    """Return whether SQS takes a text as a body or a value."""
    return text != "" and NOT_IN_SQS.search(text) is None


def _is_number(text: str) -> bool:
    if NUMBER.fullmatch(text) is None:
        return False
    try:
        number = Decimal(text)
    except InvalidOperation:
        # An exponent beyond what Decimal counts.
        return False
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    return len(digits) <= _MAX_DIGITS and (not number or _SMALLEST <= number.copy_abs() <= _LARGEST)


def attributes_size(attributes: AttributeMap) -> int:
    """Return the bytes that message attributes count for: names, types, and values."""
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
    """Return the bytes of a text in UTF-8, encoding it only if necessary."""
    # Half of a surrogate pair can't be sent, but it can be measured.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
