"""The request that sends a message on, with nothing lost or altered.

Made by the judging, batched by the lane, sent by the adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from redrive.domain.messages.destinations import Destination, Kind
from redrive.domain.messages.message import (
    MAX_ATTRIBUTES,
    AttributeMap,
    ReceivedMessage,
    attribute_size,
    is_attribute,
    is_text,
    utf8_size,
)
from redrive.domain.messages.provenance import ATTRIBUTE


class Outbound(NamedTuple):
    """A message ready to be sent."""

    destination: Destination
    #: What the API takes: an entry of SendMessageBatch without its `Id`, or the parameters of Invoke or
    #: StartExecution without the ARN.
    request: Mapping[str, Any]
    #: Bytes as SQS counts them.
    size: int
    #: The destination delivers a repeated send only once: FIFO deduplication. A repeated start of an execution has no
    #: effect on a Standard workflow, but an Express one starts again (Step Functions API reference, StartExecution).
    deduplicated: bool = False
    #: The provenance, if the request can't carry it: the runs table keeps it under the id that the destination returns.
    unattached: str | None = None

    @property
    def fits(self) -> bool:
        """Whether the destination takes a message of this size."""
        return self.size <= self.destination.max_bytes


def outbound(message: ReceivedMessage, destination: Destination, provenance: str, deduplication_id: str) -> Outbound:
    """Return what sends `message` to `destination` with everything that it carries.

    Parameters
    ----------
    message : ReceivedMessage
        The message as it goes on.
    destination : Destination
        What receives it.
    provenance : str
        Value of the attribute that is added for queues, if it fits; functions and state machines take no attributes.
    deduplication_id : str
        For FIFO queues and state machines. The message's own must not be used again: within five minutes SQS
        would accept the message and drop it (SQS developer guide, "Using the message deduplication ID").
    """
    match destination.kind:
        case Kind.FUNCTION:
            size = utf8_size(message.body)
            return Outbound(destination, {"Payload": message.body}, size, unattached=provenance)
        case Kind.STATE_MACHINE:
            request: dict[str, Any] = {"input": message.body, "name": deduplication_id}
            size = utf8_size(message.body)
            return Outbound(destination, request, size, unattached=provenance)
    attributes, size, attached = with_provenance(message, provenance, destination.max_bytes)
    request = {"MessageBody": message.body}
    if attributes:
        request["MessageAttributes"] = attributes
    if message.trace_header is not None:
        request["MessageSystemAttributes"] = {
            "AWSTraceHeader": {"DataType": "String", "StringValue": message.trace_header}
        }
    if message.group_id is not None:
        request["MessageGroupId"] = message.group_id
    fifo = destination.kind is Kind.FIFO_QUEUE
    if fifo:
        request["MessageDeduplicationId"] = deduplication_id
    return Outbound(destination, request, size, deduplicated=fifo, unattached=None if attached else provenance)


def is_sendable(message: ReceivedMessage, received: ReceivedMessage) -> bool:
    """Return whether SQS takes what was unwrapped or repaired, whatever its size.

    What a message has in common with the one that was received, SQS has taken before. Our attribute is replaced.
    """
    if message is received:
        return True
    before, after = received.attributes, {**message.attributes}
    after.pop(ATTRIBUTE, None)
    return (
        len(after) <= MAX_ATTRIBUTES
        and all(value is before.get(name) or is_attribute(name, value) for name, value in after.items())
        and (message.body is received.body or is_text(message.body))
    )


def with_provenance(message: ReceivedMessage, provenance: str, max_bytes: int) -> tuple[AttributeMap, int, bool]:
    """Return the message's attributes with ours added, the size of the whole message, and whether ours fits.

    If it doesn't (ten attributes already, or too many bytes for the queue), the message goes without: what belongs to
    the message takes precedence over what belongs to us. An attribute of the same name that it has never goes on.
    """
    own, size = message.attributes, message.size
    if ATTRIBUTE in own:
        size -= attribute_size(ATTRIBUTE, own[ATTRIBUTE])
        own = {name: value for name, value in own.items() if name != ATTRIBUTE}
    ours = {"DataType": "String", "StringValue": provenance}
    with_ours = size + attribute_size(ATTRIBUTE, ours)
    if len(own) >= MAX_ATTRIBUTES or with_ours > max_bytes:
        return own, size, False
    return {**own, ATTRIBUTE: ours}, with_ours, True
