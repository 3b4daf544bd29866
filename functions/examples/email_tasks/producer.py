"""Accepts email requests over HTTP, enqueues each as a task, and responds before the email is sent.

Invoked through a function URL that requires signed requests (AWS_IAM). The email tasks consumer processes the tasks.
"""

from __future__ import annotations

import json
import os
import uuid
from http import HTTPStatus
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from examples.email_tasks.contract import EMAIL_REQUEST, EmailTask
from redrive.aws_session import set_up_boto3
from redrive.contracts.contract import ContractViolationError
from redrive.domain.errors import guarded

logger = Logger()
app = LambdaFunctionUrlResolver()
set_up_boto3()
_sqs = boto3.client("sqs")


@guarded()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the HTTP response: 202 with the task's id, or 400 with the problems, which never quote a value."""
    return dict(app.resolve(event, context))


@app.post("/")
def accept() -> Response[str]:
    """Enqueue a request."""
    request = EMAIL_REQUEST.parse(app.current_event.decoded_body or "", {}).body
    task = EmailTask(task_id=str(uuid.uuid4()), **request.model_dump())
    _sqs.send_message(
        QueueUrl=os.environ["EMAIL_TASKS_QUEUE_URL"],
        # ASCII, because SQS rejects some characters that JSON allows (SQS API Reference, SendMessage).
        MessageBody=json.dumps(task.model_dump()),
        MessageAttributes={"type": {"DataType": "String", "StringValue": "email"}},
    )
    logger.info("accepted", task_id=task.task_id)
    return _response(HTTPStatus.ACCEPTED, {"task_id": task.task_id})


@app.exception_handler(ContractViolationError)  # type: ignore[untyped-decorator]
def reject(error: ContractViolationError) -> Response[str]:
    """Return which parts of the request break which rules."""
    logger.warning("rejected", violation=error.violation, problems=len(error.problems))
    problems = [{"where": problem.where, "what": problem.what} for problem in error.problems]
    return _response(HTTPStatus.BAD_REQUEST, {"error": error.violation, "problems": problems})


def _response(status: HTTPStatus, content: dict[str, Any]) -> Response[str]:
    return Response(status_code=status, content_type=content_types.APPLICATION_JSON, body=json.dumps(content))
