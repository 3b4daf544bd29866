"""Sends events that a rule cannot deliver to its target's dead-letter queue, as EventBridge does.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, lambda_svc, sqs, stepfunctions

ANCHORS = (
    "services.eventbridge:_invoke_target",
    "services.eventbridge:_pattern_event_view",
    "services.lambda_svc:_get_func_record_for_ref",
    "services.sqs:_queue_by_arn",
    "services.sqs:_act_send_message",
    "services.stepfunctions:_resolve_state_machine_arn",
)

_upstream: Any = None


def apply() -> None:
    """Put the patch of this module in place, around whatever invokes targets by then."""
    global _upstream  # noqa: PLW0603
    _upstream = eventbridge._invoke_target
    eventbridge._invoke_target = invoke_target


def invoke_target(
    target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
) -> None:
    """Deliver an event to a target, or to the target's dead-letter queue where there is no such target.

    ministack drops what it cannot deliver. EventBridge does not try again where a target is not there, and
    puts the event into the dead-letter queue with what went wrong in attributes (Amazon EventBridge User
    Guide, "Using dead-letter queues to process undelivered events").
    """
    arn = target.get("Arn", "")
    queue = sqs._queue_by_arn(target.get("DeadLetterConfig", {}).get("Arn", ""))
    if queue is None or _is_there(arn):
        _upstream(target, event, rule, view)
        return
    view = view or eventbridge._pattern_event_view(event)
    told = {
        "RULE_ARN": rule.get("Arn", ""),
        "TARGET_ARN": arn,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": f"The target {arn.rsplit(':', 1)[-1]} does not exist.",
    }
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in told.items()}
    attributes["RETRY_ATTEMPTS"] = {"DataType": "Number", "StringValue": "0"}
    body = json.dumps(view.event_with_detail())
    sqs._act_send_message({"MessageBody": body, "MessageAttributes": attributes}, queue["url"])


def _is_there(arn: str) -> bool:
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service == "sqs":
        return sqs._queue_by_arn(arn) is not None
    if service == "lambda":
        return lambda_svc._get_func_record_for_ref(arn)[0] is not None
    if service == "states":
        return stepfunctions._resolve_state_machine_arn(arn) is not None
    return True
