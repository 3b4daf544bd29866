"""A message opened once: what is inside it, where it came from, how it failed.

Made by `redrive.domain.messages.opening`; read by selection, repair, judging, and sampling.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.json_text import NotJsonError, parse
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.provenance import Provenance
from redrive.domain.messages.trace_header import counts_a_loop


class BlockedReason(StrEnum):
    """Why a message can't be redriven whatever its contract says; stable codes."""

    NO_PAYLOAD = "no-payload"
    SUCCEEDED = "succeeded"
    PAYLOAD_TRUNCATED = "payload-truncated"
    NOT_REDRIVABLE = "not-redrivable"
    UNKNOWN_VERSION = "unknown-version"
    UNREADABLE_RECORD = "unreadable-record"


class Failure(NamedTuple):
    """How the message failed, as far as the envelope says."""

    #: Name of the error.
    error_type: str | None = None
    #: Its text, which may quote the payload: never log it.
    message: str | None = None
    #: The service's code.
    code: str | None = None
    #: Attempts before the service gave up.
    attempts: int | None = None
    #: When, as the service wrote it.
    failed_at: str | None = None


class Recognized(NamedTuple):
    """What the outermost envelope says about the message in it."""

    envelope: Envelope
    #: The message as it goes on.
    forward: ReceivedMessage
    failure: Failure | None = None
    #: ARN of what the message came from.
    origin: str | None = None
    #: ARN that the envelope says the message was meant for.
    claimed_destination: str | None = None
    #: Why it can't be redriven.
    blocked_reason: BlockedReason | None = None
    #: How many events it stands for without having them, as far as it says.
    events: int | None = None


_UNREAD = object()
_NOT_JSON = object()
_IN_S3 = object()


class Payload:
    """The innermost content of a message: what its contract describes. Parsed at most once.

    Parameters
    ----------
    text : str
        The content as it was sent.
    attributes : AttributeMap
        Its message attributes.
    content : Any
        The parsed text, if it is known already.
    """

    __slots__ = ("_content", "attributes", "text")

    def __init__(self, text: str, attributes: AttributeMap, content: Any = _UNREAD) -> None:
        self.text = text
        self.attributes = attributes
        self._content = content

    @classmethod
    def in_s3(cls, pointer: str, attributes: AttributeMap) -> Payload:
        """Return the payload of a message that only points to it: no query and no contract can read its content."""
        return cls(pointer, attributes, _IN_S3)

    @property
    def is_in_s3(self) -> bool:
        """Whether the text only points to the content."""
        return self._content is _IN_S3

    @property
    def content(self) -> Any:
        """The text as parsed JSON, numbers exact.

        Raises
        ------
        NotJsonError
            If it isn't JSON, or isn't in the message.
        """
        if self._content is _UNREAD:
            try:
                self._content = parse(self.text)
            except NotJsonError:
                self._content = _NOT_JSON
        if self._content is _NOT_JSON or self._content is _IN_S3:
            raise NotJsonError
        return self._content

    def with_attributes(self, attributes: AttributeMap) -> Payload:
        """Return the same content with other message attributes; what was parsed isn't parsed again."""
        return Payload(self.text, attributes, self._content)


class OpenedMessage(NamedTuple):
    """A message and what is inside it."""

    #: The message as it is in the queue.
    received: ReceivedMessage
    #: The message as it goes on: the body that its destination reads, without the attributes that a service added.
    forward: ReceivedMessage
    #: Outermost first; (`NONE`,) for a raw message.
    envelopes: tuple[Envelope, ...]
    payload: Payload
    provenance: Provenance
    #: ARN of what the message came from: a queue, or else a function, rule, schedule, topic, or bucket.
    origin: str | None = None
    failure: Failure | None = None
    #: ARN that the envelope says the message was meant for.
    claimed_destination: str | None = None
    #: ARN of the subscription that the outermost notification says it was sent for.
    subscription: str | None = None
    #: Why it can't be redriven.
    blocked_reason: BlockedReason | None = None
    #: How many events it stands for without having them, as far as it says.
    events: int | None = None
    #: It has the attribute of a pointer into S3, but no body that is one: nothing says what the payload is.
    unknown_pointer: bool = False

    @property
    def envelope(self) -> Envelope:
        """The envelope to report: the outermost that isn't a notification, which says more than one around it."""
        return next((kind for kind in self.envelopes if kind is not Envelope.SNS_NOTIFICATION), self.envelopes[0])

    @property
    def in_a_loop(self) -> bool:
        """Whether Lambda's recursive-loop detection has dropped it or would, as far as its header or record says."""
        if self.received.trace_header is not None and counts_a_loop(self.received.trace_header):
            return True
        # Lambda API reference, Invoke.
        return self.failure is not None and self.failure.error_type == "RecursiveInvocationException"
