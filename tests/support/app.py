"""The deployed app as an operator sees it: dead-letter queues, runs, and reports.

Used by the end-to-end tests; every call uses a public interface of the embedded cloud.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud, Stack
from redrive.adapters.run_records import RunRecords
from tests.support.eventually import eventually
from verify.owned import Queue
from verify.stage import Pair

__all__ = ["TEAM", "TEAM_QUEUES", "TRACE", "App", "Pair", "Queue", "Run"]

_numbers = itertools.count(1)
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
# Names of queues that the app doesn't own; a deployment with the pattern `team-*` may redrive them.
TEAM = "team-"
TEAM_QUEUES = {"QueueNamePattern": f"{TEAM}*"}
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass(frozen=True)
class Run:
    """A run that has ended: the description of its execution, and its report."""

    execution: dict[str, Any]
    report: dict[str, Any]


@dataclass
class App:
    """The app, deployed to an embedded cloud."""

    cloud: EmbeddedCloud
    stack: Stack
    #: What the names of new queues begin with. The app may touch only its own queues and those of its pattern.
    prefix: str = TEAM

    @cached_property
    def sqs(self) -> Any:
        return self.cloud.client("sqs")

    @cached_property
    def workflow(self) -> Any:
        return self.cloud.client("stepfunctions")

    # Resources

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource in the template: the URL of a queue, the name of a function."""
        return self.stack.resource(logical_id)

    def own(self, logical_id: str) -> Queue:
        """Return a queue of the template."""
        return self.queue_at(self.resource(logical_id))

    # Queues

    def queue(self, name: str = "queue", *, fifo: bool = False, **attributes: str) -> Queue:
        """Create a queue with a unique name."""
        name = f"{self.prefix}{name}-{next(_numbers)}" + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return self.queue_at(url)

    def queue_at(self, url: str) -> Queue:
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return Queue(url.rsplit("/", 1)[1], url, found["QueueArn"])

    def pair(self, name: str = "source", *, fifo: bool = False, dlq: Queue | None = None, **attributes: str) -> Pair:
        """Create a queue with a dead-letter queue that receives a message after one receive."""
        dlq = dlq or self.queue("dlq", fifo=fifo)
        policy = json.dumps({"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0", **attributes}
        return Pair(self.queue(name, fifo=fifo, **attributes), dlq)

    @cached_property
    def store_events(self) -> Pair:
        """The store events pair, whose messages have a contract."""
        return Pair(self.own("StoreEventsQueue"), self.own("StoreEventsDLQ"))

    def put_contract(self, name: str, schema: Any) -> None:
        """Store a JSON Schema in a parameter that the stack may read."""
        self.cloud.client("ssm").put_parameter(
            Name=f"/{STACK_NAME}/contracts/{name}", Value=json.dumps(schema), Type="String", Overwrite=True
        )

    @cached_property
    def quarantine(self) -> Queue:
        """The queue for messages that must not be redriven."""
        return self.own("QuarantineQueue")

    # Messages

    def send(self, queue: Queue, entries: Iterable[dict[str, Any]]) -> None:
        """Send messages, each given as SendMessageBatch takes it."""
        for chunk in itertools.batched(entries, 10, strict=False):
            numbered = [{"Id": str(place), **entry} for place, entry in enumerate(chunk)]
            total = sum(len(json.dumps(entry, default=repr)) for entry in numbered)
            batches = [numbered] if total < 900_000 else [[entry] for entry in numbered]
            for batch in batches:
                answer = self.sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
                assert not answer.get("Failed"), answer["Failed"]

    def bury(self, pair: Pair, entries: Sequence[dict[str, Any]]) -> None:
        """Send messages and let SQS move them to the dead-letter queue, as it does after too many receives."""
        before = self.depth(pair.dlq)
        self.send(pair.source, entries)
        self.let_die(pair, before + len(entries))

    def let_die(self, pair: Pair, dead: int) -> None:
        """Receive from a queue until its dead-letter queue has `dead` messages."""

        def all_dead() -> bool:
            self.sqs.receive_message(QueueUrl=pair.source.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            return self.depth(pair.dlq) == dead

        eventually(all_dead)

    def depth(self, queue: Queue) -> int:
        """Return the number of messages in a queue, including those in flight."""
        found = self.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)

    def visible(self, queue: Queue) -> int:
        """Return the number of messages that a receive would find."""
        found = self.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        return int(found[_COUNTS[0]])

    def take(self, queue: Queue) -> list[dict[str, Any]]:
        """Receive and delete every visible message."""
        taken = self._receive_and_delete(queue)

        def all_taken() -> bool:
            taken.extend(self._receive_and_delete(queue))
            return self.depth(queue) == 0

        if queue.url == self.quarantine.url:
            # The store events notice, and nothing else, peeks at the quarantine after a report.
            eventually(all_taken)
        return taken

    def _receive_and_delete(self, queue: Queue) -> list[dict[str, Any]]:
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

    def peek(self, queue: Queue) -> list[dict[str, Any]]:
        """Return up to ten messages and leave them visible."""
        answer = self.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    # Runs

    def start(self, run_input: Any) -> str:
        """Start a run; return the ARN of its execution."""
        machine = self.resource("RedriveStateMachine")
        execution: str = self.workflow.start_execution(stateMachineArn=machine, input=json.dumps(run_input))[
            "executionArn"
        ]
        return execution

    def ended(self, execution: str) -> Run:
        """Wait until a run has ended."""

        def described() -> dict[str, Any] | None:
            found: dict[str, Any] = self.workflow.describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else found

        description = eventually(described)
        text = description.get("output") or description.get("cause") or "{}"
        try:
            return Run(description, json.loads(text))
        except ValueError:
            raise AssertionError(f"the execution ended without a report: {description}") from None

    @cached_property
    def records(self) -> RunRecords:
        """The records of runs."""
        return RunRecords(self.resource("RunTable"), self.cloud.client("dynamodb"))

    def history(self, run: Run) -> list[Any]:
        """Return every event in the history of a run's execution."""
        pages = self.workflow.get_paginator("get_execution_history").paginate(
            executionArn=run.execution["executionArn"]
        )
        events = [event for page in pages for event in page["events"]]
        plain: list[Any] = json.loads(json.dumps(events, default=str))
        return plain

    def until_processed(self, event_ids: set[str]) -> None:
        """Wait until the store events consumer has processed these events."""
        client, table = self.cloud.client("dynamodb"), self.resource("StoreEventsTable")
        keys = [{"event_id": {"S": event_id}} for event_id in sorted(event_ids)]

        def processed() -> bool:
            answer = client.batch_get_item(RequestItems={table: {"Keys": keys}})
            return len(answer["Responses"][table]) == len(event_ids)

        eventually(processed)

    def redrive(self, dlq: Queue, **options: Any) -> Run:
        """Start a run and wait until it has ended."""
        return self.ended(self.start({"dlq": dlq.name, **options}))

    def subscribed(self, topic: str = "ReportTopic") -> Queue:
        """Create a queue and subscribe it to the reports or to another topic."""
        queue = self.queue("notices")
        self.cloud.client("sns").subscribe(TopicArn=self.resource(topic), Protocol="sqs", Endpoint=queue.arn)
        return queue

    # Metrics and alarms

    def total(self, namespace: str, metric: str, **dimensions: str) -> float:
        """Return the sum of a metric over the last hour."""
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

    def invoke(self, logical_id: str, payload: Any) -> Any:
        """Invoke a function of the template."""
        name = self.resource(logical_id)
        answer = self.cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(payload))
        return json.loads(answer["Payload"].read())
