"""Simulates campaigns that reward members: sends payouts, in order for each member.

Invoked manually, by the demo, and by the tests. The reward payouts consumer processes the payouts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ConfigDict, Field

from examples.reward_payouts.contract import RewardPayout
from redrive.aws_session import set_up_boto3
from redrive.contracts.contract import Contract, ContractModel, ContractViolationError
from redrive.domain.errors import guarded

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_CAMPAIGNS = 7
_LARGEST_MINOR = 50_000

logger = Logger()
set_up_boto3()
_sqs = boto3.client("sqs")


class PayoutOrder(ContractModel):
    """What to send."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=100, ge=1, le=10_000)
    #: The payouts are divided evenly among this number of members.
    members: int = Field(default=20, ge=1, le=1_000)
    #: Prefix of the ids of payouts, members, and campaigns, so every payout can be accounted for.
    prefix: str = Field(default="payout", pattern=r"^[A-Za-z0-9-]{1,40}$")


PAYOUT_ORDER = Contract("payout-order", PayoutOrder, ContractModel)


class PayoutsNotSentError(Exception):
    """SQS didn't accept some of the payouts."""


@guarded(ContractViolationError, PayoutsNotSentError)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Send the payouts; return how many, and how much each member is owed in euro cents."""
    order = PAYOUT_ORDER.parse(json.dumps(event), {}).body
    payouts = [_payout(order, number) for number in range(order.count)]
    for chunk in batched(enumerate(payouts), 10, strict=False):
        entries = [_entry(order, number, payout) for number, payout in chunk]
        failed = _sqs.send_message_batch(QueueUrl=os.environ["REWARDS_QUEUE_URL"], Entries=entries).get("Failed", [])
        if failed:
            codes = sorted({entry["Code"] for entry in failed})
            raise PayoutsNotSentError(
                f"SQS did not accept {len(failed)} of {len(entries)} payouts: {', '.join(codes)}. Send the same order "
                "again within five minutes: the FIFO queue drops the payouts that it already has."
            )
    logger.info("sent", payouts=order.count)
    owed: Counter[str] = Counter()
    for payout in payouts:
        owed[payout.member_id] += payout.amount_minor
    return {"sent": order.count, "owed": dict(owed)}


def _payout(order: PayoutOrder, number: int) -> RewardPayout:
    return RewardPayout(
        payout_id=f"{order.prefix}-{number:05}",
        # One member after another, so most batches belong to one message group.
        member_id=f"{order.prefix}-member-{number * order.members // order.count:04}",
        # Spread over the range, so mixing up two payouts changes the sums.
        amount_minor=1 + number * 7919 % _LARGEST_MINOR,
        currency="EUR",
    )


def _entry(order: PayoutOrder, number: int, payout: RewardPayout) -> SendMessageBatchRequestEntryTypeDef:
    campaign = f"{order.prefix}-campaign-{number % _CAMPAIGNS}"
    return {
        "Id": str(number),
        "MessageBody": payout.model_dump_json(),
        "MessageAttributes": {"campaign_id": {"DataType": "String", "StringValue": campaign}},
        "MessageGroupId": payout.member_id,
        "MessageDeduplicationId": payout.payout_id,
    }
