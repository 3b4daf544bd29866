"""Posts reports and alarms to a Slack webhook, whose URL is a secret.

Called by SNS, for the report topic and the alarm topic. Lambda retries failed invocations and sends the events that
still fail to a separate queue.
"""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import SNSEvent
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat.formats import slack_message
from chat.notices import notice_of
from chat.webhook import WebhookError, post
from redrive.domain.errors import guarded

# Lambda retries after one minute. By then, the cached secret has expired, so the retry reads a corrected one.
_SECRET_MAX_AGE = 50

logger = Logger()
_secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager"))


@guarded(WebhookError)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Post each message."""
    for record in SNSEvent(event).records:
        notice = notice_of(record.sns.message, record.sns.subject)
        post(
            str(_secrets.get(os.environ["SLACK_WEBHOOK_SECRET"], max_age=_SECRET_MAX_AGE)),
            slack_message(notice),
            os.environ["SLACK_WEBHOOK_HOSTS"].split(),
        )
        logger.info("posted", status=notice.status, about=notice.about)
