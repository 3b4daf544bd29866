"""Plays the payment gateway that rewards are paid by: slow, small, and sometimes down.

Called by the reward payouts consumer. It writes down every call with its begin and end, so that the load on
it can be measured afterwards: calls in any second, and calls at the same time.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SSMProvider

from contracts.reward_payout import RewardPayout

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Seconds that a call takes.
CALL_SECONDS = 0.04
# Seconds for which the state of the gateway is believed.
_SWITCH_MAX_AGE = 1
# Longer than any function may run.
_FOR_EVER_SECONDS = 900


class GatewayDownError(Exception):
    """The payment gateway answers that it is out of service."""


@dataclass(frozen=True, slots=True)
class PaymentGateway:
    """The gateway as a client sees it. A payout's id is its idempotency key: paying twice pays once.

    Attributes
    ----------
    client : DynamoDBClient
        Where the table is that GATEWAY_TABLE names: an item for each payout, with all calls for it.
    parameters : SSMProvider
        Where the switch is that GATEWAY_SWITCH names: `none`, or what is wrong (`down`: it refuses; `mute`:
        it pays, but its answer never comes), and for whom (`down:MEMBER,MEMBER`; for all without members).
    """

    client: DynamoDBClient
    parameters: SSMProvider

    def pay(self, payout: RewardPayout) -> None:
        """Pay, unless it is paid already.

        Raises
        ------
        GatewayDownError
            Where the gateway refuses.
        """
        trouble = self._trouble_of(payout.member_id)
        began = time.time()
        time.sleep(CALL_SECONDS)
        self._write_down(payout, began, time.time(), refused=trouble == "down")
        if trouble == "down":
            raise GatewayDownError(f"the payment gateway did not pay {payout.payout_id}: out of service")
        if trouble == "mute":
            time.sleep(_FOR_EVER_SECONDS)

    def _trouble_of(self, member_id: str) -> str:
        switch = str(self.parameters.get(os.environ["GATEWAY_SWITCH"], max_age=_SWITCH_MAX_AGE) or "none")
        trouble, _, members = switch.partition(":")
        return trouble if not members or member_id in members.split(",") else "none"

    def _write_down(self, payout: RewardPayout, began: float, ended: float, *, refused: bool) -> None:
        call = {
            "began": {"N": f"{began:.4f}"},
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
