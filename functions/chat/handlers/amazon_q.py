"""Forwards reports and alarms to the topic that Amazon Q Developer reads for a Slack channel.

Called by SNS, for the report topic and the alarm topic.
"""

import json
import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import SNSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat.formats import custom_notification
from chat.notices import notice_of
from redrive.domain.errors import guarded

logger = Logger()
_sns = boto3.client("sns")


@guarded()
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Publish a custom notification for each message."""
    for record in SNSEvent(event).records:
        notice = notice_of(record.sns.message, record.sns.subject)
        _sns.publish(TopicArn=os.environ["CHAT_TOPIC"], Message=json.dumps(custom_notification(notice)))
        logger.info("forwarded", status=notice.status, about=notice.about)
