"""What the consumers cost beside their work: processor time and DynamoDB writes for each message.

Used by `bench.measurements`, and by `bench.consumer_worker`, which runs one consumer in a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import batched
from pathlib import Path
from typing import Any

from bench import measured, messages

_ROOT = Path(__file__).resolve().parent.parent
_MESSAGES = 2_000
_COUNTED = 50
_ROUNDS = 3
_SECONDS = 120
_BATCH = 10


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer, and what is its work.

    Attributes
    ----------
    module : str
        The module of its handler.
    work : tuple[str, ...]
        What does its work, such as sending an e-mail; replaced by nothing while time is taken.
    writes_of_work : int
        DynamoDB writes for each message that are its work, and not there to do it only once.
    event : Callable[[tuple[int, ...]], Any]
        Makes the event with the messages of these numbers.
    batch : int
        Messages in an event.
    """

    module: str
    work: tuple[str, ...]
    writes_of_work: int
    event: Callable[[tuple[int, ...]], Any]
    batch: int = _BATCH

    def events(self, count: int) -> list[Any]:
        """Return events with so many messages."""
        return [self.event(numbers) for numbers in batched(range(count), self.batch, strict=False)]


def _records(
    body: Callable[[int], str], attributes: dict[str, dict[str, str]]
) -> Callable[[tuple[int, ...]], Any]:
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
        "consumers.store_events_consumer",
        ("_back_office",),
        1,
        _records(messages.store_event, {"store_id": {"stringValue": "3", "dataType": "Number"}}),
    ),
    Consumer(
        "consumers.email_tasks_consumer",
        ("_ses.send_email",),
        0,
        _records(_task, {"type": {"stringValue": "email", "dataType": "String"}}),
    ),
    # The gateway plays a dependency, and its books are a write of its own; the balance is the other.
    Consumer(
        "consumers.reward_payouts_consumer",
        ("_gateway", "_ledger"),
        2,
        _records(_payout, {"campaign_id": {"stringValue": "spring", "dataType": "String"}}),
    ),
    Consumer("consumers.shipment_notices", ("_ask_tracking", "_enter"), 1, _notice, batch=1),
)


def overheads() -> dict[str, dict[str, float]]:
    """Return microseconds and DynamoDB writes for each message, by module.

    Processor time is that of the handler without its work, and of a loop that only calls `json.loads` on the
    same messages; medians of rounds. Requests go to an endpoint on this machine that accepts everything.
    """
    rows = {}
    with _endpoint() as (address, requests):
        for consumer in CONSUMERS:
            runs = [_run(consumer, address, _MESSAGES, "time") for _ in range(_ROUNDS)]
            requests.clear()
            _run(consumer, address, _COUNTED, "count")
            # A transaction here writes two items.
            writes = sum(requests[operation] for operation in ("PutItem", "UpdateItem", "DeleteItem"))
            writes += 2 * requests["TransactWriteItems"]
            rows[consumer.module] = {
                "microseconds": round(statistics.median(run["handler"] for run in runs), 1),
                "json_loads_microseconds": round(statistics.median(run["loop"] for run in runs), 2),
                "writes": writes / _COUNTED,
                "extra_writes": writes / _COUNTED - consumer.writes_of_work,
            }
    return rows


def _run(consumer: Consumer, address: str, count: int, what: str) -> dict[str, float]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "functions")]),
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
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
    command = [sys.executable, "-m", "bench.consumer_worker", consumer.module, str(count), what]
    return measured.run(command, environment, _SECONDS).told


class _Accepting(BaseHTTPRequestHandler):
    """Answers whatever is asked as the service does where all goes well, and counts."""

    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one packet; otherwise each waits for an acknowledgement.
    wbufsize = 65_536
    requests: Counter[str]

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "SendEmail").rpartition(".")[2]
        self.requests[operation] += 1
        told = {
            "GetParameter": {"Parameter": {"Name": "outage", "Type": "String", "Value": "none"}},
            "SendEmail": {"MessageId": "message"},
        }.get(operation, {})
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def _endpoint() -> Iterator[tuple[str, Counter[str]]]:
    """Return the address of an endpoint, and its requests by operation."""
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
