"""Recognizes envelopes by the message attributes that a service added.

Called when a message is opened that no redrive policy moved. The attributes describe the failure, so they aren't sent
on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.message import AttributeMap, ReceivedMessage
from redrive.domain.messages.opened import BlockedReason, Failure, Recognized

if TYPE_CHECKING:
    from redrive.domain.messages.envelopes import DeliveryAttributes

# Without one of these, no service has said anything.
_TELLING = frozenset({"SCHEDULE_ARN", "RULE_ARN", "ErrorCode"})
# More digits than that aren't a number of attempts.
_MAX_DIGITS = 9


def by_attributes(received: ReceivedMessage) -> Recognized | None:
    """Return what a service's attributes say, or None if there are none; those of several services say nothing."""
    found = [] if _TELLING.isdisjoint(received.attributes) else list(_found(received))
    if len(found) > 1:
        return Recognized(found[0].envelope, received, blocked_reason=BlockedReason.UNREADABLE_RECORD)
    return found[0] if found else None


def async_failure(attributes: AttributeMap) -> tuple[Failure, AttributeMap] | None:
    """Return how a function failed on an event, as the attributes in its dead-letter queue or topic say.

    With it come the attributes that the event itself has.
    """
    if "ErrorCode" not in attributes:
        return None
    from redrive.domain.messages.envelopes import AsyncDlqAttributes  # noqa: PLC0415

    found = AsyncDlqAttributes.on(attributes)
    if found is None:
        return None
    return Failure(message=found.error_message, code=found.error_code), AsyncDlqAttributes.stripped(attributes)


def _found(received: ReceivedMessage) -> Iterator[Recognized]:
    # Few queues have such messages, and the formats take a part of a cold start.
    from redrive.domain.messages.envelopes import RuleAttributes, ScheduleAttributes  # noqa: PLC0415

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
    failed = async_failure(attributes)
    if failed is not None:
        failure, own = failed
        yield Recognized(Envelope.LAMBDA_ASYNC_DLQ, received.with_content(received.body, own), failure)


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
