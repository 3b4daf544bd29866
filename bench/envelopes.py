"""Measures the time to unwrap and judge one message, for each envelope and each type of contract.

`bench.measurements` runs it in a separate process.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import messages
from examples.store_events.contract import STORE_EVENT, StoreEvent
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.judging.authority import Authority
from redrive.domain.judging.judge import FindContract, Judge
from redrive.domain.messages.destinations import Destination, function
from redrive.domain.messages.message import MAX_BYTES, ReceivedMessage
from redrive.domain.messages.opening import open_message
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import FORMAT, RunPlan
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection

_SAMPLES = Path(__file__).resolve().parent.parent / "events" / "messages"
_CALLS = 2_000
_ROUNDS = 5
_QUEUE = QueueRef(
    name="orders", arn="arn:aws:sqs:us-east-1:1:orders", url="https://sqs/1/orders", fifo=False, max_bytes=MAX_BYTES
)
_STARTED_AT = 1_990_000_000_000
_REPAIR = {"setAttributes": {"event_id": {"type": "String", "from": "event_id"}}}


class _AllowAll:
    """Allows every destination, because the recorded messages come from several accounts."""

    def destination(self, arn: str, _home: str) -> Destination:
        return function(arn, "function")


def microseconds(calls: int = _CALLS) -> dict[str, dict[str, float]]:
    """Return microseconds of processor time per message, by type of message; `calls` are timed together.

    `json_loads` only parses the body, `unwrap` opens the message, and `verdict` does everything that a lane does before
    it sends the message.
    """
    rows = {}
    for path in sorted(_SAMPLES.glob("*.json")):
        sample = json.loads(path.read_text())
        rows[path.stem] = _row(ReceivedMessage.from_sqs(sample["message"]), _judge(), calls)
    event = ReceivedMessage.from_sqs(_store_event())
    schema = SchemaContract("schema", StoreEvent.model_json_schema())
    rows |= {
        "store event, no contract": _row(event, _judge(), calls),
        "store event, pydantic contract": _row(event, _judge(lambda _: STORE_EVENT), calls),
        "store event, JSON Schema contract": _row(event, _judge(lambda _: schema), calls),
        "store event, selected by JMESPath": _row(event, _judge(select=Selection(jmespath="gender == 'F'")), calls),
        "store event, attribute repaired": _row(event, _judge(repair=Repair.model_validate(_REPAIR)), calls),
    }
    return rows


def _row(message: ReceivedMessage, judge: Judge, calls: int) -> dict[str, float]:
    return {
        "json_loads": _each(lambda: _parsed(message.body), calls),
        "unwrap": _each(lambda: open_message(message), calls),
        "verdict": _each(lambda: judge(message), calls),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _each(call: Callable[[], Any], calls: int) -> float:
    """Return the microseconds per call: the median of several rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            call()
        rounds.append((time.process_time() - started) / calls)
    return round(1e6 * statistics.median(rounds), 1)


def _judge(find_contract: FindContract = lambda _: None, **changes: Any) -> Judge:
    plan = RunPlan(
        format=FORMAT,
        run_id="bench",
        execution_arn="arn:aws:states:us-east-1:1:execution:redrive:bench",
        started_at=_STARTED_AT,
        dlq=_QUEUE,
        sources=(_QUEUE,),
        destination=None,
        request=RedriveRequest(dlq="orders-dlq", **changes),
        quarantine=_QUEUE.model_copy(update={"arn": "arn:aws:sqs:us-east-1:1:quarantine", "url": "https://sqs/1/q"}),
        rate=50,
        retention=1_209_600,
        waiting=100,
    )
    delivery_policy: Any = _AllowAll()
    authority = Authority(plan, lambda _: _QUEUE, delivery_policy, lambda claim: claim.destination)
    return Judge(plan, find_contract, authority, frozenset(), lambda _id, _error: None)


def _store_event() -> dict[str, Any]:
    return {
        "MessageId": "00000000-0000-4000-8000-000000000001",
        "ReceiptHandle": "handle",
        "Body": messages.store_event(1),
        "Attributes": {
            "SentTimestamp": "1790000000000",
            "ApproximateReceiveCount": "3",
            "DeadLetterQueueSourceArn": _QUEUE.arn,
        },
        "MessageAttributes": {"store_id": {"DataType": "Number", "StringValue": "3"}},
    }


if __name__ == "__main__":
    print(json.dumps(microseconds()))
