"""Pays rewards: refuses what breaks the contract, pays the rest by the payment gateway, keeps the ledger.

Triggered by the rewards queue, in the order of each member's payouts. A payout whose message comes again, be
it by SQS, by a retry or by a redrive, is neither paid nor entered twice.
"""

from __future__ import annotations

from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from consumers.batches import process_batch
from consumers.payment_gateway import PaymentGateway
from consumers.reward_ledger import RewardLedger
from contracts.reward_payout import REWARD_PAYOUT

# Short enough for a second attempt within the function's timeout.
_client = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 3}),
)
_ledger = RewardLedger(_client)
_gateway = PaymentGateway(_client, SSMProvider())
# Only the group of a failed message waits, not the whole batch.
_processor = SqsFifoPartialProcessor(skip_group_on_error=True)
# A batch is often of one member alone. Were it an error of the function that all of it failed, Lambda would
# slow down for every other member (Lambda developer guide, "Handling errors for an SQS event source":
# backoff).
_processor.raise_on_entire_batch_failure = False


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the items of the batch that have to be tried again."""
    return process_batch(event, context, _processor, _process)


def _process(record: SQSRecord) -> None:
    message = REWARD_PAYOUT.parse(record.body, record.raw_event.get("messageAttributes", {}))
    if _ledger.holds(message.body):
        return
    # In this order: a crash between the two is made good by the next attempt, since the gateway pays an id
    # once.
    _gateway.pay(message.body)
    _ledger.enter(message.body, message.attributes.campaign_id)
