"""Sends the email of each task once, no matter how often its message is delivered.

Triggered by the email tasks queue; reports failures item by item.

Before sending, the consumer claims a DynamoDB record for the task id, and completes it afterward (Powertools
idempotency). The key is the task's own id, because a redriven message has a new SQS message id. SES can't deduplicate.
If the function dies between the claim and the completion (timeout, crash, throttled table), a consumer must choose
between sending the email twice and losing it. This one sends it twice: the claim expires with the invocation that made
it, and the next delivery sends again.
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

from examples.batches import process_batch
from examples.email_tasks.contract import EMAIL_TASK, EmailTask
from redrive.aws_session import set_up_boto3

# SQS keeps a message for at most 14 days. By default, a message can be redriven three times, each time as a new one,
# and then be quarantined as another. The record outlives all five.
_RECORD_LIFETIME = timedelta(days=5 * 14)

_processor = BatchProcessor(event_type=EventType.SQS)
set_up_boto3()
# One attempt, because a request that timed out may have sent the email; SQS delivers the message again. Ten requests
# that time out fit in the function's timeout.
_ses = boto3.client("sesv2", config=Config(connect_timeout=1, read_timeout=1.5, retries={"total_max_attempts": 1}))
_idempotency = IdempotencyConfig(expires_after_seconds=int(_RECORD_LIFETIME.total_seconds()))
_records = DynamoDBPersistenceLayer(
    table_name=os.environ["EMAIL_TASKS_TABLE"],
    boto3_client=boto3.client(
        "dynamodb", config=Config(connect_timeout=1, read_timeout=1.5, retries={"mode": "standard"})
    ),
)


class EmailNotSentError(Exception):
    """SES didn't accept an email. The text has only SES's error code, because SES's message may name the recipient."""


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the batch items to retry."""
    _idempotency.register_lambda_context(context)
    return process_batch(event, context, _processor, _process, EmailNotSentError)


def _process(record: SQSRecord) -> None:
    task = EMAIL_TASK.parse(record.body, record.raw_event.get("messageAttributes", {})).body
    _send(task_id=task.task_id, task=task)


# Without a prefix, the keys would contain the function's and module's names, and renaming either would orphan the
# records.
@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="task_id",
    config=_idempotency,
    persistence_store=_records,
    key_prefix="email-task",
)
def _send(*, task_id: str, task: EmailTask) -> None:
    """Send an email unless one was already sent for this task id.

    Raises
    ------
    EmailNotSentError
        If SES rejects it or doesn't respond.
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
        raise EmailNotSentError(f"SES rejected the email of task {task_id}: {code}") from None
    except BotoCoreError as error:
        raise EmailNotSentError(
            f"SES did not respond for the email of task {task_id}: {type(error).__name__}"
        ) from None
