"""The rewards example in an account of moto's: queue, tables and switch, and payouts to put in.

Used by the integration tests of its consumer and by those that run every handler with its sample event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3

from redrive.domain.messages.queues import QueueRef
from tests.support.moto_cloud import MotoCloud
from tests.support.samples import VALUES

KEYS = {"LEDGER_TABLE": "payout_id", "BALANCES_TABLE": "member_id", "GATEWAY_TABLE": "payout_id"}


@dataclass(frozen=True)
class Rewards:
    """The example's resources."""

    queue: QueueRef
    dlq: QueueRef

    def kind(self, switch: str) -> None:
        """Set the payment gateway's switch."""
        boto3.client("ssm").put_parameter(Name=VALUES["GATEWAY_SWITCH"], Value=switch, Type="String", Overwrite=True)

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return the items of a table, named as in the consumer's environment."""
        return list(boto3.resource("dynamodb").Table(VALUES[table]).scan()["Items"])

    def balances(self) -> dict[str, int]:
        """Return what each member was paid in minor units of the euro."""
        return {item["member_id"]: int(item["EUR"]) for item in self.items("BALANCES_TABLE")}

    def calls(self) -> dict[str, int]:
        """Return the number of calls to the payment gateway, by payout."""
        return {item["payout_id"]: len(item["calls"]) for item in self.items("GATEWAY_TABLE")}


def make_rewards(cloud: MotoCloud) -> Rewards:
    """Make queue, tables and switch."""
    for name, key in KEYS.items():
        cloud.table(VALUES[name], key)
    dlq = cloud.queue("rewards-dlq.fifo")
    rewards = Rewards(cloud.queue("rewards.fifo", dlq=dlq), dlq)
    rewards.kind("none")
    return rewards


def payout(number: int = 1, member: int = 1, **changes: Any) -> str:
    """Return the body of a payout."""
    body = {
        "payout_id": f"payout-{number}",
        "member_id": f"member-{member}",
        "amount_minor": 100 * number,
        "currency": "EUR",
    }
    return json.dumps(body | changes)


def campaign(value: str = "spring") -> dict[str, dict[str, Any]]:
    """Return the message attributes of a payout, as SQS spells them."""
    return {"campaign_id": {"DataType": "String", "StringValue": value}}


def record(
    body: str, group: str, attributes: dict[str, dict[str, Any]] | None = None, message_id: str | None = None
) -> dict[str, Any]:
    """Return a record as Lambda hands it to the consumer."""
    attributes = campaign() if attributes is None else attributes
    return {
        "messageId": message_id or f"message-{abs(hash((body, group)))}",
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": "1"},
        "messageAttributes": {
            name: {key[0].lower() + key[1:]: value for key, value in attribute.items()}
            for name, attribute in attributes.items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:rewards.fifo",
        "awsRegion": "us-east-1",
    }
