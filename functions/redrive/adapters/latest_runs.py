"""The latest run on each queue, which `redrive.adapters.run_records` keeps among the records of runs.

`redrive queues` shows it, and reads nothing else of the runs table. So it needs no model of a run, whose import would
take longer than the requests.
"""

from __future__ import annotations

from contextlib import suppress
from copy import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from redrive.adapters.error_codes import DENIED
from redrive.adapters.executions import RUNNING, open_executions
from redrive.adapters.table import ROW_FORMAT, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from redrive.adapters.account import Account
    from redrive.adapters.stack import Stack

_LATEST = "runs#(latest)"
_NOT_ENDED = "-"


class LatestRun(NamedTuple):
    """The latest run on a queue."""

    run_id: str
    started_at: datetime
    #: How it ended; None if its record doesn't say that it has.
    status: str | None

    @property
    def is_on(self) -> bool:
        """Whether Step Functions says that it's in progress."""
        return self.status == RUNNING


def latest_by_queue(account: Account, stack: Stack) -> dict[str, LatestRun]:
    """Return the latest run on each queue, by the queue's name. A run in progress has the status `RUNNING`."""
    found = LatestRuns(stack.run_table, account.client("dynamodb")).all()
    unknown = {queue: run for queue, run in found.items() if run.status is None}
    if not unknown:
        return found
    try:
        on = set(open_executions(account.client("stepfunctions"), stack.state_machine_arn))
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            raise
        return found
    is_on = {queue: run for queue, run in unknown.items() if stack.execution_arn(run.run_id) in on}
    return found | {queue: replace(run, status=RUNNING) for queue, run in is_on.items()}


class LatestRuns(Table):
    """The latest run on each queue that had a plan: rejected runs don't count.

    Parameters
    ----------
    name : str
        The runs table.
    client : DynamoDBClient
        A client to share.
    days : int
        How many days it is kept, as in `RunRecords`.
    """

    def __init__(self, name: str, client: DynamoDBClient, *, days: int = 90) -> None:
        super().__init__(name, client)
        self._retention_seconds = days * 24 * 3600

    def keep(self, queue: str, place: str, status: str | None) -> None:
        """Record a run as the latest on a queue, unless a later one is recorded.

        Parameters
        ----------
        queue : str
            Name of the dead-letter queue.
        place : str
            The sort key of its record: its start and its id.
        status : str | None
            How it ended; None until then.
        """
        values = {":place": {"S": place}, ":status": {"S": status or _NOT_ENDED}}
        values |= {":expires": self._expires_at(), ":format": {"N": str(ROW_FORMAT)}}
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._name,
                Key=self._key(_LATEST, queue),
                UpdateExpression="SET place = :place, #status = :status, expiresAt = :expires, #format = :format",
                ConditionExpression="attribute_not_exists(place) OR place <= :place",
                ExpressionAttributeNames={"#status": "status", "#format": "format"},
                ExpressionAttributeValues=values,
            )

    def all(self) -> dict[str, LatestRun]:
        """Return the latest run on each queue by the queue's name, in one query."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": _LATEST}},
        )
        items = (item for page in pages for item in page.get("Items", []))
        return {
            item["sk"]["S"]: _latest(item["place"]["S"], item["status"]["S"])
            for item in items
            if "place" in item and "status" in item
        }


def _latest(place: str, status: str) -> LatestRun:
    started, _, run_id = place.partition("#")
    return LatestRun(run_id, datetime.fromisoformat(started), None if status == _NOT_ENDED else status)
