"""Reads and writes items of the DynamoDB table of runs.

Used by `redrive.adapters.run_table` and `redrive.adapters.checkpoints`, which say what is in the items.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The maximum retention of a queue. After that, a run's records are useless.
_RETENTION_SECONDS = 14 * 24 * 3600
# A lane waits for its heartbeat, so a request that isn't answered must not take longer than the lane's lease.
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 4})


class Table:
    """A table with the keys `pk` and `sk`, whose items expire."""

    def __init__(self, name: str, client: DynamoDBClient | None = None) -> None:
        self._name = name
        self._client: DynamoDBClient = client or boto3.client("dynamodb", config=_CONFIG)

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        response = self._client.get_item(TableName=self._name, Key=self._key(pk, sk), ConsistentRead=True)
        return response.get("Item")

    def _find(self, pk: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield the items whose sort key begins with the prefix, in the order of their sort keys."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": pk}, ":sk": {"S": prefix}},
        )
        for page in pages:
            yield from page.get("Items", [])

    def _key(self, pk: str, sk: str) -> dict[str, Any]:
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    def _item(self, pk: str, sk: str, **values: Any) -> dict[str, Any]:
        return self._key(pk, sk) | values | {"expiresAt": self._expires_at()}

    def _expires_at(self) -> dict[str, str]:
        return {"N": str(int(time.time()) + _RETENTION_SECONDS)}
