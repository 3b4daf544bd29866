"""The sample events in events/, brought to the present, and the handlers that take them.

Used by the tests that run each handler as Lambda would: with the environment that template.yaml gives it.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from tests.support.definitions import ROOT, Function

EVENTS = ROOT / "events"
ACCOUNT = "https://sqs.us-east-1.amazonaws.com/123456789012"
# What the template's environment variables hold where the sample events are at home.
VALUES = {
    "RUN_TABLE": "redrive-runs",
    "QUARANTINE_QUEUE_URL": f"{ACCOUNT}/redrive-quarantine",
    "QUARANTINE_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:redrive-quarantine",
    "QUEUE_CONTRACTS": "store-events=store-event,email-tasks=email-task,rewards.fifo=reward-payout",
    "SLICE_SECONDS": "10",
    "FUNCTION_NAME_PATTERNS": "redrive-*",
    "STATE_MACHINE_NAME_PATTERNS": "",
    "SLACK_WEBHOOK_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:slack-webhook-AbCdEf",
    "CHAT_TOPIC": "arn:aws:sns:us-east-1:123456789012:redrive-chat",
    "REDRIVE_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:redrive",
    "AUTOMATIC_RUN_INPUT": '{"rate": 10}',
    "AUTOMATIC_AFTER_MINUTES": "5",
    "AUTOMATIC_DELAY_MINUTES": "15",
    "AUTOMATIC_MAX_RUNS": "3",
    "QUEUE_URL": f"{ACCOUNT}/store-events",
    "EVENTS_TABLE": "store-events",
    "OUTAGE_PARAMETER": "store-events-outage",
    "EMAIL_TASKS_QUEUE_URL": f"{ACCOUNT}/email-tasks",
    "EMAIL_TASKS_TABLE": "email-tasks",
    "EMAIL_SENDER": "no-reply@example.com",
    "SHIPMENTS_TABLE": "shipments",
    "REWARDS_QUEUE_URL": f"{ACCOUNT}/rewards.fifo",
    "LEDGER_TABLE": "rewards-ledger",
    "BALANCES_TABLE": "rewards-balances",
    "GATEWAY_TABLE": "payment-gateway",
    "GATEWAY_SWITCH": "payment-gateway-switch",
    "NOTICE_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:store-events-notice",
    "POWERTOOLS_SERVICE_NAME": "tests",
}


@dataclass
class Context:
    """What Lambda tells a handler of its invocation."""

    seconds_left: float = 180.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def sample(name: str) -> Any:
    """Return a sample event whose run starts just now, so that what is in the queues was there before."""
    event = json.loads((EVENTS / f"{name}.json").read_text())
    now = datetime.now(UTC)
    if "execution" in event:
        event["execution"]["startedAt"] = now.isoformat()
    if "detail" in event.get("trigger", {}):
        event["trigger"]["detail"]["state"]["timestamp"] = now.isoformat()
    if event.get("plan"):
        event["plan"]["startedAt"] = int(now.timestamp() * 1000) + 1
    return event


def load(function: Function, context: Context | None = None) -> Callable[[Any], Any]:
    """Return a function's handler, loaded anew with the environment that the template gives it."""
    others = {name: value for name, value in os.environ.items() if name not in VALUES}
    told = {name: VALUES[name] for name in function.variables}
    with patch.dict(os.environ, others | told, clear=True):
        handler = importlib.reload(importlib.import_module(function.module)).handler

    def invoke(event: Any) -> Any:
        with patch.dict(os.environ, others | told, clear=True):
            # Lambda reads and writes JSON.
            return json.loads(json.dumps(handler(json.loads(json.dumps(event)), context or Context())))

    return invoke


def name_of(function: Function) -> str:
    """Return what the sample events of a function are called."""
    return function.module.rsplit(".", 1)[-1].replace("_", "-")
