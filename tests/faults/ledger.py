"""The ledger: which messages went in, and where each copy came out.

Written by a producer and a consumer of its own, which use the embedded cloud directly: nothing here comes from the
redrive's counts, and no fault hits it.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.embedded_cloud import EmbeddedCloud, Stack
from tests.faults.messages import Message, function_arn, target_arn
from tests.faults.schedules import PREFIX, Scenario, Schedule

_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
_BATCH_BYTES = 900_000
_ROLE = "arn:aws:iam::000000000000:role/any"
# Delivers its event to the ledger, around the proxy; without boto3, whose import takes longer than all else.
_TARGET = """
import http.client, json, os, urllib.parse
direct = urllib.parse.urlsplit(os.environ["DIRECT"])
headers = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.SendMessage",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, Signature=0",
}
def handler(event, context):
    connection = http.client.HTTPConnection(direct.hostname, direct.port, timeout=20)
    body = json.dumps({"QueueUrl": os.environ["RESULTS"], "MessageBody": json.dumps(event)})
    connection.request("POST", "/", body, headers)
    assert connection.getresponse().status == 200
"""


@dataclass(frozen=True)
class Copy:
    """A message as it was found somewhere."""

    id: str
    body: str
    attributes: dict[str, Any]
    group: str | None


@dataclass(frozen=True)
class Depth:
    """What a queue says it holds."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages."""
        return self.visible + self.in_flight + self.delayed


@dataclass
class Quarantine:
    """The quarantine of the deployment, which all schedules share: what was found in it, by schedule."""

    cloud: EmbeddedCloud
    url: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: dict[str, list[Copy]] = field(default_factory=dict)

    def take(self, name: str) -> list[Copy]:
        """Take what it holds of a schedule."""
        with self._lock:
            for copy in _drained(self.cloud, self.url):
                owner = copy.id.rsplit("-", 1)[0] + "-"
                self._found.setdefault(owner, []).append(copy)
            return self._found.pop(name, [])


