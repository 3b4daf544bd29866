"""Makes queues, functions and state machines in the embedded cloud for tests that deploy no stack.

Used by the tests of the embedded cloud itself.
"""

import io
import json
import textwrap
import uuid
import zipfile
from dataclasses import dataclass
from typing import Any

from local.embedded_cloud import ACCOUNT_ID, EmbeddedCloud
from tests.support.eventually import eventually

ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/any"


@dataclass(frozen=True)
class Queue:
    """A queue of its own for one test."""

    cloud: EmbeddedCloud
    url: str
    arn: str

    def send(self, *bodies: str, **options: Any) -> None:
        """Send one message for each body."""
        for body in bodies:
            self.cloud.client("sqs").send_message(QueueUrl=self.url, MessageBody=body, **options)

    def receive(self, limit: int = 10, wait: int = 0, **options: Any) -> list[dict[str, Any]]:
        """Receive messages with all their attributes."""
        response = self.cloud.client("sqs").receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=wait,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
            **options,
        )
        messages: list[dict[str, Any]] = response.get("Messages", [])
        return messages

    def delete(self, message: dict[str, Any]) -> None:
        """Delete a received message."""
        self.cloud.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def depth(self) -> tuple[int, int, int]:
        """Return the numbers of visible, in-flight and delayed messages."""
        counts = self.cloud.client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        names = ("", "NotVisible", "Delayed")
        visible, in_flight, delayed = (
            int(counts["Attributes"][f"ApproximateNumberOfMessages{name}"]) for name in names
        )
        return visible, in_flight, delayed


def unique(prefix: str = "t") -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def make_queue(cloud: EmbeddedCloud, *, dlq: Queue | None = None, **attributes: str) -> Queue:
    """Create a queue; with ``dlq``, messages go there after one receive."""
    name = unique("queue") + (".fifo" if attributes.get("FifoQueue") else "")
    if dlq:
        policy = {"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 1}
        attributes["RedrivePolicy"] = json.dumps(policy)
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return Queue(cloud, url, f"arn:aws:sqs:us-east-1:{ACCOUNT_ID}:{name}")


def code_archive(source: str) -> bytes:
    """Return a function's package with ``source`` as its module ``app``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(source))
    return buffer.getvalue()


def make_function(cloud: EmbeddedCloud, source: str, **options: Any) -> str:
    """Create a Python function whose handler is ``handle``, and return its name."""
    name = unique("function")
    cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handle",
        Code={"ZipFile": code_archive(source)},
        **{"Timeout": 10, "Role": ROLE, **options},
    )
    client = cloud.client("lambda")
    eventually(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
    return name


def invoke(cloud: EmbeddedCloud, function: str, event: Any = None) -> Any:
    """Invoke a function and return what it answered, be it an error."""
    response = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    return json.loads(response["Payload"].read())


def subscribe_function(cloud: EmbeddedCloud, queue: Queue, function: str, **options: Any) -> None:
    """Let a function consume a queue."""
    cloud.client("lambda").create_event_source_mapping(EventSourceArn=queue.arn, FunctionName=function, **options)


def start(cloud: EmbeddedCloud, definition: dict[str, Any], value: Any = None, name: str | None = None) -> str:
    """Start a new state machine in JSONata and return the execution's ARN."""
    client = cloud.client("stepfunctions")
    machine = client.create_state_machine(
        name=unique("machine"),
        definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
        roleArn=ROLE,
    )["stateMachineArn"]
    arn: str = client.start_execution(stateMachineArn=machine, input=json.dumps(value), name=name or unique("run"))[
        "executionArn"
    ]
    return arn


def finished(cloud: EmbeddedCloud, execution_arn: str) -> dict[str, Any]:
    """Return the description of an execution once it has ended."""
    client = cloud.client("stepfunctions")

    def ended() -> dict[str, Any] | None:
        description: dict[str, Any] = client.describe_execution(executionArn=execution_arn)
        return None if description["status"] == "RUNNING" else description

    return eventually(ended)


def run(cloud: EmbeddedCloud, definition: dict[str, Any], value: Any = None) -> dict[str, Any]:
    """Run a new state machine in JSONata to its end and return the description of the execution."""
    return finished(cloud, start(cloud, definition, value))


def output_of(cloud: EmbeddedCloud, definition: dict[str, Any], value: Any = None) -> Any:
    """Run a new state machine in JSONata and return its output; it must succeed."""
    description = run(cloud, definition, value)
    assert description["status"] == "SUCCEEDED", description
    return json.loads(description["output"])


def history(cloud: EmbeddedCloud, execution_arn: str) -> list[dict[str, Any]]:
    """Return the events of an execution."""
    client = cloud.client("stepfunctions")
    events: list[dict[str, Any]] = client.get_execution_history(executionArn=execution_arn, maxResults=1000)["events"]
    return events
