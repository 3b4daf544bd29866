"""The records of runs in the runs table, for people who want to know later what was done, by whom, and why.

The coordinator writes them and the `redrive` command reads them. Runs don't depend on them. They are kept longer than
the other items of `redrive.adapters.run_table`:

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
runs#QUEUE         TIME#RUN                    the record of a run on QUEUE
run#RUN            record                      where the record of the run is
runs#(latest)      QUEUE                       the latest run on the queue that had a plan: id, start, status
=================  ==========================  ==================================================

One query finds the latest runs on all queues (`redrive.adapters.latest_runs`). A record's `day` is the key of an index,
which has no other items. So it takes one query to find the runs of a queue, or of a day. A record is only shown, so
each version reads what it knows from records that other versions wrote.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from redrive.adapters.latest_runs import LatestRuns
from redrive.adapters.table import Table
from redrive.domain.runs.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The index by day.
BY_DAY = "runs-by-day"
# In names of queues, there are no parentheses.
_NO_QUEUE = "(none)"
# Attributes that are text. The others are JSON: numbers as they are, and the same in every tool that shows a table.
_TEXTS = frozenset(
    {"runId", "executionArn", "dlq", "startedAt", "updatedAt", "status", "because", "startedBy"},
)
# Greater than any number of rounds: a record with a report is never overwritten by one without.
_LAST = 10**9


class RunRecords(Table):
    """The records of runs.

    Parameters
    ----------
    name : str
        The runs table.
    client : DynamoDBClient | None
        A client to share.
    days : int
        How many days a record is kept after it was last written. DynamoDB deletes it a few days later at most
        (DynamoDB developer guide, "Using time to live (TTL) in DynamoDB").
    """

    def __init__(self, name: str, client: DynamoDBClient | None = None, *, days: int = 90) -> None:
        super().__init__(name, client)
        self._retention_seconds = days * 24 * 3600
        self._latest = LatestRuns(name, self._client, days=days)

    def keep(self, record: RunRecord) -> None:
        """Write a record, unless a later one of the same run is there already.

        A step that is retried, or that goes on although nobody waits for it anymore, writes an earlier one. The input
        is that of the first execution, and stays.
        """
        queue, place = _place(record)
        sets = {
            name: {"S": value if name in _TEXTS else json.dumps(value)}
            for name, value in record.as_json().items()
            if value is not None
        }
        sets |= {
            "day": {"S": f"{record.started_at.astimezone(UTC):%Y-%m-%d}"},
            "step": {"N": str(record.rounds if record.status is None else _LAST)},
            **{name: value for name, value in self._item(queue, place).items() if name not in {"pk", "sk"}},
        }
        # Some of the names are words of the expression's language.
        names = {f"#{name}": name for name in sets}
        changes = [f"#{name} = :{name}" for name in sets if name != "input"]
        if "input" in sets:
            changes.append("#input = if_not_exists(#input, :input)")
        try:
            self._client.update_item(
                TableName=self._name,
                Key=self._key(queue, place),
                UpdateExpression=f"SET {', '.join(changes)}",
                ConditionExpression="attribute_not_exists(#step) OR #step <= :step",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={f":{name}": value for name, value in sets.items()},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        # A name can be used again 90 days after its execution ended: the latest run of a name is found by it.
        self._client.put_item(
            TableName=self._name,
            Item=self._item(f"run#{record.run_id}", "record", queue={"S": queue}, place={"S": place}),
        )

        if record.plan is not None and record.dlq is not None:
            self._latest.keep(record.dlq, place, record.status)

    def find(self, run_id: str) -> RunRecord | None:
        """Return the record of the latest run with this id, or None."""
        pointer = self._item_at(f"run#{run_id}", "record")
        item = self._item_at(pointer["queue"]["S"], pointer["place"]["S"]) if pointer else None
        return _read(item) if item else None

    def of_queue(self, dlq: str, most: int, day: date | None = None) -> list[RunRecord]:
        """Return the records of the latest runs on a queue (on a day in UTC), newest first."""
        values = {":pk": {"S": f"runs#{dlq}"}}
        if day is None:
            return self._newest("pk = :pk", values, most)
        return self._newest("pk = :pk AND begins_with(sk, :day)", values | {":day": {"S": f"{day:%Y-%m-%d}"}}, most)

    def of_day(self, day: date, most: int) -> list[RunRecord]:
        """Return the records of the latest runs that started on a day in UTC, the newest first."""
        values = {":day": {"S": f"{day:%Y-%m-%d}"}}
        # A reserved word in expressions.
        names = {"#day": "day"}
        return self._newest("#day = :day", values, most, IndexName=BY_DAY, ExpressionAttributeNames=names)

    def _item_at(self, pk: str, sk: str) -> dict[str, Any] | None:
        response = self._client.get_item(TableName=self._name, Key=self._key(pk, sk), ConsistentRead=True)
        return response.get("Item")

    def _newest(self, condition: str, values: dict[str, Any], most: int, **others: Any) -> list[RunRecord]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            PaginationConfig={"MaxItems": most, "PageSize": most},
            **others,
        )
        return [_read(item) for page in pages for item in page.get("Items", [])]


def _place(record: RunRecord) -> tuple[str, str]:
    started = record.started_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"runs#{record.dlq or _NO_QUEUE}", f"{started}#{record.run_id}"


def _read(item: dict[str, Any]) -> RunRecord:
    started, _, run_id = item["sk"]["S"].partition("#")
    queue = item["pk"]["S"].removeprefix("runs#")
    least = {"runId": run_id, "executionArn": run_id, "startedAt": started, "updatedAt": started}
    least["dlq"] = None if queue == _NO_QUEUE else queue
    found = {name: _value(name, item[name]["S"]) for name in _NAMES if "S" in item.get(name, {})}
    with suppress(ValidationError):
        return RunRecord.as_far_as_readable(least | found, RunRecord.from_json_object)
    return RunRecord.as_far_as_readable(found | least, RunRecord.from_json_object)


def _value(name: str, text: str) -> Any:
    try:
        return text if name in _TEXTS else json.loads(text)
    except ValueError:
        return None


_NAMES = frozenset(field.alias or name for name, field in RunRecord.model_fields.items())
