"""Makes letters, messages, plans and store events for tests; each takes only what the test is about."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime
from typing import Any

from redrive.domain.destinations import Allowed
from redrive.domain.judging import Judge
from redrive.domain.letters import Letter
from redrive.domain.planning import QueueFacts
from redrive.domain.runs import Execution, LaneWork, OnInvalid, QueueRef, RunPlan

STARTED_AT = 1_760_000_000_000
_numbers = itertools.count(1)


def queue(name: str = "orders") -> QueueRef:
    return QueueRef(
        name=name,
        arn=f"arn:aws:sqs:us-east-1:123456789012:{name}",
        url=f"https://sqs.us-east-1.amazonaws.com/123456789012/{name}",
        fifo=name.endswith(".fifo"),
    )


def plan(**changes: Any) -> RunPlan:
    told: dict[str, Any] = {
        "run_id": "run-1",
        "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:redrive:run-1",
        "started_at": STARTED_AT,
        "dlq": queue("orders-dlq"),
        "sources": (queue(),),
        "destination": None,
        "quarantine_url": queue("quarantine").url,
        "dry_run": False,
        "rate": 50,
        "asked_rate": 50,
        "ceiling": None,
        "max_messages": None,
        "sample_size": 10,
        "on_invalid": OnInvalid.QUARANTINE,
        "max_redrives": 3,
        "retention": 1_209_600,
        "waiting": 100,
    }
    return RunPlan(**(told | changes))


def facts(**changes: Any) -> QueueFacts:
    told: dict[str, Any] = {
        "waiting": 100,
        "in_flight": 0,
        "delayed": 0,
        "retention": 1_209_600,
        "has_redrive_policy": False,
    }
    return QueueFacts(**(told | changes))


def execution(name: str = "run-1") -> Execution:
    return Execution(
        id=f"arn:aws:states:us-east-1:123456789012:execution:redrive:{name}",
        name=name,
        started_at=datetime.fromtimestamp(STARTED_AT / 1000, UTC),
    )


def work(**changes: Any) -> LaneWork:
    told: dict[str, Any] = {"lane": 0, "round": 0, "rate": 50, "quota": None}
    return LaneWork(**(told | changes))


def judge(plan: RunPlan) -> Judge:
    """Return the judge of a run whose queues have no contracts."""
    return Judge(plan, lambda _: None, lambda _: None, Allowed(), time.monotonic)


def string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def message(
    body: str = "hello",
    *,
    message_id: str | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    system: dict[str, str] | None = None,
    sent_at: int = STARTED_AT - 60_000,
    source: str | None = "orders",
) -> dict[str, Any]:
    """Return a message as ReceiveMessage returns it."""
    number = next(_numbers)
    told = {"SentTimestamp": str(sent_at), "ApproximateReceiveCount": "1"}
    if source is not None:
        told["DeadLetterQueueSourceArn"] = queue(source).arn
    answer: dict[str, Any] = {
        "MessageId": message_id or f"00000000-0000-4000-8000-{number:012}",
        "ReceiptHandle": f"handle-{number}",
        "Body": body,
        "Attributes": told | (system or {}),
    }
    if attributes:
        answer["MessageAttributes"] = attributes
    return answer


def letter(body: str = "hello", **told: Any) -> Letter:
    return Letter.from_message(message(body, **told))


def store_event(**changes: Any) -> str:
    told = {
        "event_id": "event-1",
        "name": "Shifter",
        "dob": "1945-10-17",
        "gender": "F",
        "ssn_no": "396144610",
        "data_share_consent": False,
        "evnt_time": "2021-02-06T18:56:59.165483",
    }
    return json.dumps(told | changes)


def store_id(value: str = "3") -> dict[str, dict[str, Any]]:
    return {"store_id": {"DataType": "Number", "StringValue": value}}
