"""Pays rewards: rejects messages that break the contract, pays the rest, and records them in the ledger.

Triggered by the rewards queue, in order for each member. A payout is paid and recorded only once, even if SQS, a retry,
or a redrive delivers its message again.
"""

from __future__ import annotations

from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from examples.batches import process_batch
from examples.reward_payouts.contract import REWARD_PAYOUT
from examples.reward_payouts.ledger import PayoutConflictError, RewardLedger
from examples.reward_payouts.payment_gateway import GatewayDownError, PaymentGateway
from redrive.aws_session import set_up_boto3

set_up_boto3()
# Short enough for a second attempt within the function's timeout.
_client = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 3}),
)
_ledger = RewardLedger(_client)
# Without a client, SSMProvider would create its own session, which reads all of botocore's data again.
_gateway = PaymentGateway(_client, SSMProvider(boto3_client=boto3.client("ssm")))
# A failed message blocks only its own group, not the whole batch.
_processor = SqsFifoPartialProcessor(skip_group_on_error=True)
# A batch often holds one member's payouts only. If a batch that fails as a whole counted as a function error, Lambda
# would back off for every other member (Lambda developer guide, "Handling errors for an SQS event source").
_processor.raise_on_entire_batch_failure = False


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the batch items to retry."""
    return process_batch(event, context, _processor, _process, GatewayDownError, PayoutConflictError)


def _process(record: SQSRecord) -> None:
    message = REWARD_PAYOUT.parse(record.body, record.raw_event.get("messageAttributes", {}))
    if _ledger.holds(message.body):
        return
    # Pay first: if the function crashes before the entry is written, the next attempt writes it, and the gateway pays
    # an id only once.
    _gateway.pay(message.body)
    _ledger.enter(message.body, message.attributes.campaign_id)
