"""Makes ministack's SQS keep of each message who sent it, a role by its unique id, and the trace that it was sent in.

``local.ministack_compat.apply`` calls :func:`apply`. "For an IAM user, returns the IAM user ID"; for a role it's the
role's id and the session's name, AROA...:NAME (Amazon SQS API Reference, "ReceiveMessage", SenderId; IAM User Guide,
"IAM identifiers", "Unique identifiers"). ministack returns the account id, and runs functions as the account itself.
The trace is the header of the request, unless the message has one of its own (AWS X-Ray Developer Guide, "Amazon SQS
and AWS X-Ray").
"""

from __future__ import annotations

import contextvars
import hashlib
from typing import Any

from ministack.core import iam_evaluator, lambda_runtime, router
from ministack.services import lambda_svc, sqs, sts

from local.ministack_compat import fit

_sender: contextvars.ContextVar[str | None] = contextvars.ContextVar("sender", default=None)
_trace: contextvars.ContextVar[str | None] = contextvars.ContextVar("trace", default=None)
_upstream_handle_request = sqs.handle_request
_upstream_system_attributes = sqs._build_send_sys_attrs


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(sqs, handle_request=handle_request, _build_send_sys_attrs=system_attributes)
    fit.replace(lambda_runtime, execution_credentials=execution_credentials)
    fit.replace(lambda_svc, execution_credentials=execution_credentials)


async def handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
    """Handle a request to SQS, and remember who signed it, and in which trace."""
    identity = iam_evaluator.resolve_caller_identity(router.extract_access_key_id(headers, query))
    _sender.set(None if identity is None else identity["userId"])
    _trace.set(headers.get("x-amzn-trace-id"))
    return await _upstream_handle_request(method, path, headers, body, query)


def system_attributes(now: float, given: dict[str, Any]) -> dict[str, Any]:
    """Return what a sent message has besides its content."""
    attributes: dict[str, Any] = _upstream_system_attributes(now, given)
    if (sender := _sender.get()) is not None:
        attributes["SenderId"] = sender
    if (trace := _trace.get()) is not None:
        attributes.setdefault("AWSTraceHeader", trace)
    return attributes


def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
    """Return a session of a function's role, whose name is the function's.

    AWS Lambda Developer Guide, "Defining Lambda function permissions with an execution role".
    """
    role_arn, name = str(config.get("Role", "")), str(config["FunctionName"])
    account = str(config["FunctionArn"]).split(":")[4]
    digest = hashlib.sha256(f"{config['FunctionArn']} {role_arn}".encode()).hexdigest().upper()
    key = f"ASIA{digest[:16]}"
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role_arn.rsplit('/', 1)[-1]}/{name}",
        "UserId": f"{sts._role_id(role_arn)}:{name}",
        "SecretAccessKey": digest,
        "SessionToken": digest.lower(),
    }
    sts.register_session(key, session)
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
