"""A stand-in for the payment gateway: slow, with little capacity, and sometimes down.

Called by the reward payouts consumer. It records when every call starts and ends, so its load can be measured
afterward: calls per second and concurrent calls.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SSMProvider

from examples.reward_payouts.contract import RewardPayout

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Duration of a call.
CALL_SECONDS = 0.04
# How long the switch's value is cached, in seconds.
_SWITCH_MAX_AGE = 1
# The longest that a function can run (Lambda developer guide, "Lambda quotas").
_HANG_SECONDS = 900


class GatewayDownError(Exception):
    """The payment gateway responds that it is out of service."""


@dataclass(frozen=True, slots=True)
class PaymentGateway:
    """The gateway's client. A payout's id is its idempotency key, so paying it twice pays once."""

    #: For the table that GATEWAY_TABLE names: an item per payout, with every call for it.
    client: DynamoDBClient
    #: For the switch that GATEWAY_SWITCH names: `none`, `down` (refuses), or `mute` (pays but never responds);
    #: `down:MEMBER,MEMBER` limits the outage to some members.
    parameters: SSMProvider

    def pay(self, payout: RewardPayout) -> None:
        """Pay unless it is already paid.

        Raises
        ------
        GatewayDownError
            If the gateway is out of service.
        """
        outage = self._outage_for(payout.member_id)
        started = time.time()
        time.sleep(CALL_SECONDS)
        self._record(payout, started, time.time(), refused=outage == "down")
        if outage == "down":
            raise GatewayDownError(f"the payment gateway did not pay {payout.payout_id}: out of service")
        if outage == "mute":
            time.sleep(_HANG_SECONDS)

    def _outage_for(self, member_id: str) -> str:
        switch = str(self.parameters.get(os.environ["GATEWAY_SWITCH"], max_age=_SWITCH_MAX_AGE) or "none")
        outage, _, members = switch.partition(":")
        return outage if not members or member_id in members.split(",") else "none"

    def _record(self, payout: RewardPayout, started: float, ended: float, *, refused: bool) -> None:
        call = {
            "began": {"N": f"{started:.4f}"},
            "ended": {"N": f"{ended:.4f}"},
            "refused": {"BOOL": refused},
        }
        paid = "" if refused else ", paid_minor = if_not_exists(paid_minor, :amount)"
        amount = {} if refused else {":amount": {"N": str(payout.amount_minor)}}
        self.client.update_item(
            TableName=os.environ["GATEWAY_TABLE"],
            Key={"payout_id": {"S": payout.payout_id}},
            UpdateExpression=f"SET calls = list_append(if_not_exists(calls, :none), :call){paid}",
            ExpressionAttributeValues={":none": {"L": []}, ":call": {"L": [{"M": call}]}, **amount},
        )
