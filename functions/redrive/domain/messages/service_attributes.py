"""Recognizes envelopes by the message attributes that a service added.

Called when a message is opened that no redrive policy moved. The attributes describe the failure, so they aren't sent
on.
"""

from __future__ import annotations

from collections.abc import Iterator

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.envelopes import AsyncDlqAttributes, DeliveryAttributes, RuleAttributes, ScheduleAttributes
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.opened import BlockedReason, Failure, Recognized

# More digits than that aren't a number of attempts.
_MAX_DIGITS = 9


def by_attributes(received: ReceivedMessage) -> Recognized | None:
    """Return what a service's attributes say, or None if there are none; those of several services say nothing."""
    found = list(_found(received)) if received.attributes else []
    if len(found) > 1:
        return Recognized(found[0].envelope, received, blocked_reason=BlockedReason.UNREADABLE_RECORD)
    return found[0] if found else None


def async_failure(attributes: AttributeMap) -> Failure | None:
    """Return how a function failed on an event, as the attributes in its dead-letter queue or topic say."""
    found = AsyncDlqAttributes.on(attributes) if "ErrorCode" in attributes else None
    return None if found is None else Failure(message=found.error_message, code=found.error_code)


def _found(received: ReceivedMessage) -> Iterator[Recognized]:
    attributes = received.attributes
    if "SCHEDULE_ARN" in attributes and (schedule := ScheduleAttributes.on(attributes)) is not None:
        # Only a payload that is said to be whole is.
        said = schedule.truncated.lower()
        blocked = (
            None if said == "false" else BlockedReason.PAYLOAD_TRUNCATED if said else BlockedReason.UNREADABLE_RECORD
        )
        yield _undelivered(received, Envelope.EVENTBRIDGE_SCHEDULER, schedule, schedule.schedule, blocked)
    if "RULE_ARN" in attributes and (rule := RuleAttributes.on(attributes)) is not None:
        yield _undelivered(received, Envelope.EVENTBRIDGE_RULE, rule, rule.rule)
    failure = async_failure(attributes)
    if failure is not None:
        forward = received.with_content(received.body, AsyncDlqAttributes.stripped(attributes))
        yield Recognized(Envelope.LAMBDA_ASYNC_DLQ, forward, failure)


def _undelivered(
    received: ReceivedMessage,
    envelope: Envelope,
    found: DeliveryAttributes,
    origin: str,
    blocked_reason: BlockedReason | None = None,
) -> Recognized:
    """Return an event that EventBridge could not deliver to its target."""
    digits = found.attempts
    return Recognized(
        envelope,
        received.with_content(received.body, found.stripped(received.attributes)),
        Failure(
            message=found.error_message or None,
            code=found.error_code or None,
            attempts=int(digits) if digits.isdecimal() and len(digits) <= _MAX_DIGITS else None,
        ),
        origin=origin,
        claimed_destination=found.target,
        blocked_reason=blocked_reason,
    )
