"""Measures this app's share of a cold start: importing a handler, compared with importing boto3 and creating a client.

Used by `bench.measurements`.
"""

from __future__ import annotations

import statistics
import sys

from bench import measured

HANDLERS = (
    *(f"redrive.handlers.{name}" for name in ("coordinator", "sampler", "mover", "stop")),
    "examples.store_events.consumer",
    "examples.store_events.producer",
    "examples.email_tasks.consumer",
    "examples.email_tasks.producer",
    "examples.shipment_notices.consumer",
    "examples.store_events.notice",
)
_RUNS = 9
_SECONDS = 60


def ratios() -> dict[str, float]:
    """Return each handler module's import time as a multiple of importing boto3 and creating a client.

    Each import runs in a separate process with warm bytecode caches. The two alternate, and the medians are compared.
    """
    return {handler: _ratio(f"import {handler}") for handler in HANDLERS}


def _ratio(statement: str) -> float:
    _seconds(statement)
    pairs = [(_seconds(statement), _seconds("import boto3; boto3.client('sqs')")) for _ in range(_RUNS)]
    ours, theirs = zip(*pairs, strict=True)
    return float(statistics.median(ours) / statistics.median(theirs))


def _seconds(statement: str) -> float:
    program = (
        "import json, time; started = time.perf_counter(); "
        f"{statement}; "
        "print(json.dumps({'seconds': time.perf_counter() - started}))"
    )
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "QUARANTINE_QUEUE_ARN": "arn:aws:sqs:us-east-1:000000000000:quarantine",
        "QUARANTINE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/quarantine",
        "QUEUE_CONTRACTS": "store-events=python:examples.store_events.contract:STORE_EVENT",
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
    finished = measured.run([sys.executable, "-c", program], measured.environment(**variables), _SECONDS)
    return float(finished.result["seconds"])
