"""What the benchmarks send requests to: a stand-in for SQS, the embedded cloud for all else, and full queues.

`bench.__main__` opens one for all measurements.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import Any, Self

from bench import messages
from bench.stand_in import Call
from local.embedded_cloud import EmbeddedCloud
from local.workspace import ROOT

# Seconds by which the stand-in delays each request: about a round trip to SQS within a Region.
DELAY_SECONDS = 0.010
_FILLERS = 8


@dataclass(frozen=True, slots=True)
class Queues:
    """A dead-letter queue, its source queue, and a quarantine."""

    source: str
    dlq: str
    quarantine: str
    source_url: str
    dlq_url: str
    quarantine_url: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What the stand-in has done since the last `take`."""

    calls: list[Call]
    #: Its processor time. It has one thread, so this can't exceed the elapsed time.
    cpu_seconds: float


class Endpoint:
    """The stand-in for SQS, and the embedded cloud for all other services.

    Examples
    --------
    >>> with Endpoint.open() as endpoint, endpoint.queues(1000) as queues:
    ...     print(endpoint.depth(queues.dlq_url))
    1000
    """

    def __init__(self, cloud: EmbeddedCloud, stand_in: subprocess.Popen[str]) -> None:
        assert stand_in.stdout is not None
        self.cloud = cloud
        self._stand_in = stand_in
        self._sqs_url = f"http://127.0.0.1:{int(stand_in.stdout.readline())}"
        self.sqs: Any = cloud.client("sqs", endpoint_url=self._sqs_url)
        self.run_table = f"runs-{uuid.uuid4().hex[:8]}"
        self.cloud.client("dynamodb").create_table(
            TableName=self.run_table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """Start both and stop them at the end."""
        with EmbeddedCloud.start() as cloud, stand_in(DELAY_SECONDS) as process:
            yield cls(cloud, process)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point AWS SDKs to both."""
        return self.cloud.environment | {"AWS_ENDPOINT_URL_SQS": self._sqs_url}

    @contextmanager
    def queues(self, count: int, *, everything: bool = False) -> Iterator[Queues]:
        """Create queues, fill the dead-letter queue with `count` messages, and delete the queues at the end."""
        with filled_queues(self.sqs, count, everything=everything) as queues:
            self.take()
            yield queues

    def depth(self, url: str) -> int:
        """Return the number of messages in a queue of the stand-in, including invisible ones."""
        return depth(self.sqs, url)

    def take(self) -> Taken:
        """Return what the stand-in has done since the last `take`."""
        taken = self._command("take")
        return Taken([Call(*fields) for fields in taken["calls"]], taken["cpu_seconds"])

    def fail_next_entry(self, url: str) -> None:
        """Make one entry of the next SendMessageBatch to a queue fail."""
        self._command(f"fail {url}")

    def _command(self, command: str) -> dict[str, Any]:
        assert self._stand_in.stdin is not None
        assert self._stand_in.stdout is not None
        self._stand_in.stdin.write(f"{command}\n")
        self._stand_in.stdin.flush()
        response: dict[str, Any] = json.loads(self._stand_in.stdout.readline())
        return response


@contextmanager
def stand_in(delay: float) -> Iterator[subprocess.Popen[str]]:
    """Start a stand-in for SQS that delays each request by `delay` seconds. It prints its port first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.stand_in", str(delay)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def filled_queues(sqs: Any, count: int, *, everything: bool = False) -> Iterator[Queues]:
    """Create queues, fill the dead-letter queue with `count` messages, and delete the queues at the end.

    Parameters
    ----------
    sqs : Any
        A client of the endpoint to create them on.
    count : int
        Number of messages.
    everything : bool
        Whether the messages have everything that a message can have.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    quarantine_url = sqs.create_queue(QueueName=f"{name}-quarantine")["QueueUrl"]
    dlq_url = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    source_url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    try:
        _fill(sqs, dlq_url, count, everything=everything)
        yield Queues(name, f"{name}-dlq", f"{name}-quarantine", source_url, dlq_url, quarantine_url)
    finally:
        for url in (source_url, dlq_url, quarantine_url):
            sqs.delete_queue(QueueUrl=url)


def _fill(sqs: Any, url: str, count: int, *, everything: bool) -> None:
    def send(numbers: tuple[int, ...]) -> None:
        entries = [messages.entry(number, everything=everything) for number in numbers]
        response = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert len(response.get("Successful", [])) == len(entries), response

    with ThreadPoolExecutor(_FILLERS) as pool:
        list(pool.map(send, batched(range(count), 10, strict=False)))


def depth(sqs: Any, url: str) -> int:
    """Return the number of messages in a queue, including invisible ones."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    visible, in_flight = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
    return int(attributes[visible]) + int(attributes[in_flight])
