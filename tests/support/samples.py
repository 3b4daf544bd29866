"""The sample events in events/, moved to the present, and the handlers that take them.

Used by the tests that run each handler as Lambda does, with the environment that template.yaml gives it.
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
# The values of the template's environment variables in the account that the sample events are from.
VALUES = {
    "RUN_TABLE": "redrive-runs",
    "REQUIRE_REASON": "false",
    "RECORD_DAYS": "90",
    "QUARANTINE_QUEUE_URL": f"{ACCOUNT}/redrive-quarantine",
    "QUARANTINE_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:redrive-quarantine",
    "QUEUE_CONTRACTS": "store-events=python:examples.store_events.contract:STORE_EVENT,"
    "email-tasks=python:examples.email_tasks.contract:EMAIL_TASK,"
    "rewards.fifo=python:examples.reward_payouts.contract:REWARD_PAYOUT",
    "SLICE_SECONDS": "10",
    # Which moto answers in the process.
    "SQS_CLIENT": "boto3",
    "DESTINATION_ARNS": "arn:aws:lambda:us-east-1:123456789012:function:redrive-ShipmentNotices",
    "MOVER_ROLE_IDS": "AIDAIT2UOQQY3AUEKVGXU",
    "SHOW_ERROR_TEXTS": "false",
    "SLACK_WEBHOOK_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:slack-webhook-AbCdEf",
    "SLACK_WEBHOOK_HOSTS": "hooks.slack.com hooks.slack-gov.com",
    "ACCOUNT_ID": "123456789012",
    "REPORT_BUCKET": "redrive-reports",
    "CONSOLE_HOST": "console.aws.amazon.com",
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
    """The context that Lambda passes to a handler, as far as this app reads it."""

    seconds_left: float = 180.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def sample(name: str) -> Any:
    """Return a sample event whose run starts now, after everything in the queues was sent."""
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
    """Return a function's handler, reloaded with the environment that the template gives it."""
    others = {name: value for name, value in os.environ.items() if name not in VALUES}
    given = {name: VALUES[name] for name in function.variables}
    with patch.dict(os.environ, others | given, clear=True):
        handler = importlib.reload(importlib.import_module(function.module)).handler

    def invoke(event: Any) -> Any:
        with patch.dict(os.environ, others | given, clear=True):
            # Lambda reads and writes JSON.
            return json.loads(json.dumps(handler(json.loads(json.dumps(event)), context or Context())))

    return invoke


# Which sample events each handler module takes.
SAMPLES_OF = {
    "redrive.handlers.coordinator": ("plan", "resume", "tally", "clean-up", "report", "report-refused"),
    "redrive.handlers.sampler": ("sample",),
    "redrive.handlers.mover": ("move",),
    "redrive.handlers.stop": ("stop",),
    "redrive.handlers.automatic": ("automatic", "automatic-schedule"),
    "chat.handlers.webhook": ("webhook",),
    "chat.handlers.amazon_q": ("amazon-q",),
    "examples.store_events.producer": ("store-events-producer",),
    "examples.store_events.consumer": ("store-events-consumer",),
    "examples.store_events.notice": ("store-events-notice",),
    "examples.email_tasks.producer": ("email-tasks-producer",),
    "examples.email_tasks.consumer": ("email-tasks-consumer",),
    "examples.reward_payouts.producer": ("reward-payouts-producer",),
    "examples.reward_payouts.consumer": ("reward-payouts-consumer",),
    "examples.shipment_notices.consumer": ("shipment-notices",),
}


def samples_of(function: Function) -> tuple[str, ...]:
    """Return the names of a function's sample events."""
    return SAMPLES_OF[function.module]
