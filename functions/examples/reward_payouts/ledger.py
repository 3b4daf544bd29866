"""The ledger of reward payouts: an entry per payout and a balance per member, in DynamoDB.

Used by the reward payouts consumer. The entry also makes a payout count once, no matter how often its message is
delivered.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from examples.reward_payouts.contract import RewardPayout

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class PayoutConflictError(Exception):
    """The ledger has a payout with this id but another member, amount, or currency."""

    def __init__(self, payout_id: str) -> None:
        super().__init__(
            f"Expected payout {payout_id} to match its ledger entry, found another member, amount, or currency. "
            "It was not paid again. Find out who sends two payouts under one id."
        )


@dataclass(frozen=True, slots=True)
class RewardLedger:
    """The ledger and the members' balances."""

    #: For the tables that LEDGER_TABLE and BALANCES_TABLE name.
    client: DynamoDBClient

    def holds(self, payout: RewardPayout) -> bool:
        """Return whether the ledger has the payout.

        Raises
        ------
        PayoutConflictError
            If the ledger has another payout with this id.
        """
        found = self.client.get_item(
            TableName=os.environ["LEDGER_TABLE"],
            Key={"payout_id": {"S": payout.payout_id}},
            ConsistentRead=True,
        ).get("Item")
        if found is None:
            return False
        if any(found.get(name) != value for name, value in _fields(payout).items()):
            raise PayoutConflictError(payout.payout_id)
        return True

    def enter(self, payout: RewardPayout, campaign_id: str) -> None:
        """Record a payout and add it to the member's balance, both or neither, and only once.

        Raises
        ------
        PayoutConflictError
            If another payout was recorded under this id in the meantime.
        """
        entry = _fields(payout) | {
            "campaign_id": {"S": campaign_id},
            "entered_at": {"S": datetime.now(UTC).isoformat()},
        }
        try:
            self.client.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": os.environ["LEDGER_TABLE"],
                            "Item": entry,
                            "ConditionExpression": "attribute_not_exists(payout_id)",
                        }
                    },
                    {
                        "Update": {
                            "TableName": os.environ["BALANCES_TABLE"],
                            "Key": {"member_id": {"S": payout.member_id}},
                            "UpdateExpression": "ADD #currency :amount",
                            "ExpressionAttributeNames": {"#currency": payout.currency},
                            "ExpressionAttributeValues": {":amount": {"N": str(payout.amount_minor)}},
                        }
                    },
                ]
            )
        except self.client.exceptions.TransactionCanceledException as error:
            reasons = error.response.get("CancellationReasons", [])
            # If the condition failed, a concurrent attempt at the same message recorded it. Any other reason
            # (throttling, a conflicting transaction) is worth a retry.
            if not reasons or reasons[0].get("Code") != "ConditionalCheckFailed" or not self.holds(payout):
                raise


def _fields(payout: RewardPayout) -> dict[str, Any]:
    return {
        "payout_id": {"S": payout.payout_id},
        "member_id": {"S": payout.member_id},
        "amount_minor": {"N": str(payout.amount_minor)},
        "currency": {"S": payout.currency},
    }
