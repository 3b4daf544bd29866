"""The books of the reward payouts: an entry for each payout and a balance for each member, in DynamoDB.

Used by the reward payouts consumer; the entry is also what makes a payout count once, however often its
message comes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from contracts.reward_payout import RewardPayout

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class PayoutConflictError(Exception):
    """A payout is in the ledger already, but with another member or amount."""

    def __init__(self, payout_id: str) -> None:
        super().__init__(
            f"expected the payout {payout_id} as it is in the ledger, found another member, amount or "
            "currency; it was not paid again. Find out who sends two payouts under one id."
        )


@dataclass(frozen=True, slots=True)
class RewardLedger:
    """The ledger and the members' balances.

    Attributes
    ----------
    client : DynamoDBClient
        Where the tables are that LEDGER_TABLE and BALANCES_TABLE name.
    """

    client: DynamoDBClient

    def holds(self, payout: RewardPayout) -> bool:
        """Return whether the payout was entered before.

        Raises
        ------
        PayoutConflictError
            Where another payout was entered under its id.
        """
        found = self.client.get_item(
            TableName=os.environ["LEDGER_TABLE"],
            Key={"payout_id": {"S": payout.payout_id}},
            ConsistentRead=True,
        ).get("Item")
        if found is None:
            return False
        if any(found.get(name) != value for name, value in _told(payout).items()):
            raise PayoutConflictError(payout.payout_id)
        return True

    def enter(self, payout: RewardPayout, campaign_id: str) -> None:
        """Enter a payout and add it to the member's balance: both or neither, and only once.

        Raises
        ------
        PayoutConflictError
            Where another payout was entered under its id meanwhile.
        """
        entry = _told(payout) | {
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
            # Another attempt at the same message was faster, and has entered it; any other reason (throttled,
            # a conflict with another transaction) is worth another attempt.
            if not reasons or reasons[0].get("Code") != "ConditionalCheckFailed" or not self.holds(payout):
                raise


def _told(payout: RewardPayout) -> dict[str, Any]:
    return {
        "payout_id": {"S": payout.payout_id},
        "member_id": {"S": payout.member_id},
        "amount_minor": {"N": str(payout.amount_minor)},
        "currency": {"S": payout.currency},
    }
