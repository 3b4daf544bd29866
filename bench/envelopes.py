"""What it costs to unwrap and judge one letter, for each envelope and each kind of contract.

Used by `bench.measurements`, which runs it as a program in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.json_schema import SchemaContract
from contracts.store_event import STORE_EVENT, StoreEvent
from redrive.domain.destinations import Destination, Kind
from redrive.domain.envelopes import unwrap
from redrive.domain.judging import FindContract, Judge
from redrive.domain.letters import Letter
from redrive.domain.repair import Repair
from redrive.domain.runs import OnInvalid, QueueRef, RunPlan
from redrive.domain.selection import Selection

_LETTERS = Path(__file__).resolve().parent.parent / "events" / "letters"
_CALLS = 2_000
_ROUNDS = 5
_QUEUE = QueueRef(name="orders", arn="arn:aws:sqs:us-east-1:1:orders", url="https://sqs/1/orders", fifo=False)
_STARTED_AT = 1_990_000_000_000
_REPAIR = {"setAttributes": {"store": {"type": "Number", "from": "event_id"}}}


class _Anything:
    """Allows every destination: the recorded letters come from several accounts."""

    def destination(self, arn: str, _home: str) -> Destination:
        return Destination(Kind.FUNCTION, arn, "function")


def microseconds(calls: int = _CALLS) -> dict[str, dict[str, float]]:
    """Return microseconds of processor time for one letter, by what it is; `calls` are timed together.

    `json_loads` is what parsing its body alone costs, `unwrap` is the recognition, `verdict` everything that
    a lane does with it before it is sent.
    """
    rows = {}
    for path in sorted(_LETTERS.glob("*.json")):
        told = json.loads(path.read_text())
        rows[path.stem] = _row(Letter.from_message(told["message"]), _judge(), calls)
    event = Letter.from_message(_store_event())
    schema = SchemaContract("schema", StoreEvent.model_json_schema())
    rows |= {
        "store event, no contract": _row(event, _judge(), calls),
        "store event, pydantic contract": _row(event, _judge(lambda _: STORE_EVENT), calls),
        "store event, JSON Schema contract": _row(event, _judge(lambda _: schema), calls),
        "store event, selected by JMESPath": _row(
            event, _judge(select=Selection(jmespath="gender == 'F'")), calls
        ),
        "store event, attribute repaired": _row(event, _judge(repair=Repair.model_validate(_REPAIR)), calls),
    }
    return rows


def _row(letter: Letter, judge: Judge, calls: int) -> dict[str, float]:
    return {
        "json_loads": _each(lambda: _parsed(letter.body), calls),
        "unwrap": _each(lambda: unwrap(letter), calls),
        "verdict": _each(lambda: judge(letter), calls),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _each(call: Callable[[], Any], calls: int) -> float:
    """Return the microseconds of one call: the median of rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            call()
        rounds.append((time.process_time() - began) / calls)
    return round(1e6 * statistics.median(rounds), 1)


def _judge(find_contract: FindContract = lambda _: None, **changes: Any) -> Judge:
    plan = RunPlan(
        run_id="bench",
        execution_arn="arn:aws:states:us-east-1:1:execution:redrive:bench",
        started_at=_STARTED_AT,
        dlq=_QUEUE,
        sources=(_QUEUE,),
        destination=None,
        quarantine_url="https://sqs/1/quarantine",
        dry_run=False,
        rate=50,
        asked_rate=50,
        ceiling=None,
        max_messages=None,
        sample_size=10,
        on_invalid=OnInvalid.QUARANTINE,
        max_redrives=3,
        retention=1_209_600,
        waiting=100,
        **changes,
    )
    allowed: Any = _Anything()
    return Judge(plan, find_contract, lambda _: _QUEUE, allowed, time.monotonic)


def _store_event() -> dict[str, Any]:
    body = {
        "event_id": "1",
        "name": "Shifter",
        "dob": "1945-10-17",
        "gender": "F",
        "ssn_no": "396144610",
        "data_share_consent": False,
        "evnt_time": "2021-02-06T18:56:59.165483",
    }
    return {
        "MessageId": "00000000-0000-4000-8000-000000000001",
        "ReceiptHandle": "handle",
        "Body": json.dumps(body),
        "Attributes": {
            "SentTimestamp": "1790000000000",
            "ApproximateReceiveCount": "3",
            "DeadLetterQueueSourceArn": _QUEUE.arn,
        },
        "MessageAttributes": {"store_id": {"DataType": "Number", "StringValue": "3"}},
    }


if __name__ == "__main__":
    print(json.dumps(microseconds()))
