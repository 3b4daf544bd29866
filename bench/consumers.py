"""Measures the consumers' overhead: processor time and DynamoDB writes per message, beyond their actual work.

Used by `bench.measurements`, and by `bench.consumer_worker`, which runs one consumer in a separate process.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import batched
from typing import Any

from bench import measured, messages

_MESSAGES = 2_000
_COUNTED = 50
_ROUNDS = 3
_SECONDS = 120
_BATCH = 10


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer and its actual work."""

    #: The handler's module.
    module: str
    #: Functions that do the actual work, such as sending an email; replaced by stubs while time is measured.
    work: tuple[str, ...]
    #: DynamoDB writes per message that are actual work, as opposed to idempotency records.
    writes_of_work: int
    #: Creates the event for messages with these numbers.
    event: Callable[[tuple[int, ...]], Any]
    #: Messages per event.
    batch: int = _BATCH

    def events(self, count: int) -> list[Any]:
        """Return events with `count` messages in total."""
        return [self.event(numbers) for numbers in batched(range(count), self.batch, strict=False)]


def _records(body: Callable[[int], str], attributes: dict[str, dict[str, str]]) -> Callable[[tuple[int, ...]], Any]:
    def event(numbers: tuple[int, ...]) -> Any:
        return {
            "Records": [
                {
                    "messageId": f"message-{number}",
                    "receiptHandle": f"handle-{number}",
                    "body": body(number),
                    "messageAttributes": attributes,
                    "eventSource": "aws:sqs",
                    "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:bench.fifo",
                    "attributes": {"MessageGroupId": str(number)},
                }
                for number in numbers
            ]
        }

    return event


def _task(number: int) -> str:
    return json.dumps(
        {
            "recipient_email": "success@simulator.amazonses.com",
            "subject": "Welcome to our service!",
            "body": "Thank you for signing up. " * 8,
            "task_id": f"bench-{number:08}",
        }
    )


def _payout(number: int) -> str:
    return json.dumps(
        {
            "payout_id": f"bench-{number:08}",
            "member_id": f"member-{number}",
            "amount_minor": 1250,
            "currency": "EUR",
        }
    )


def _notice(numbers: tuple[int, ...]) -> Any:
    return {
        "shipment_id": f"bench-{numbers[0]:08}",
        "order_id": "order-1",
        "carrier": "post",
        "recipient_name": "Ada Lovelace",
        "shipped_at": "2026-05-04T10:11:12+00:00",
    }


CONSUMERS = (
    Consumer(
        "examples.store_events.consumer",
        ("_record",),
        1,
        _records(messages.store_event, {"store_id": {"stringValue": "3", "dataType": "Number"}}),
    ),
    Consumer(
        "examples.email_tasks.consumer",
        ("_ses.send_email",),
        0,
        _records(_task, {"type": {"stringValue": "email", "dataType": "String"}}),
    ),
    # The gateway stands in for an external service and records each call, which is one write. The balance is the other.
    Consumer(
        "examples.reward_payouts.consumer",
        ("_gateway", "_ledger"),
        2,
        _records(_payout, {"campaign_id": {"stringValue": "spring", "dataType": "String"}}),
    ),
    Consumer("examples.shipment_notices.consumer", ("_check_tracking", "_add"), 1, _notice, batch=1),
)


def overheads() -> dict[str, dict[str, float]]:
    """Return microseconds and DynamoDB writes per message, by module.

    Measures the processor time of the handler without its work, and of a loop that only calls `json.loads` on the same
    messages; medians of several rounds. Requests go to a local endpoint that accepts everything.
    """
    rows = {}
    with _endpoint() as (address, requests):
        for consumer in CONSUMERS:
            runs = [_run(consumer, address, _MESSAGES, "time") for _ in range(_ROUNDS)]
            requests.clear()
            _run(consumer, address, _COUNTED, "count")
            # The transactions write two items each.
            writes = sum(requests[operation] for operation in ("PutItem", "UpdateItem", "DeleteItem"))
            writes += 2 * requests["TransactWriteItems"]
            rows[consumer.module] = {
                "microseconds": round(statistics.median(run["handler"] for run in runs), 1),
                "json_loads_microseconds": round(statistics.median(run["loop"] for run in runs), 2),
                "writes": writes / _COUNTED,
                "extra_writes": writes / _COUNTED - consumer.writes_of_work,
            }
    return rows


def _run(consumer: Consumer, address: str, count: int, mode: str) -> dict[str, float]:
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": address,
        "AWS_MAX_ATTEMPTS": "1",
        "POWERTOOLS_SERVICE_NAME": "bench",
        "EVENTS_TABLE": "events",
        "OUTAGE_PARAMETER": "outage",
        "EMAIL_TASKS_TABLE": "email-tasks",
        "EMAIL_SENDER": "no-reply@example.com",
        "SHIPMENTS_TABLE": "shipments",
        "LEDGER_TABLE": "ledger",
        "BALANCES_TABLE": "balances",
        "GATEWAY_TABLE": "gateway",
        "GATEWAY_SWITCH": "switch",
    }
    command = [sys.executable, "-m", "bench.consumer_worker", consumer.module, str(count), mode]
    return measured.run(command, measured.environment(**variables), _SECONDS).result


class _Accepting(BaseHTTPRequestHandler):
    """Responds to every request with success, and counts the requests."""

    protocol_version = "HTTP/1.1"
    # Send a response's head and body in one packet; otherwise, each waits for an acknowledgment.
    wbufsize = 65_536
    requests: Counter[str]

    def do_POST(self) -> None:
        """Respond to an AWS API request."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "SendEmail").rpartition(".")[2]
        self.requests[operation] += 1
        response = {
            "GetParameter": {"Parameter": {"Name": "outage", "Type": "String", "Value": "none"}},
            "SendEmail": {"MessageId": "message"},
        }.get(operation, {})
        body = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def _endpoint() -> Iterator[tuple[str, Counter[str]]]:
    """Yield the address of an endpoint, and its requests by operation."""
    requests: Counter[str] = Counter()
    handler = type("Accepting", (_Accepting,), {"requests": requests})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
