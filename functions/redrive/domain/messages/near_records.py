"""Finds what is plainly the record of a failure, but not one that this release reads as a whole.

Called when a message is opened that no redrive policy moved, and whose envelope wasn't recognized. A field may be
missing, renamed, or of another type, because a service changed its format or somebody changed the record. Sent on, it
would be processed as if it were the message.

Plainly means: three or more of the keys that a service documents for its record, at their places and in any case, and
one of them telling, which nothing but such a record has there. A message that happens to share one or two keys isn't.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.opened import BlockedReason, Recognized

_ENOUGH = 3


class _Record(NamedTuple):
    """The keys of a service's record in lower case; a key inside an object or a list of objects is OUTER.INNER."""

    envelope: Envelope
    telling: frozenset[str]
    others: frozenset[str]

    def is_near(self, found: frozenset[str]) -> bool:
        """Return whether the keys that were found are plainly those of this record."""
        return not self.telling.isdisjoint(found) and len(found & (self.telling | self.others)) >= _ENOUGH


_INVOCATION = frozenset({"requestcontext.approximateinvokecount", "requestcontext.functionarn"})
_RESPONSE = frozenset({"responsecontext.executedversion", "responsecontext.functionerror"})
_OF_INVOCATIONS = frozenset({"requestcontext", "requestcontext.condition", "responsecontext"})
_BATCHES = ("kinesisbatchinfo", "ddbstreambatchinfo", "kafkabatchinfo")
_OF_BATCHES = (
    "approximatearrivaloffirstrecord",
    "approximatearrivaloflastrecord",
    "batchsize",
    "bootstrapservers",
    "endsequencenumber",
    "eventsourcearn",
    "payloadsize",
    "recordsinfo",
    "shardid",
    "startsequencenumber",
    "streamarn",
)
# The documents that name the keys are those of the models in `envelopes`.
_RECORDS = (
    _Record(
        Envelope.STREAM_BATCH_POINTER,
        telling=frozenset(_BATCHES) | {"context.partnerresourcearn"},
        others=_INVOCATION
        | _RESPONSE
        | _OF_INVOCATIONS
        | {"context", "context.condition"}
        | {f"{batch}.{name}" for batch in _BATCHES for name in _OF_BATCHES},
    ),
    _Record(
        Envelope.LAMBDA_DESTINATION,
        telling=_INVOCATION | _RESPONSE,
        others=_OF_INVOCATIONS | {"requestpayload", "responsepayload"},
    ),
    _Record(
        Envelope.EVENTBRIDGE_SUBSCRIBER,
        telling=frozenset({"failedmessages.targetrequestid", "subscriberarn"}),
        others=frozenset(
            {
                "busarn",
                "exhaustedretrycondition",
                "failedmessages",
                "failedmessages.eventgroupid",
                "failedmessages.eventid",
                "retryattempts",
                "targetarn",
            }
        ),
    ),
    _Record(
        Envelope.IOT_ERROR_ACTION,
        telling=frozenset(
            {"base64originalpayload", "cloudwatchtraceid", "failures.failedaction", "failures.failedresource"}
        ),
        others=frozenset({"clientid", "failures", "rulename", "topic"}),
    ),
)
_DELIVERY = frozenset({"error_code", "error_message", "exhausted_retry_condition", "retry_attempts"})
# Message attributes instead of a body: without all of them, nothing says whether the payload is whole, or whose it is.
_ATTRIBUTES = (
    _Record(
        Envelope.EVENTBRIDGE_SCHEDULER,
        telling=frozenset({"schedule_arn", "is_payload_truncated"}),
        others=_DELIVERY | {"target_arn", "scheduled_time", "execution_id"},
    ),
    _Record(Envelope.EVENTBRIDGE_RULE, telling=frozenset({"rule_arn", "target_arn"}), others=_DELIVERY),
)
# In lower case. A body without any of these is neither a record nor close to one. Every message is searched for each of
# them, so one word covers several keys.
RECORD_MARKS = ("context", "batchinfo", "subscriberarn", "failed", "cloudwatchtraceid", "base64originalpayload")


def nearly_a_record(content: Mapping[str, Any]) -> Envelope | None:
    """Return which record a JSON object plainly is, or None if it is none."""
    found = frozenset(_keys(content))
    return next((record.envelope for record in _RECORDS if record.is_near(found)), None)


def nearly_attributes(attributes: AttributeMap) -> Envelope | None:
    """Return which service's message attributes these plainly are, or None if they are nobody's."""
    found = frozenset(map(str.lower, attributes))
    return next((record.envelope for record in _ATTRIBUTES if record.is_near(found)), None)


def _keys(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        outer = name.lower()
        yield outer
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, dict):
                yield from (f"{outer}.{inner.lower()}" for inner in part)


def unreadable(received: ReceivedMessage, envelope: Envelope | None) -> Recognized | None:
    """Return what to make of a record that could not be read as a whole: nothing is taken out of it."""
    if envelope is None:
        return None
    return Recognized(envelope, received, blocked_reason=BlockedReason.UNREADABLE_RECORD)
