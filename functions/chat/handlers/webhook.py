"""Posts reports and alarms to a Slack webhook, whose URL is a secret.

Called by SNS, for the topic of reports and the topic of alarms. What fails is tried again by Lambda, and lies
in a queue of its own after the last attempt.
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
from chat.webhook import post

# Shorter than the minute after which Lambda tries again: by then a secret that has been mended is read anew.
_SECRET_SECONDS = 50

logger = Logger()
_secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager"))


def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Post each message."""
    for record in SNSEvent(event).records:
        notice = notice_of(record.sns.message, record.sns.subject, os.environ["REDRIVE_STATE_MACHINE_ARN"])
        post(
            str(_secrets.get(os.environ["SLACK_WEBHOOK_SECRET"], max_age=_SECRET_SECONDS)),
            slack_message(notice),
        )
        logger.info("posted", status=notice.status, about=notice.about)
