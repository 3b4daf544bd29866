"""The runs table: which run holds a queue's lock, how far each lane is, and which messages are kept invisible.

Used by every step that changes a run's state. A DynamoDB table with the keys `pk` and `sk`:

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
dlq#ARN            lock                        the run that holds the queue's lock; `stop` asks it to end
dlq#ARN            automatic                   the automatic runs on the queue
trigger#ID         automatic                   the execution that handles an alarm's or a schedule's event
run#ID             lane#LANE                   checkpoint of the lane's current slice
run#ID             held#TIME#LANE#N            messages kept invisible until the run ends
run#ID             undeleted#LANE#ROUND#N      messages sent but possibly not deleted
run#ID             metrics#STEP                marker: the step's counts were published
=================  ==========================  ==================================================
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from redrive.domain.automatic.limits import Record
from redrive.domain.errors import LockLostError
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunPlan

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The maximum retention of a queue. After that, a run's records are useless.
_RETENTION_SECONDS = 14 * 24 * 3600
# A record takes about 450 bytes, and an item can hold 400 KB (DynamoDB developer guide, "Quotas").
_RECORDS_PER_ITEM = 500
_IDS_PER_ITEM = 5000


class MetricsClaimError(Exception):
    """DynamoDB didn't say whether a step's counts were published before; the text is the error's code."""


