"""Reads and writes items of the DynamoDB table of runs.

Subclassed by the adapters that say what is in the items: run table, checkpoints, rate shares, message facts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from redrive.aws_session import aws_client
from redrive.domain.errors import FormatError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A lane waits for its heartbeat, so a request that isn't answered must not take longer than the lane's lease.
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 4})


def dynamodb_client() -> DynamoDBClient:
    """Return a client that all tables of a process, and all their threads, can share."""
    return aws_client("dynamodb", config=_CONFIG)


# The format of the items that outlive a run: locks, receipt handles, messages that weren't deleted, counts by message.
# Later versions must read it, because runs that began before an update have left such items. 1 is also what has none.
ROW_FORMAT = 1


class Table:
    """A table with the keys `pk` and `sk`, whose items expire.

    Parameters
    ----------
    name : str
        Its name.
    client : DynamoDBClient | None
        Makes the requests; None to create one with the first request, for who may need none.
    """

    # The maximum retention of a queue. After that, a run's records are useless.
    _retention_seconds = 14 * 24 * 3600

    def __init__(self, name: str, client: DynamoDBClient | None = None) -> None:
        self._name = name
        self._given = client

    @cached_property
    def _client(self) -> DynamoDBClient:
        return self._given or dynamodb_client()

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        response = self._client.get_item(TableName=self._name, Key=self._key(pk, sk), ConsistentRead=True)
        return self._readable(response["Item"]) if "Item" in response else None

    def _find(self, pk: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield the items whose sort key begins with the prefix, in the order of their sort keys."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": pk}, ":sk": {"S": prefix}},
        )
        for page in pages:
            yield from map(self._readable, page.get("Items", []))

    def _readable(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an item unless a later version has written it that keeps something else in it.

        Raises
        ------
        FormatError
            If so: what it says about messages must not be ignored.
        """
        found = int(item.get("format", {}).get("N", ROW_FORMAT))
        if found > ROW_FORMAT:
            raise FormatError(
                f"Expected rows of the format {ROW_FORMAT} in the runs table, found {found}, which a later version of "
                "this app has written. Deploy that version again, and let its runs end before you go back to this one."
            )
        return item

    def _key(self, pk: str, sk: str) -> dict[str, Any]:
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    def _item(self, pk: str, sk: str, **values: Any) -> dict[str, Any]:
        return self._key(pk, sk) | values | {"expiresAt": self._expires_at(), "format": {"N": str(ROW_FORMAT)}}

    def _expires_at(self) -> dict[str, str]:
        return {"N": str(int(time.time()) + self._retention_seconds)}
