"""Makes asynchronous invocations end in dead-letter queues and in queues as destinations, in the envelopes of AWS.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import contextvars
import json
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from ministack.services import lambda_svc, sqs

from local import call_recorder
from local.ministack_compat import fit

# AWS Lambda Developer Guide, "Error handling for asynchronous invocation": two retries, events kept six hours.
DEFAULT_RETRIES = 2
DEFAULT_MAX_AGE_SECONDS = 21600

Function = dict[str, Any]

_upstream_configuration = lambda_svc._event_invoke_config


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(
        lambda_svc, invoke_async_with_retry=invoke_asynchronously, _event_invoke_config=event_invoke_configuration
    )


def event_invoke_configuration(function: Function, qualifier: str | None) -> dict[str, Any] | None:
    """Return a function's configuration for asynchronous invocation.

    Without a qualifier, it's that of $LATEST (AWS Lambda API Reference, GetFunctionEventInvokeConfig); ministack keeps
    two.
    """
    for name in (None, "$LATEST") if qualifier in {None, "", "$LATEST"} else (qualifier,):
        found: dict[str, Any] | None = _upstream_configuration(function, name)
        if found is not None:
            return found
    return None


def invoke_asynchronously(function: Function, event: Any) -> None:
    """Run an event in the background, with the function's retries, destinations and dead-letter queue."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_run_to_the_end, function, event), daemon=True).start()


def _run_to_the_end(function: Function, event: Any) -> None:
    config = function.get("config") or function
    account, region = lambda_svc._account_region_from_function_config(config)
    lambda_svc._request_account_id.set(account)
    lambda_svc._request_region.set(region)
    settings = _event_invoke_config(config["FunctionName"], function)
    request_id = str(uuid.uuid4())
    condition, attempts, outcome = _attempt(function, event, settings)

    failed = condition != "Success"
    destinations = settings.get("DestinationConfig") or {}
    destination = (destinations.get("OnFailure" if failed else "OnSuccess") or {}).get("Destination")
    if destination:
        record = _invocation_record(
            config, event, outcome, request_id=request_id, condition=condition, attempts=attempts
        )
        call_recorder.record({"function": config["FunctionName"]}, "sqs", "SendMessage", {"QueueArn": destination})
        _send(destination, json.dumps(record), {})
    dead_letter_queue = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    if failed and dead_letter_queue:
        _send(dead_letter_queue, json.dumps(event), _dead_letter_attributes(request_id, outcome))


def _event_invoke_config(name: str, function: Function) -> dict[str, Any]:
    current = lambda_svc._functions.get(name) or function
    by_qualifier = current.get("event_invoke_configs") or {}
    # SAM attaches the configuration to $LATEST, the API to the unqualified function.
    return by_qualifier.get("$LATEST") or by_qualifier.get("") or current.get("event_invoke_config") or {}


def _attempt(function: Function, event: Any, settings: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    retries = settings.get("MaximumRetryAttempts")
    retries = DEFAULT_RETRIES if retries is None else int(retries)
    oldest_start = time.time() + int(settings.get("MaximumEventAgeInSeconds") or DEFAULT_MAX_AGE_SECONDS)
    attempts = 0
    while True:
        outcome: dict[str, Any] = lambda_svc._execute_function(function, event)
        attempts += 1
        if not outcome.get("error"):
            return "Success", attempts, outcome
        if attempts > retries:
            return "RetriesExhausted", attempts, outcome
        # AWS waits one minute, then two; the base is scaled down here (LAMBDA_ASYNC_RETRY_BASE_SECONDS).
        pause = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS * 2 ** (attempts - 1)
        pause = min(pause, lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS)
        if time.time() + pause > oldest_start:
            return "EventAgeExceeded", attempts, outcome
        time.sleep(pause)


def _invocation_record(
    config: dict[str, Any],
    event: Any,
    outcome: dict[str, Any],
    *,
    request_id: str,
    condition: str,
    attempts: int,
) -> dict[str, Any]:
    # AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations": example invocation record.
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")}
    if condition != "Success":
        response["functionError"] = "Unhandled"
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": response,
        "responsePayload": outcome.get("body"),
    }


def _dead_letter_attributes(request_id: str, outcome: dict[str, Any]) -> dict[str, Any]:
    # AWS Lambda Developer Guide, "Adding a dead-letter queue": three attributes, the last of them cut to 1 KB.
    body = outcome.get("body")
    message = str(body.get("errorMessage", "")) if isinstance(body, dict) else ""
    return {
        "RequestID": {"DataType": "String", "StringValue": request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": message[:1024] or "Unhandled"},
    }


def _send(queue_arn: str, body: str, attributes: dict[str, Any]) -> None:
    queue = sqs._queue_by_arn(queue_arn)
    if queue is None:
        lambda_svc.logger.error("%s isn't a queue here, so the event is lost", queue_arn)
        return
    sqs._act_send_message({"MessageBody": body, "MessageAttributes": attributes}, queue["url"])
