"""An AWS account in memory: moto, with long polls that do not wait, and ways to fill and read queues.

Used by the integration tests. Names, account and region are moto's: 123456789012 in us-east-1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.sqs.models import SQSBackend

from redrive.adapters.sqs import Look, Queues
from redrive.domain.runs import QueueRef

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def _at_once(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    # moto sleeps through a long poll; nobody sends while the tests receive.
    return params | {"WaitTimeSeconds": 0}


def _note_call(model: Any, params: dict[str, Any], **_: Any) -> None:
    service = {"stepfunctions": "states", "sesv2": "ses"}.get(
        model.service_model.service_name, model.service_model.service_name
    )
    if model.name == "TransactWriteItems":
        # IAM knows only the parts of a transaction (DynamoDB developer guide, "Using IAM with DynamoDB
        # transactions").
        parts = json.loads(params["body"])["TransactItems"]
        _calls.extend(f"dynamodb:{action}Item" for part in parts for action in part)
        return
    _calls.append(f"{service}:{model.name.removesuffix('Batch')}")


_send_message_batch = SQSBackend.send_message_batch
_calls: list[str] = []
# One session for all accounts, since it remembers the services' models that it has read.
_SESSION = boto3.Session()
_SESSION.events.register("provide-client-params.sqs.ReceiveMessage", _at_once)  # type: ignore[arg-type]
_SESSION.events.register("before-call", _note_call)


def _with_system_attributes(backend: SQSBackend, queue_name: str, entries: dict[str, dict[str, Any]]) -> Any:
    # moto 5.2.5 drops MessageSystemAttributes, and the X-Ray trace with them, from batches.
    messages, failed = _send_message_batch(backend, queue_name, entries)
    system = {entry["Id"]: entry.get("MessageSystemAttributes", {}) for entry in entries.values()}
    for message in messages:
        message.system_attributes = system[message.user_id]  # type: ignore[attr-defined]
    return messages, failed


class MotoCloud:
    """The account: makes queues and tables, puts messages in and takes them out.

    Attributes
    ----------
    sqs, queues : SQSClient, Queues
        The account's queues.
    calls : list[str]
        Every request to AWS since the list was cleared, as the action that IAM asks for.
    """

    def __init__(self) -> None:
        self.sqs: SQSClient = boto3.client("sqs")
        self.queues = Queues(self.sqs)
        self.calls = _calls
        self.calls.clear()

    def queue(self, name: str, *, dlq: QueueRef | None = None) -> QueueRef:
        """Make a queue; `dlq` is the dead-letter queue in its redrive policy."""
        attributes: dict[Any, str] = {}
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        if dlq is not None:
            policy = {"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 3}
            attributes["RedrivePolicy"] = json.dumps(policy)
        self.sqs.create_queue(QueueName=name, Attributes=attributes)
        made = self.queues.find(name)
        assert made is not None
        return made

    def send(self, queue: QueueRef, entries: Iterable[str | dict[str, Any]]) -> None:
        """Put messages in: bodies, or entries of SendMessageBatch without their Id."""
        whole = [{"MessageBody": entry} if isinstance(entry, str) else entry for entry in entries]
        numbered: list[Any] = [{"Id": str(number), **entry} for number, entry in enumerate(whole)]
        for chunk in batched(numbered, 10, strict=False):
            answer = self.sqs.send_message_batch(QueueUrl=queue.url, Entries=list(chunk))
            assert not answer.get("Failed"), answer["Failed"]

    def take_all(self, queue: QueueRef) -> list[dict[str, Any]]:
        """Return every visible message with all its attributes.

        They stay invisible afterwards, and those of a FIFO queue are deleted, since they would hold back
        their group.
        """
        found: list[dict[str, Any]] = []
        while answer := self.sqs.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=600,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += answer  # type: ignore[arg-type]
            for message in answer if queue.fifo else ():
                self.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def look(self, queue: QueueRef, most: int | None = 10) -> list[dict[str, Any]]:
        """Return messages, left where they are."""
        return list(self.queues.look(Look(queue, most), 30))

    def visible(self, queue: QueueRef) -> int:
        """Return how many messages anybody could receive now."""
        return self.queues.facts(queue).waiting

    def invisible(self, queue: QueueRef) -> int:
        """Return how many messages are in flight."""
        return self.queues.facts(queue).in_flight

    def table(self, name: str, key: str) -> None:
        """Make a table with a partition key of type String."""
        boto3.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        )

    def run_table(self, name: str = "redrive-runs") -> str:
        """Make the table of runs and return its name."""
        boto3.client("dynamodb").create_table(
            TableName=name,
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
        return name


@contextmanager
def moto_cloud() -> Iterator[MotoCloud]:
    """Return a fresh account."""
    with mock_aws(), patch.object(SQSBackend, "send_message_batch", _with_system_attributes):
        # moto takes the default session away, and puts it back afterwards.
        boto3.DEFAULT_SESSION = _SESSION
        yield MotoCloud()


def in_a_moment() -> int:
    """Return a start, in milliseconds since 1970, that everything sent until now lies before."""
    return int(time.time() * 1000) + 1
