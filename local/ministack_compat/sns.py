"""Lets state machines publish to standard topics with attributes, and SNS invoke functions asynchronously.

``local.ministack_compat.apply`` calls :func:`apply`; ``local.ministack_compat.step_functions`` dispatches
``sns:publish`` tasks to :func:`publish`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ministack.services import lambda_svc, sns

from local.ministack_compat import fit

PASSED_THROUGH = ("TopicArn", "Subject", "MessageStructure")


class PublishError(Exception):
    """SNS refused the message; ``code`` is its error code, such as NotFound."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(sns, _deliver_to_lambda=deliver_to_function)


def deliver_to_function(
    endpoint: str, envelope: str, _topic: str, subscription: str, *_parts: Any, **_named: Any
) -> None:
    """Invoke a function with a notification asynchronously, and so with retries.

    ministack runs the function once and drops its error (Lambda Developer Guide, "Invoking Lambda functions with Amazon
    SNS notifications": "Amazon SNS invokes your function asynchronously").
    """
    function, config, _name = lambda_svc._get_func_record_for_ref(endpoint)
    if not function or not config:
        return
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": json.loads(envelope),
    }
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), {"Records": [record]})


def publish(arguments: dict[str, Any]) -> dict[str, Any]:
    """Publish with the arguments of a Step Functions task; an object as Message is sent as JSON text.

    ministack drops MessageAttributes, so no filter policy matches (Step Functions Developer Guide, "Publish messages to
    an Amazon SNS topic with Step Functions").

    Raises
    ------
    PublishError
        SNS refused the message.
    """
    message = arguments.get("Message", "")
    request: dict[str, Any] = {name: arguments[name] for name in PASSED_THROUGH if name in arguments}
    request["Message"] = message if isinstance(message, str) else json.dumps(message)
    for number, (name, attribute) in enumerate((arguments.get("MessageAttributes") or {}).items(), start=1):
        entry = f"MessageAttributes.entry.{number}"
        request[f"{entry}.Name"] = name
        request.update({f"{entry}.Value.{field}": value for field, value in attribute.items()})
    status, _headers, body = sns._publish(request)
    text = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        raise PublishError(_element(text, "Code") or "SnsException", _element(text, "Message") or text)
    return {"MessageId": _element(text, "MessageId")}


def _element(xml: str, name: str) -> str | None:
    found = re.search(f"<{name}>(.*?)</{name}>", xml, re.DOTALL)
    return found.group(1) if found else None
