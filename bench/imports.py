"""The part of a cold start that is ours: importing a handler, against importing boto3 and making one client.

Used by `bench.measurements`.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from bench import measured

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"
HANDLERS = (
    *(f"redrive.handlers.{name}" for name in ("plan", "sample", "move", "tally", "settle", "report", "stop")),
    "consumers.store_events_consumer",
    "consumers.store_events_producer",
    "consumers.email_tasks_consumer",
    "consumers.email_tasks_producer",
    "consumers.shipment_notices",
    "consumers.store_events_notice",
)
_RUNS = 9
_SECONDS = 60


def ratios() -> dict[str, float]:
    """Return, by handler module, how many times as long as boto3 and a client its import takes.

    Every run is a process of its own, with bytecode caches warm; the two that are compared alternate, and
    medians are taken.
    """
    return {handler: _ratio(f"import {handler}") for handler in HANDLERS}


def _ratio(statement: str) -> float:
    _seconds(statement)
    pairs = [(_seconds(statement), _seconds("import boto3; boto3.client('sqs')")) for _ in range(_RUNS)]
    ours, theirs = zip(*pairs, strict=True)
    return float(statistics.median(ours) / statistics.median(theirs))


def _seconds(statement: str) -> float:
    program = (
        "import json, time; began = time.perf_counter(); "
        f"{statement}; "
        "print(json.dumps({'seconds': time.perf_counter() - began}))"
    )
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(_FUNCTIONS),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "QUARANTINE_QUEUE_ARN": "arn:aws:sqs:us-east-1:000000000000:quarantine",
        "QUARANTINE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/quarantine",
        "QUEUE_CONTRACTS": "store-events=store-event",
        "RUN_TABLE": "runs",
        "SLICE_SECONDS": "60",
        "OUTAGE_PARAMETER": "outage",
        "EVENTS_TABLE": "events",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/store-events",
        "EMAIL_TASKS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/email-tasks",
        "EMAIL_TASKS_TABLE": "email-tasks",
        "EMAIL_SENDER": "no-reply@example.com",
        "SHIPMENTS_TABLE": "shipments",
        "REPORT_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:reports",
    }
    return float(measured.run([sys.executable, "-c", program], environment, _SECONDS).told["seconds"])
