"""The deployed app as an operator sees it: queues with dead letters in them, runs, reports.

Used by the end-to-end tests; everything goes through the public interfaces of the embedded cloud.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from tests.support.eventually import eventually

_numbers = itertools.count(1)
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass(frozen=True)
class Queue:
    """A queue of the emulator."""

    name: str
    url: str
    arn: str


@dataclass(frozen=True)
class Pair:
    """A queue and its dead-letter queue."""

    source: Queue
    dlq: Queue


@dataclass(frozen=True)
class Run:
    """A run that has ended: how its execution ended and what it reported."""

    execution: dict[str, Any]
    report: dict[str, Any]


@dataclass
class App:
    """The app, deployed to an embedded cloud."""

    cloud: EmbeddedCloud
    outputs: dict[str, str]
    _subscriptions: list[str] = field(default_factory=list)

    @cached_property
    def sqs(self) -> Any:
        return self.cloud.client("sqs")

    @cached_property
    def workflow(self) -> Any:
        return self.cloud.client("stepfunctions")

    # Queues

    def queue(self, name: str = "queue", *, fifo: bool = False, **attributes: str) -> Queue:
        """Create a queue with a name of its own."""
        name = f"{name}-{next(_numbers)}" + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return self.known(name, url)

    def known(self, name: str, url: str) -> Queue:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Queue(name, url, answer["Attributes"]["QueueArn"])

    def pair(self, name: str = "source", *, fifo: bool = False, dlq: Queue | None = None) -> Pair:
        """Create a queue with a dead-letter queue; a message is dead after one receive."""
        dlq = dlq or self.queue("dlq", fifo=fifo)
        policy = json.dumps({"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 1})
        return Pair(self.queue(name, fifo=fifo, RedrivePolicy=policy, VisibilityTimeout="0"), dlq)

    @cached_property
    def store_events(self) -> Pair:
        """The app's own pair, whose messages have a contract."""
        urls = (self.outputs["StoreEventsQueueUrl"], self.outputs["StoreEventsDLQUrl"])
        source, dlq = (self.known(url.rsplit("/", 1)[1], url) for url in urls)
        return Pair(source, dlq)

    def put_contract(self, name: str, schema: Any) -> None:
        """Put a JSON Schema where the deployment finds it."""
        self.cloud.client("ssm").put_parameter(
            Name=f"/{STACK_NAME}/contracts/{name}", Value=json.dumps(schema), Type="String", Overwrite=True
        )

    @cached_property
    def quarantine(self) -> Queue:
        """The queue for letters that must not be redriven."""
        return self.known("quarantine", self.outputs["QuarantineQueueUrl"])

    # Messages

    def send(self, queue: Queue, entries: Iterable[dict[str, Any]]) -> None:
        """Send messages, each given as SendMessageBatch takes it."""
        for chunk in itertools.batched(entries, 10, strict=False):
            numbered = [{"Id": str(place), **entry} for place, entry in enumerate(chunk)]
            total = sum(len(entry["MessageBody"]) for entry in numbered)
            batches = [numbered] if total < 900_000 else [[entry] for entry in numbered]
            for batch in batches:
                answer = self.sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
                assert not answer.get("Failed"), answer["Failed"]

    def bury(self, pair: Pair, entries: Sequence[dict[str, Any]]) -> None:
        """Let messages die as they do in life: received, not deleted, moved by the queue's redrive policy."""
        before = self.depth(pair.dlq)
        self.send(pair.source, entries)
        self.let_die(pair, before + len(entries))

    def let_die(self, pair: Pair, dead: int) -> None:
        """Receive what lies in a queue, over and over, until so many letters are in its dead-letter queue."""

        def all_dead() -> bool:
            self.sqs.receive_message(QueueUrl=pair.source.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            return self.depth(pair.dlq) == dead

        eventually(all_dead, timeout=20)

    def depth(self, queue: Queue) -> int:
        """Return all messages of a queue, invisible ones included."""
        found = self.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)

    def visible(self, queue: Queue) -> int:
        """Return the messages of a queue that a receive would find."""
        found = self.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        return int(found[_COUNTS[0]])

    def take(self, queue: Queue) -> list[dict[str, Any]]:
        """Receive and delete everything that is visible in a queue."""
        taken: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", []):
            taken += messages
            self.sqs.delete_message_batch(
                QueueUrl=queue.url,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                    for place, message in enumerate(messages)
                ],
            )
        return taken

    def look(self, queue: Queue) -> list[dict[str, Any]]:
        """Return up to ten messages of a queue, left where they are."""
        answer = self.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    # Runs

    def start(self, given: Any) -> str:
        """Start a run; return the ARN of its execution."""
        machine = self.outputs["RedriveStateMachineArn"]
        execution: str = self.workflow.start_execution(stateMachineArn=machine, input=json.dumps(given))[
            "executionArn"
        ]
        return execution

    def ended(self, execution: str, timeout: float = 90) -> Run:
        """Wait until a run has ended."""

        def described() -> dict[str, Any] | None:
            told: dict[str, Any] = self.workflow.describe_execution(executionArn=execution)
            return None if told["status"] == "RUNNING" else told

        told = eventually(described, timeout=timeout)
        text = told.get("output") or told.get("cause") or "{}"
        try:
            return Run(told, json.loads(text))
        except ValueError:
            raise AssertionError(f"the execution ended without a report: {told}") from None

    def history(self, run: Run) -> list[Any]:
        """Return everything that the history of a run's execution tells."""
        pages = self.workflow.get_paginator("get_execution_history").paginate(
            executionArn=run.execution["executionArn"]
        )
        events = [event for page in pages for event in page["events"]]
        told: list[Any] = json.loads(json.dumps(events, default=str))
        return told

    def until_processed(self, event_ids: set[str]) -> None:
        """Wait until the consumer of store events has processed these events."""
        table = self.cloud.client("dynamodb")

        def processed() -> bool:
            keys = [{"event_id": {"S": event_id}} for event_id in sorted(event_ids)]
            answer = table.batch_get_item(RequestItems={self.outputs["StoreEventsTableName"]: {"Keys": keys}})
            return len(answer["Responses"][self.outputs["StoreEventsTableName"]]) == len(event_ids)

        eventually(processed, timeout=30)

    def redrive(self, dlq: Queue, **given: Any) -> Run:
        """Start a run and wait until it has ended."""
        return self.ended(self.start({"dlq": dlq.name, **given}))

    def subscribed(self, topic: str = "ReportTopicArn") -> Queue:
        """Create a queue that gets the reports, or what another topic sends, as SNS wraps it."""
        queue = self.queue("notices")
        self.cloud.client("sns").subscribe(TopicArn=self.outputs[topic], Protocol="sqs", Endpoint=queue.arn)
        return queue

    # Metrics and alarms

    def total(self, namespace: str, metric: str, **dimensions: str) -> float:
        """Return the sum of a metric over all of its time."""
        points = self.cloud.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=time.time() - 3600,
            EndTime=time.time() + 60,
            Period=86400,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    def alarms(self) -> dict[str, str]:
        """Return the state of every alarm of the stack by its logical id."""
        kinds = ["MetricAlarm", "CompositeAlarm"]
        found = self.cloud.client("cloudwatch").describe_alarms(AlarmTypes=kinds)
        return {
            alarm["AlarmName"].rsplit("-", 2)[1]: alarm["StateValue"]
            for alarm in found["MetricAlarms"] + found["CompositeAlarms"]
        }

    def invoke(self, output: str, payload: Any) -> Any:
        """Invoke the function that a stack output names."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.outputs[output], Payload=json.dumps(payload)
        )
        return json.loads(answer["Payload"].read())
