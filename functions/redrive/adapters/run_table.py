"""The table of runs: who may move letters of a queue, how far each lane is, which letters are kept invisible.

Used by the handlers that change what a run knows. One DynamoDB table, keyed by `pk` and `sk`:

=================  ==========================  ==================================================
pk                 sk                          what
=================  ==========================  ==================================================
dlq#ARN            lock                        the run that has the queue; `stop` asks it to end
dlq#ARN            automatic                   the runs that started by themselves on the queue
trigger#ID         automatic                   the execution that handles an alarm's or a schedule's event
run#ID             lane#LANE                   counts of the lane's present slice
run#ID             held#TIME#LANE#N            letters kept invisible until the run ends
run#ID             undeleted#LANE#ROUND#N      letters sent but perhaps not deleted
run#ID             metrics#STEP                that the counts of a step were published
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

from redrive.domain.automation import Record
from redrive.domain.errors import LockLostError
from redrive.domain.lane import HeldRecord
from redrive.domain.runs import LaneWork, RunPlan, SliceResult

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The longest retention of a queue: what a run left behind is of no use after that.
_KEEP_SECONDS = 14 * 24 * 3600
# About 450 bytes a record; an item holds 400 KB (DynamoDB developer guide, "Quotas").
_RECORDS_AN_ITEM = 500
_IDS_AN_ITEM = 5000


class RunTable:
    """The table of runs."""

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
            ARN of the execution whose lock is taken over, since it is known to have ended.

        Returns
        -------
        str | None
            None where the run has the lock now, else the ARN of the execution that has it.
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
        """Give the lock back, if this run has it."""
        try:
            self._client.delete_item(
                TableName=self._name,
                Key=self._key(f"dlq#{plan.dlq.arn}", "lock"),
                ConditionExpression="runId = :run",
                ExpressionAttributeValues={":run": {"S": plan.run_id}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # Not ours: a run that found this one dead has taken it over.
            return

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether an operator asked the run to stop.

        Raises
        ------
        LockLostError
            Where the run does not have the queue's lock: then it must not move anything.
        """
        answer = self._client.get_item(
            TableName=self._name, Key=self._key(f"dlq#{plan.dlq.arn}", "lock"), ConsistentRead=True
        )
        lock = answer.get("Item", {})
        if lock.get("runId", {}).get("S") != plan.run_id:
            raise LockLostError(
                f"Expected the run {plan.run_id} to hold the lock of {plan.dlq.name}, but it does not. "
                "Nothing more is moved; start a new run."
            )
        return bool(lock.get("stop", {}).get("BOOL", False))

    def ask_to_stop(self, dlq_arn: str) -> str | None:
        """Ask the run that has the queue to stop; return its id, or None where no run has it."""
        try:
            answer = self._client.update_item(
                TableName=self._name,
                Key=self._key(f"dlq#{dlq_arn}", "lock"),
                UpdateExpression="SET stop = :yes",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        run_id: str = answer["Attributes"]["runId"]["S"]
        return run_id

    # Lanes

    def interrupted(self, plan: RunPlan, work: LaneWork) -> SliceResult | None:
        """Return what an earlier attempt at the slice had counted, if there was one.

        What it had in hand may be delivered twice, and is counted so.
        """
        answer = self._client.get_item(
            TableName=self._name,
            Key=self._key(f"run#{plan.run_id}", f"lane#{work.lane:03}"),
            ConsistentRead=True,
        )
        item = answer.get("Item")
        if item is None or int(item["round"]["N"]) != work.round:
            return None
        return _with_in_hand(*_told(item))

    def unfinished(self, plan: RunPlan, round_: int) -> list[SliceResult]:
        """Return what the lanes wrote down in a round that was not added up, since it broke off."""
        return [
            _with_in_hand(*_told(item))
            for item in self._of_run(plan, "lane#")
            if int(item["round"]["N"]) == round_
        ]

    def note_progress(self, plan: RunPlan, work: LaneWork, result: SliceResult, in_hand: int) -> None:
        """Write down how far a slice is."""
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

    def note_held(self, plan: RunPlan, work: LaneWork, records: Sequence[HeldRecord]) -> None:
        """Write down letters that stay invisible, with the handles that release them.

        The time leads the sort key: of two handles of a letter the later one counts, whichever lane has it.
        """
        now = time.time_ns()
        for place, chunk in enumerate(batched(records, _RECORDS_AN_ITEM, strict=False)):
            packed = zlib.compress(json.dumps([astuple(record) for record in chunk]).encode())
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{plan.run_id}",
                    f"held#{now:020}#{work.lane:03}#{place:04}",
                    records={"B": packed},
                ),
            )

    def note_undeleted(self, plan: RunPlan, work: LaneWork, message_ids: Sequence[str]) -> None:
        """Write down letters that were sent and may still be in the dead-letter queue."""
        for place, chunk in enumerate(batched(message_ids, _IDS_AN_ITEM, strict=False)):
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{plan.run_id}",
                    f"undeleted#{work.lane:03}#{work.round:06}#{place:04}",
                    ids={"B": zlib.compress(json.dumps(chunk).encode())},
                ),
            )

    def undeleted(self, plan: RunPlan) -> list[str]:
        """Return the ids of letters that slices sent but perhaps did not delete."""
        return [
            message_id
            for item in self._of_run(plan, "undeleted#")
            for message_id in json.loads(zlib.decompress(item["ids"]["B"]))
        ]

    def held(self, plan: RunPlan) -> list[HeldRecord]:
        """Return the letters that the run keeps invisible, each once, with its latest handle."""
        records: dict[str, HeldRecord] = {}
        for item in self._of_run(plan, "held#"):
            for told in json.loads(zlib.decompress(item["records"]["B"])):
                record = HeldRecord(*told)
                records[record.message_id] = record
        return list(records.values())

    # Metrics

    def claim_metrics(self, run_id: str, step: str) -> bool:
        """Return True to the first who asks whether to publish the counts of a step of the run."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(f"run#{run_id}", f"metrics#{step}"),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    # Runs that start by themselves

    def holder(self, dlq_arn: str) -> str | None:
        """Return the ARN of the execution that has the queue's lock, or None where none has it."""
        lock = self._get(f"dlq#{dlq_arn}", "lock")
        return lock["executionArn"]["S"] if lock else None

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        """Return whether no other execution has taken up the trigger; from now on this one has."""
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
        """Return the record of a queue's automatic runs with its version, 0 where there is none yet."""
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
        answer = self._client.get_item(TableName=self._name, Key=self._key(pk, sk), ConsistentRead=True)
        return answer.get("Item")

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
        return self._key(pk, sk) | values | {"expiresAt": {"N": str(int(time.time()) + _KEEP_SECONDS)}}


def _told(item: dict[str, Any]) -> tuple[SliceResult, int]:
    return SliceResult.model_validate_json(item["result"]["S"]), int(item["inHand"]["N"])


def _with_in_hand(result: SliceResult, in_hand: int) -> SliceResult:
    return result.model_copy(update={"duplicates_possible": result.duplicates_possible + in_hand})
