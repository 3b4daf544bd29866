"""Sends events that a rule can't deliver to its target's dead-letter queue, as EventBridge does.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, lambda_svc, sqs, stepfunctions

from local.ministack_compat import fit
from local.ministack_compat.eventbridge import invoke_target as invoke_existing_target


def apply() -> None:
    """Put the patch of this module in place, around that of :mod:`local.ministack_compat.eventbridge`."""
    fit.replace(eventbridge, _invoke_target=invoke_target)


def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
    """Deliver an event to a target, or to the target's dead-letter queue if the target doesn't exist.

    ministack drops events that it can't deliver. EventBridge doesn't retry if a target doesn't exist, and sends the
    event to the dead-letter queue with the error in attributes (Amazon EventBridge User Guide, "Using dead-letter
    queues to process undelivered events").
    """
    arn = target.get("Arn", "")
    queue = sqs._queue_by_arn(target.get("DeadLetterConfig", {}).get("Arn", ""))
    if queue is None or _exists(arn):
        invoke_existing_target(target, event, rule, view)
        return
    view = view or eventbridge._pattern_event_view(event)
    texts = {
        "RULE_ARN": rule.get("Arn", ""),
        "TARGET_ARN": arn,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": f"The target {arn.rsplit(':', 1)[-1]} does not exist.",
    }
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
    attributes["RETRY_ATTEMPTS"] = {"DataType": "Number", "StringValue": "0"}
    body = json.dumps(view.event_with_detail())
    sqs._act_send_message({"MessageBody": body, "MessageAttributes": attributes}, queue["url"])


def _exists(arn: str) -> bool:
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service == "sqs":
        return sqs._queue_by_arn(arn) is not None
    if service == "lambda":
        return lambda_svc._get_func_record_for_ref(arn)[0] is not None
    if service == "states":
        return stepfunctions._resolve_state_machine_arn(arn) is not None
    return True