class Ledger:
    """The queues of one schedule."""

    def __init__(self, cloud: EmbeddedCloud, stack: Stack, schedule: Schedule, quarantine: Quarantine) -> None:
        self._cloud, self._stack, self._schedule, self._quarantine = cloud, stack, schedule, quarantine
        self._sqs = cloud.client("sqs")
        self._suffix = ".fifo" if schedule.fifo else ""
        self._executions_seen: set[str] = set()

    def fill(self) -> None:
        """Create the queues, and let the messages die as they do in production."""
        schedule = self._schedule
        self.dlq_name, self._dlq_url = self._create("dlq")
        arn = self._sqs.get_queue_attributes(QueueUrl=self._dlq_url, AttributeNames=["QueueArn"])["Attributes"]
        policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 1})
        used = {message.source for message in schedule.messages}
        strict = schedule.scenario in {Scenario.QUARANTINE, Scenario.LEAVE}
        self._sources = [
            self._create(f"{'strict' if strict else 'source'}-{n}", RedrivePolicy=policy)[1]
            for n in sorted(source for source in used if source is not None)
        ]
        self.destination_name, self._destination_url = self._create("out")
        if schedule.scenario is Scenario.FUNCTION:
            self._create_function()
        elif schedule.scenario is Scenario.STATE_MACHINE:
            self._create_state_machine()
        for source, url in [*enumerate(self._sources), (None, self._dlq_url)]:
            self._send(url, [message for message in schedule.messages if message.source == source])
        self._let_die()

    def depth(self) -> Depth:
        """Return what the dead-letter queue holds."""
        return self._depth(self._dlq_url)

    def take_delivered(self) -> list[Copy]:
        """Take what reached the destinations since the last call, in the order of arrival."""
        if self._schedule.scenario is Scenario.STATE_MACHINE:
            return self._started()
        if self._schedule.scenario is Scenario.FUNCTION:
            self._wait_for_function()
        urls = [*self._sources, self._destination_url]
        return [copy for url in urls for copy in _drained(self._cloud, url)]

    def take_quarantined(self) -> list[Copy]:
        """Take what reached the quarantine since the last call."""
        return self._quarantine.take(self._schedule.name)

    def take_remaining(self) -> list[Copy]:
        """Take what can be received from the dead-letter queue."""
        return _drained(self._cloud, self._dlq_url)

    def close(self) -> None:
        """Delete what `fill` created."""
        for url in [*self._sources, self._dlq_url, self._destination_url]:
            self._sqs.delete_queue(QueueUrl=url)
        if self._schedule.scenario is Scenario.FUNCTION:
            self._cloud.client("lambda").delete_function(FunctionName=function_arn(self._prefix).rsplit(":", 1)[1])

    @property
    def _prefix(self) -> str:
        return self._schedule.name.removesuffix("-")

    def _create(self, name: str, **attributes: str) -> tuple[str, str]:
        name = f"{self._schedule.name}{name}{self._suffix}"
        if self._suffix:
            attributes["FifoQueue"] = "true"
        return name, self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def _send(self, url: str, messages: Sequence[Message]) -> None:
        for batch in _batches(messages):
            entries = [
                {"Id": str(place), "MessageBody": message.body, "MessageAttributes": message.attributes}
                | ({"MessageGroupId": message.group, "MessageDeduplicationId": message.id} if message.group else {})
                for place, message in enumerate(batch)
            ]
            answer = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            assert not answer.get("Failed"), answer

    def _let_die(self) -> None:
        expected = len(self._schedule.messages)
        for _ in range(20 * expected):
            if self.depth().total == expected:
                return
            for url in self._sources:
                self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        raise AssertionError(f"expected {expected} dead messages, found {self.depth()}")

    def _depth(self, url: str) -> Depth:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return Depth(*(int(found[name]) for name in _COUNTS))

    # Destinations other than queues

    def _create_function(self) -> None:
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("app.py", _TARGET)
        self._cloud.client("lambda").create_function(
            FunctionName=function_arn(self._prefix).rsplit(":", 1)[1],
            Runtime="python3.13",
            Role=_ROLE,
            Handler="app.handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=30,
            Environment={"Variables": {"DIRECT": self._cloud.endpoint_url, "RESULTS": self._destination_url}},
        )

    def _create_state_machine(self) -> None:
        definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
        self._cloud.client("stepfunctions").create_state_machine(
            name=target_arn(self._prefix).rsplit(":", 1)[1], definition=json.dumps(definition), roleArn=_ROLE
        )

    def _wait_for_function(self) -> None:
        """Wait until the function has no event left: the number of results doesn't change anymore."""
        before = -1
        while (now := self._depth(self._destination_url).total) != before:
            before = now
            time.sleep(2)

    def _started(self) -> list[Copy]:
        client = self._cloud.client("stepfunctions")
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=target_arn(self._prefix))
        arns = [each["executionArn"] for page in pages for each in page["executions"]]
        fresh = [arn for arn in arns if arn not in self._executions_seen]
        self._executions_seen.update(fresh)
        bodies = [client.describe_execution(executionArn=arn)["input"] for arn in fresh]
        return [Copy(json.loads(body)["id"], body, {}, None) for body in bodies]


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for chunk in itertools.batched(messages, 10, strict=False):
        if sum(len(message.body.encode()) for message in chunk) < _BATCH_BYTES:
            yield chunk
        else:
            yield from ([message] for message in chunk)


def _drained(cloud: EmbeddedCloud, url: str) -> list[Copy]:
    sqs, found = cloud.client("sqs"), []
    while messages := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=0,
        VisibilityTimeout=600,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    ).get("Messages", []):
        for message in messages:
            body = message["Body"]
            group = message["Attributes"].get("MessageGroupId")
            found.append(Copy(_id_in(body), body, message.get("MessageAttributes", {}), group))
        entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
        assert not sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")
    return found


def _id_in(body: str) -> str:
    content = json.loads(body)
    content = content.get("requestPayload", content)
    assert str(content["id"]).startswith(PREFIX), body[:200]
    return str(content["id"])


def until(condition: Callable[[], bool], seconds: float, pause: float = 0.25) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    ends_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(pause)
    return True
