"""What lanes record: how far a slice is, whose it is, and what a later slice, run, or step must know.

Used by the steps that move messages, plan a run, and clean up. The items are in the table of runs, whose keys
`redrive.adapters.run_table` lists.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Any

from redrive.adapters.table import Table
from redrive.domain.errors import SupersededError
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunIdentity, RunPlan
from redrive.workflow.ports import Checkpoint, Taken

# A record takes about 450 bytes, and an item can hold 400 KB (DynamoDB developer guide, "Quotas").
_RECORDS_PER_ITEM = 500
_IDS_PER_ITEM = 5000
# What a clean-up writes in place of an attempt.
_NOBODY = "clean-up"


class Checkpoints(Table):
    """The checkpoints of lanes, the messages that they keep invisible, and those that they may not have deleted."""

    def take(self, plan: RunPlan, work: LaneWork, attempt: str) -> Taken:
        """Take the lane's place, and return how far an earlier attempt at the slice got.

        An earlier attempt that still runs can't write another checkpoint from now on.
        """
        item = self._fence(plan, work.lane, attempt)
        if _round_of(item) != work.round:
            return Taken()
        finished = _is_finished(item)
        return Taken(_result_in(item), interrupted=not finished, finished=finished)

    def checkpoint(self, plan: RunPlan, work: LaneWork, attempt: str, reached: Checkpoint) -> None:
        """Record how far a slice is.

        Raises
        ------
        SupersededError
            If another attempt has taken the lane's place.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{plan.run_id}",
                    f"lane#{work.lane:03}",
                    attempt={"S": attempt},
                    round={"N": str(work.round)},
                    result={"S": reached.result.model_dump_json()},
                    inHand={"N": str(reached.in_hand)},
                    granted={"N": str(reached.granted)},
                    finished={"BOOL": reached.finished},
                ),
                ConditionExpression="attempt = :me",
                ExpressionAttributeValues={":me": {"S": attempt}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise SupersededError(
                f"Expected this attempt to have lane {work.lane} of the run {plan.run_id}, but another attempt or the "
                "clean-up has taken its place. This one moves no more messages; nothing needs to be done."
            ) from None

    def fence(self, plan: RunIdentity, round_: int) -> bool:
        """Take the place of every lane that hasn't finished its slice of a round; return whether there are any."""
        lanes = [item for item in self._lanes(plan, round_) if not _is_finished(item)]
        for item in lanes:
            self._fence(plan, int(item["sk"]["S"].removeprefix("lane#")), _NOBODY)
        return bool(lanes)

    def unfinished(self, plan: RunIdentity, round_: int) -> list[SliceResult]:
        """Return the lanes' checkpoints of a round that was interrupted before it was tallied."""
        return [_result_in(item) for item in self._lanes(plan, round_)]

    def record_held(self, plan: RunPlan, work: LaneWork, records: Sequence[HeldRecord]) -> None:
        """Record messages that stay invisible, with the receipt handles that release them.

        The sort key starts with the time, because only the latest handle of a message is valid, whichever lane has it.
        """
        now = time.time_ns()
        for index, chunk in enumerate(batched(records, _RECORDS_PER_ITEM, strict=False)):
            packed = _packed(chunk)
            sk = f"held#{now:020}#{work.lane:03}#{index:04}"
            self._client.put_item(TableName=self._name, Item=self._item(f"run#{plan.run_id}", sk, records=packed))

    def held(self, run_id: str) -> list[HeldRecord]:
        """Return each message that a run keeps invisible, with its latest receipt handle."""
        records: dict[str, HeldRecord] = {}
        for item in self._find(f"run#{run_id}", "held#"):
            for values in _unpacked(item["records"]):
                record = HeldRecord(*values)
                records[record.message_id] = record
        return list(records.values())

    def record_sent(self, plan: RunPlan, work: LaneWork, undeleted: Sequence[str], settled: Sequence[str] = ()) -> None:
        """Record messages that were sent and may still be in the dead-letter queue, and those that have left it.

        They are kept by queue, because a later run must not send them again either. With several lanes, a lane counts
        them as possible duplicates by itself.
        """
        now = time.time_ns()
        rows = [(ids, False) for ids in batched(undeleted, _IDS_PER_ITEM, strict=False)]
        rows += [(ids, True) for ids in batched(settled, _IDS_PER_ITEM, strict=False)]
        for index, (ids, left) in enumerate(rows):
            sk = f"undeleted#{now:020}#{work.lane:03}#{index:04}"
            self._record_undeleted(plan, sk, ids=_packed(ids), run_id=plan.run_id, settled=left, counted=work.lanes > 1)

    def adopt_undeleted(self, plan: RunIdentity, run_id: str) -> None:
        """Record what a run of version 0.2 has recorded of such messages as later versions do: by queue."""
        for item in self._find(f"run#{run_id}", "undeleted#"):
            self._record_undeleted(plan, item["sk"]["S"], ids=item["ids"], run_id=run_id, settled=False, counted=False)

    def undeleted(self, plan: RunPlan) -> list[str]:
        """Return the ids of messages that any run sent but possibly didn't delete from the queue."""
        return list(self._undeleted(plan))

    def undeleted_uncounted(self, plan: RunIdentity) -> int:
        """Return how many messages the run sent, may not have deleted, and hasn't counted as possible duplicates."""
        rows = self._undeleted(plan).values()
        return sum(row["runId"]["S"] == plan.run_id and not row["counted"]["BOOL"] for row in rows)

    def _record_undeleted(
        self, plan: RunIdentity, sk: str, *, ids: Any, run_id: str, settled: bool, counted: bool
    ) -> None:
        self._client.put_item(
            TableName=self._name,
            Item=self._item(
                f"dlq#{plan.dlq.arn}",
                sk,
                runId={"S": run_id},
                ids=ids,
                settled={"BOOL": settled},
                counted={"BOOL": counted},
            ),
        )

    def _undeleted(self, plan: RunIdentity) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for item in self._find(f"dlq#{plan.dlq.arn}", "undeleted#"):
            for message_id in _unpacked(item["ids"]):
                if item["settled"]["BOOL"]:
                    found.pop(message_id, None)
                else:
                    found.setdefault(message_id, item)
        return found

    def _lanes(self, plan: RunIdentity, round_: int) -> Iterator[dict[str, Any]]:
        return (item for item in self._find(f"run#{plan.run_id}", "lane#") if _round_of(item) == round_)

    def _fence(self, plan: RunIdentity, lane: int, attempt: str) -> dict[str, Any]:
        return self._client.update_item(
            TableName=self._name,
            Key=self._key(f"run#{plan.run_id}", f"lane#{lane:03}"),
            UpdateExpression="SET attempt = :attempt, expiresAt = :later",
            ExpressionAttributeValues={":attempt": {"S": attempt}, ":later": self._expires_at()},
            ReturnValues="ALL_NEW",
        )["Attributes"]


def _round_of(item: dict[str, Any]) -> int | None:
    """Return the round of a lane's checkpoint; None if the lane hasn't written any."""
    return int(item["round"]["N"]) if "round" in item else None


def _is_finished(item: dict[str, Any]) -> bool:
    """Return whether a lane's slice is finished. Version 0.2 doesn't say."""
    return bool(item.get("finished", {}).get("BOOL"))


def _result_in(item: dict[str, Any]) -> SliceResult:
    """Return what a lane's checkpoint says; if it was interrupted, with what may have happened since."""
    result = SliceResult.as_far_as_readable(json.loads(item["result"]["S"]), SliceResult.from_json_object)
    if _is_finished(item):
        return result
    granted = int(item["granted"]["N"]) if "granted" in item else 0
    return result.model_copy(
        update={
            "duplicates_possible": result.duplicates_possible + int(item["inHand"]["N"]),
            "unaccounted": max(result.unaccounted, granted - result.counts.moved),
        }
    )


def _packed(values: Any) -> dict[str, bytes]:
    return {"B": zlib.compress(json.dumps(values).encode())}


def _unpacked(attribute: Any) -> Any:
    return json.loads(zlib.decompress(attribute["B"]))