class RunTable:
    """The runs table."""

    def __init__(self, name: str, client: DynamoDBClient | None = None) -> None:
        self._name = name
        self._client: DynamoDBClient = client or boto3.client("dynamodb")

    # The lock

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        """Take the queue's lock.

        Parameters
        ----------
        plan : RunPlan
            The run that wants it.
        instead_of : str | None
            ARN of an ended execution whose lock the run takes over.

        Returns
        -------
        str | None
            None if the run now holds the lock, otherwise the ARN of the execution that holds it.
        """
        condition = "attribute_not_exists(pk) OR runId = :run"
        values: dict[str, Any] = {":run": {"S": plan.run_id}}
        if instead_of is not None:
            condition += " OR executionArn = :dead"
            values[":dead"] = {"S": instead_of}
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"dlq#{plan.dlq.arn}",
                    "lock",
                    runId={"S": plan.run_id},
                    executionArn={"S": plan.execution_arn},
                    startedAt={"N": str(plan.started_at)},
                ),
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            holder: str = error.response["Item"]["executionArn"]["S"]  # type: ignore[typeddict-item]
            return holder
        return None

    def unlock(self, plan: RunPlan) -> None:
        """Release the lock if this run holds it."""
        try:
            self._client.delete_item(
                TableName=self._name,
                Key=self._key(f"dlq#{plan.dlq.arn}", "lock"),
                ConditionExpression="runId = :run",
                ExpressionAttributeValues={":run": {"S": plan.run_id}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # Another run considered this one dead and took over the lock.
            return

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether an operator asked the run to stop.

        Raises
        ------
        LockLostError
            If the run doesn't hold the queue's lock and must not move any messages.
        """
        lock = self._get(f"dlq#{plan.dlq.arn}", "lock") or {}
        if lock.get("runId", {}).get("S") != plan.run_id:
            raise LockLostError(
                f"Expected the run {plan.run_id} to hold the lock of {plan.dlq.name}, but it doesn't. "
                "The run moves no more messages; start a new run."
            )
        return bool(lock.get("stop", {}).get("BOOL", False))

    def ask_to_stop(self, dlq_arn: str) -> str | None:
        """Ask the run that holds the queue's lock to stop; return its id, or None if there is none."""
        try:
            response = self._client.update_item(
                TableName=self._name,
                Key=self._key(f"dlq#{dlq_arn}", "lock"),
                UpdateExpression="SET stop = :yes",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        run_id: str = response["Attributes"]["runId"]["S"]
        return run_id

    # Lanes

    def interrupted(self, plan: RunPlan, work: LaneWork) -> SliceResult | None:
        """Return the checkpoint of an earlier attempt at the slice, if there was one.

        The messages that it had in hand count as possible duplicates.
        """
        item = self._get(f"run#{plan.run_id}", f"lane#{work.lane:03}")
        if item is None or int(item["round"]["N"]) != work.round:
            return None
        return _with_in_hand(*_checkpoint_in(item))

    def unfinished(self, plan: RunPlan, round_: int) -> list[SliceResult]:
        """Return the lanes' checkpoints of a round that was interrupted before it was tallied."""
        return [
            _with_in_hand(*_checkpoint_in(item))
            for item in self._of_run(plan, "lane#")
            if int(item["round"]["N"]) == round_
        ]

    def checkpoint(self, plan: RunPlan, work: LaneWork, result: SliceResult, in_hand: int) -> None:
        """Record how far a slice is."""
        self._client.put_item(
            TableName=self._name,
            Item=self._item(
                f"run#{plan.run_id}",
                f"lane#{work.lane:03}",
                round={"N": str(work.round)},
                result={"S": result.model_dump_json()},
                inHand={"N": str(in_hand)},
            ),
        )

    def record_held(self, plan: RunPlan, work: LaneWork, records: Sequence[HeldRecord]) -> None:
        """Record messages that stay invisible, with the receipt handles that release them.

        The sort key starts with the time, because only the latest handle of a message is valid, whichever lane has it.
        """
        now = time.time_ns()
        for index, chunk in enumerate(batched(records, _RECORDS_PER_ITEM, strict=False)):
            packed = zlib.compress(json.dumps([astuple(record) for record in chunk]).encode())
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{plan.run_id}",
                    f"held#{now:020}#{work.lane:03}#{index:04}",
                    records={"B": packed},
                ),
            )

    def record_undeleted(self, plan: RunPlan, work: LaneWork, message_ids: Sequence[str]) -> None:
        """Record messages that were sent and may still be in the dead-letter queue."""
        for index, chunk in enumerate(batched(message_ids, _IDS_PER_ITEM, strict=False)):
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{plan.run_id}",
                    f"undeleted#{work.lane:03}#{work.round:06}#{index:04}",
                    ids={"B": zlib.compress(json.dumps(chunk).encode())},
                ),
            )

    def undeleted(self, plan: RunPlan) -> list[str]:
        """Return the ids of messages that slices sent but possibly didn't delete."""
        return [
            message_id
            for item in self._of_run(plan, "undeleted#")
            for message_id in json.loads(zlib.decompress(item["ids"]["B"]))
        ]

    def held(self, plan: RunPlan) -> list[HeldRecord]:
        """Return each message that the run keeps invisible, with its latest receipt handle."""
        records: dict[str, HeldRecord] = {}
        for item in self._of_run(plan, "held#"):
            for values in json.loads(zlib.decompress(item["records"]["B"])):
                record = HeldRecord(*values)
                records[record.message_id] = record
        return list(records.values())

    # Metrics

    def claim_metrics(self, run_id: str, step: str) -> bool:
        """Return whether to publish the counts of a step: True only for the first call.

        Raises
        ------
        MetricsClaimError
            If DynamoDB can't be asked.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(f"run#{run_id}", f"metrics#{step}"),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except ClientError as error:
            raise MetricsClaimError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise MetricsClaimError(type(error).__name__) from error
        return True

    # Automatic runs

    def holder(self, dlq_arn: str) -> str | None:
        """Return the ARN of the execution that holds the queue's lock, or None if none does."""
        lock = self._get(f"dlq#{dlq_arn}", "lock")
        return lock["executionArn"]["S"] if lock else None

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        """Claim the trigger; return whether no other execution claimed it before."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(f"trigger#{trigger_id}", "automatic", executionArn={"S": execution_arn}),
                ConditionExpression="attribute_not_exists(pk) OR executionArn = :me",
                ExpressionAttributeValues={":me": {"S": execution_arn}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def automatic(self, dlq_arn: str) -> tuple[Record, int]:
        """Return the record of a queue's automatic runs and its version; version 0 if there is no record yet."""
        item = self._get(f"dlq#{dlq_arn}", "automatic")
        if item is None:
            return Record(), 0
        return Record.model_validate_json(item["record"]["S"]), int(item["version"]["N"])

    def note_automatic(self, dlq_arn: str, record: Record, version: int) -> bool:
        """Write the record unless it has changed since that version; return whether it was written."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"dlq#{dlq_arn}",
                    "automatic",
                    record={"S": record.model_dump_json()},
                    version={"N": str(version + 1)},
                ),
                ConditionExpression="attribute_not_exists(pk) OR version = :known",
                ExpressionAttributeValues={":known": {"N": str(version)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        response = self._client.get_item(TableName=self._name, Key=self._key(pk, sk), ConsistentRead=True)
        return response.get("Item")

    def _of_run(self, plan: RunPlan, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": f"run#{plan.run_id}"}, ":sk": {"S": prefix}},
        )
        for page in pages:
            yield from page.get("Items", [])

    def _key(self, pk: str, sk: str) -> dict[str, Any]:
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    def _item(self, pk: str, sk: str, **values: Any) -> dict[str, Any]:
        return self._key(pk, sk) | values | {"expiresAt": {"N": str(int(time.time()) + _RETENTION_SECONDS)}}


def _checkpoint_in(item: dict[str, Any]) -> tuple[SliceResult, int]:
    return SliceResult.model_validate_json(item["result"]["S"]), int(item["inHand"]["N"])


def _with_in_hand(result: SliceResult, in_hand: int) -> SliceResult:
    return result.model_copy(update={"duplicates_possible": result.duplicates_possible + in_hand})
