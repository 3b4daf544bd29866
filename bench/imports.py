"""Measures this app's share of a cold start: importing a handler, compared with importing boto3 and creating a client.

Used by `bench.measurements`.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

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
_BOTO3 = "import boto3; boto3.client('sqs')"
_ROUNDS = 15
_SECONDS = 60


def ratios() -> dict[str, float]:
    """Return each handler module's import time as a multiple of importing boto3 and creating a client.

    Processor time in fresh processes with warm bytecode caches.
    """
    for handler in HANDLERS:
        _seconds(f"import {handler}")
    return compared(HANDLERS, lambda handler: _seconds(f"import {handler}"), lambda: _seconds(_BOTO3), _ROUNDS)


def compared(
    names: tuple[str, ...], ours: Callable[[str], float], theirs: Callable[[], float], rounds: int
) -> dict[str, float]:
    """Return how many times as long each of ours takes as theirs: the median of the rounds.

    A machine's speed changes with what else it does, by half and within seconds. So theirs is measured before and after
    each of ours, and each of ours is compared with the mean of those two.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        before = theirs()
        for name in names:
            seconds, after = ours(name), theirs()
            found[name].append(2 * seconds / (before + after))
            before = after
    return {name: float(statistics.median(times)) for name, times in found.items()}


def _seconds(statement: str) -> float:
    program = (
        "import json, time; started = time.process_time(); "
        f"{statement}; "
        "print(json.dumps({'seconds': time.process_time() - started}))"
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
