"""The SQS endpoint of the benchmarks: the embedded cloud, a proxy in front of it, and queues full of messages.

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
from pathlib import Path
from typing import Any, Self

from bench import messages
from bench.proxy import Call
from local.embedded_cloud import EmbeddedCloud

# How long the proxy delays each request: about a round trip to SQS within a Region.
DELAY_SECONDS = 0.010
_FILLERS = 4


@dataclass(frozen=True, slots=True)
class Queues:
    """A dead-letter queue, its source queue, and a quarantine."""

    source: str
    dlq: str
    quarantine: str
    source_url: str
    dlq_url: str
    quarantine_url: str


class Endpoint:
    """The embedded cloud and the proxy in front of it.

    Examples
    --------
    >>> with Endpoint.open() as endpoint, endpoint.queues(1000) as queues:
    ...     print(endpoint.depth(queues.dlq_url))
    1000
    """

    def __init__(self, cloud: EmbeddedCloud, proxy: subprocess.Popen[str]) -> None:
        assert proxy.stdout is not None
        self.cloud = cloud
        self._proxy = proxy
        self.proxy_url = f"http://127.0.0.1:{int(proxy.stdout.readline())}"
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
        with EmbeddedCloud.start() as cloud:
            proxy = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("proxy.py")),
                    str(cloud.port),
                    str(DELAY_SECONDS),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                yield cls(cloud, proxy)
            finally:
                proxy.terminate()
                proxy.wait()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point AWS SDKs to the proxy."""
        return self.cloud.environment | {"AWS_ENDPOINT_URL": self.proxy_url}

    @property
    def sqs(self) -> Any:
        """A client that bypasses the proxy."""
        return self.cloud.client("sqs")

    @contextmanager
    def queues(self, count: int, *, everything: bool = False) -> Iterator[Queues]:
        """Create queues with `count` messages in the dead-letter queue, and delete them at the end."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        quarantine_url = self.sqs.create_queue(QueueName=f"{name}-quarantine")["QueueUrl"]
        dlq_url = self.sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
        source_url = self.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
        try:
            self._fill(dlq_url, count, everything=everything)
            self.take_calls()
            yield Queues(name, f"{name}-dlq", f"{name}-quarantine", source_url, dlq_url, quarantine_url)
        finally:
            for url in (source_url, dlq_url, quarantine_url):
                self.sqs.delete_queue(QueueUrl=url)

    def _fill(self, url: str, count: int, *, everything: bool) -> None:
        def send(numbers: tuple[int, ...]) -> None:
            entries = [messages.entry(number, everything=everything) for number in numbers]
            response = self.sqs.send_message_batch(QueueUrl=url, Entries=entries)
            assert len(response.get("Successful", [])) == len(entries), response

        with ThreadPoolExecutor(_FILLERS) as pool:
            list(pool.map(send, batched(range(count), 10, strict=False)))

    def depth(self, url: str) -> int:
        """Return the number of messages in a queue, including invisible ones."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        visible, in_flight = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        return int(attributes[visible]) + int(attributes[in_flight])

    def take_calls(self) -> list[Call]:
        """Return the calls that the proxy has recorded since the last `take_calls`."""
        return [Call(*fields) for fields in self._command("take")]

    def fail_next_entry(self) -> None:
        """Let one entry of the next SendMessageBatch fail."""
        self._command("fail")

    def _command(self, command: str) -> list[list[Any]]:
        assert self._proxy.stdin is not None
        assert self._proxy.stdout is not None
        self._proxy.stdin.write(f"{command}\n")
        self._proxy.stdin.flush()
        response: list[list[Any]] = json.loads(self._proxy.stdout.readline())
        return response
