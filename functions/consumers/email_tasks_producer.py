"""Takes requests for e-mails over HTTP, puts each into the queue as a task, and answers before it is sent.

Behind a function URL that asks for signed requests (AWS_IAM); the tasks go to the e-mail tasks consumer.
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

from contracts.contract import ContractViolationError
from contracts.email_task import EMAIL_REQUEST, EmailTask

logger = Logger()
app = LambdaFunctionUrlResolver()
_sqs = boto3.client("sqs")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the HTTP answer: 202 with the task's id, or 400 with what is wrong, told without any value."""
    return dict(app.resolve(event, context))


@app.post("/")
def accept() -> Response[str]:
    """Put a request into the queue."""
    request = EMAIL_REQUEST.parse(app.current_event.decoded_body or "", {}).body
    task = EmailTask(task_id=str(uuid.uuid4()), **request.model_dump())
    _sqs.send_message(
        QueueUrl=os.environ["EMAIL_TASKS_QUEUE_URL"],
        # ASCII: some characters that JSON allows are refused by SQS (SQS API Reference, SendMessage).
        MessageBody=json.dumps(task.model_dump()),
        MessageAttributes={"type": {"DataType": "String", "StringValue": "email"}},
    )
    logger.info("accepted", task_id=task.task_id)
    return _answer(HTTPStatus.ACCEPTED, {"task_id": task.task_id})


@app.exception_handler(ContractViolationError)  # type: ignore[untyped-decorator]
def refuse(error: ContractViolationError) -> Response[str]:
    """Tell the caller which places of the request break which rules."""
    logger.warning("refused", violation=error.violation, problems=len(error.problems))
    problems = [{"where": problem.where, "what": problem.what} for problem in error.problems]
    return _answer(HTTPStatus.BAD_REQUEST, {"error": error.violation, "problems": problems})


def _answer(status: HTTPStatus, told: dict[str, Any]) -> Response[str]:
    return Response(status_code=status, content_type=content_types.APPLICATION_JSON, body=json.dumps(told))
