"""Rows of the runs table about single messages: provenance that a message can't carry, and FIFO groups that wait.

Used by the sampler and the mover.

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
sent#ID            provenance                  what a run did with the message of that id
run#ID             blocked#LANE#ROUND          FIFO groups that nothing more is sent of in this run
=================  ==========================  ==================================================

ID is the message id, request id, or execution name that the destination returned.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Mapping
from itertools import batched
from typing import Any

from botocore.exceptions import ClientError

from redrive.adapters.table import Table
from redrive.domain.judging.verdicts import Line
from redrive.domain.moving.results import LaneWork
from redrive.domain.plan.run_plan import RunPlan

# Items of one BatchWriteItem (DynamoDB API reference).
_WRITES_AT_ONCE = 25
# Attempts at what DynamoDB leaves unprocessed, and the first pause between two, in seconds.
_ATTEMPTS = 5
_PAUSE = 0.1


class MessageFacts(Table):
    """The rows of the runs table about single messages."""

    # A queue keeps a message for 14 days at most, and a FIFO dead-letter queue counts again from its arrival there.
    _retention_seconds = 28 * 24 * 3600

    def recall(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the provenance that is recorded under some of at most 100 ids."""
        wanted: Any = {
            self._name: {
                "Keys": [self._key(f"sent#{sent_id}", "provenance") for sent_id in ids],
                "ConsistentRead": True,
            }
        }
        found: dict[str, str] = {}
        for attempt in range(_ATTEMPTS):
            answer = self._client.batch_get_item(RequestItems=wanted)
            for item in map(self._readable, answer["Responses"].get(self._name, [])):
                found[item["pk"]["S"].removeprefix("sent#")] = item["provenance"]["S"]
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return found
            time.sleep(_PAUSE * 2**attempt)
        raise _unprocessed("BatchGetItem")

    def record(self, provenance_by_id: Mapping[str, str]) -> None:
        """Record provenance under the ids that destinations returned."""
        for some in batched(provenance_by_id.items(), _WRITES_AT_ONCE, strict=False):
            self._write([self._item(f"sent#{sent_id}", "provenance", provenance={"S": text}) for sent_id, text in some])

    def record_blocked(self, plan: RunPlan, work: LaneWork, lines: Iterable[Line]) -> None:
        """Record FIFO groups of which a message stays in the dead-letter queue."""
        packed = zlib.compress(json.dumps(sorted(lines, key=str)).encode())
        key = f"blocked#{work.lane:03}#{work.round:06}"
        self._write([self._item(f"run#{plan.run_id}", key, lines={"B": packed})])

    def blocked(self, plan: RunPlan) -> set[Line]:
        """Return the FIFO groups that wait since an earlier slice."""
        return {
            (queue, group)
            for item in self._find(f"run#{plan.run_id}", "blocked#")
            for queue, group in json.loads(zlib.decompress(item["lines"]["B"]))
        }

    def _write(self, items: list[dict[str, Any]]) -> None:
        wanted: Any = {self._name: [{"PutRequest": {"Item": item}} for item in items]}
        for attempt in range(_ATTEMPTS):
            wanted = self._client.batch_write_item(RequestItems=wanted).get("UnprocessedItems")
            if not wanted:
                return
            time.sleep(_PAUSE * 2**attempt)
        raise _unprocessed("BatchWriteItem")


def _unprocessed(operation: str) -> ClientError:
    # DynamoDB answers 200 and leaves items out if the table is throttled.
    error: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "items left unprocessed"}}
    return ClientError(error, operation)
