"""Sends the e-mails that tasks in a queue ask for, each once, however often its message is delivered.

Triggered by the e-mail tasks queue; what fails is reported item by item.

A record for each task id, in a DynamoDB table, is claimed before the e-mail is sent and completed after it
(Powertools idempotency). The id is the task's own: a redriven message has a new SQS message id. An e-mail
cannot be unsent, nor can SES tell whether it has one already, so one of two mishaps has to be chosen where
the function ends between the claim and the completion (timeout, crash, the table throttled): here it is
sending twice, not losing it. The claim ends with the invocation that made it, and the next delivery sends.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from consumers.batches import process_batch
from contracts.email_task import EMAIL_TASK, EmailTask

# A message can wait in the queue and its dead-letter queue for 14 days from its send, be redriven three times
# by default, each time as a new message, and wait in quarantine: its record outlives all five stays.
_REMEMBERED = timedelta(days=5 * 14)

_processor = BatchProcessor(event_type=EventType.SQS)
# One attempt: a request that timed out may have sent the e-mail. SQS delivers the message again. Ten requests
# of this length fit in the function's timeout.
_ses = boto3.client(
    "sesv2", config=Config(connect_timeout=1, read_timeout=1.5, retries={"total_max_attempts": 1})
)
_idempotency = IdempotencyConfig(expires_after_seconds=int(_REMEMBERED.total_seconds()))
_records = DynamoDBPersistenceLayer(
    table_name=os.environ["EMAIL_TASKS_TABLE"],
    boto3_client=boto3.client(
        "dynamodb", config=Config(connect_timeout=1, read_timeout=1.5, retries={"mode": "standard"})
    ),
)


class EmailNotSentError(Exception):
    """SES did not take an e-mail. The text has SES's code only: its message may name the recipient."""


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the items of the batch that have to be tried again."""
    _idempotency.register_lambda_context(context)
    return process_batch(event, context, _processor, _process)


def _process(record: SQSRecord) -> None:
    task = EMAIL_TASK.parse(record.body, record.raw_event.get("messageAttributes", {})).body
    _send(task_id=task.task_id, task=task)


# Without a prefix the records' keys would hold the names of function and module, and be lost with a new name.
@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="task_id",
    config=_idempotency,
    persistence_store=_records,
    key_prefix="email-task",
)
def _send(*, task_id: str, task: EmailTask) -> None:
    """Send an e-mail, if none was sent for this task id.

    Raises
    ------
    EmailNotSentError
        Where SES refuses it or does not answer.
    """
    try:
        _ses.send_email(
            FromEmailAddress=os.environ["EMAIL_SENDER"],
            Destination={"ToAddresses": [task.recipient_email]},
            Content={
                "Simple": {
                    "Subject": {"Data": task.subject, "Charset": "UTF-8"},
                    "Body": {"Text": {"Data": task.body, "Charset": "UTF-8"}},
                }
            },
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise EmailNotSentError(f"SES refused the e-mail of task {task_id}: {code}") from None
    except BotoCoreError as error:
        raise EmailNotSentError(
            f"SES did not answer for the e-mail of task {task_id}: {type(error).__name__}"
        ) from None
