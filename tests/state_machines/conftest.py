"""An account in memory whose workflows run in LocalStack's interpreter, with the app's own functions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from redrive.domain.messages.queues import QueueRef
from tests.support import factories
from tests.support.definitions import functions
from tests.support.executions import TOPIC, Finished
from tests.support.jsonata_engines import Reference, reference
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.samples import load

if TYPE_CHECKING:
    from tests.support.interpreter import Interpreter


class Account:
    """Queues, the runs table, a topic with a subscribed queue, and both state machines."""

    def __init__(self, cloud: MotoCloud, workflows: Interpreter) -> None:
        self.cloud = cloud
        self.workflows = workflows
        self.dlq = cloud.queue("store-events-dlq")
        self.queue = cloud.queue("store-events", dlq=self.dlq)
        self.quarantine = cloud.queue("redrive-quarantine")
        cloud.run_table("redrive-runs")
        self.inbox = cloud.queue("inbox")
        sns = boto3.client("sns")
        assert sns.create_topic(Name="redrive-reports")["TopicArn"] == TOPIC
        sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=self.inbox.arn)
        self.redrive = workflows.create("redrive")
        self.automatic = workflows.create("automatic")
        # Every answer of a function, with the function and the step.
        self.answers: list[tuple[str, str | None, Any]] = []
        self.instead: Callable[[str, Any], Any] = lambda _name, _event: None
        self._handlers = {
            name: load(functions()[f"{name}Function"]) for name in ("Coordinator", "Sampler", "Mover", "Automatic")
        }

    def invoke(self, name: str, event: Any) -> Any:
        """Call a function, unless `instead` answers or raises."""
        answer = self.instead(name, event) or self._handlers[name](event)
        self.answers.append((name, event.get("step"), answer))
        return answer

    def fill(self, good: int = 9, bad: int = 3) -> None:
        """Send events that have a store, and some that don't."""
        entry = {"MessageBody": factories.store_event(), "MessageAttributes": factories.store_id()}
        self.cloud.send(self.dlq, [entry] * good + [factories.store_event()] * bad)
        # A run leaves what was sent in the millisecond in which it starts.
        time.sleep(0.002)

    def take(self, number: int) -> None:
        """Receive messages and keep them invisible, as another consumer does."""
        self.cloud.sqs.receive_message(QueueUrl=self.dlq.url, MaxNumberOfMessages=number, VisibilityTimeout=600)

    def run(self, given: Any = None, name: str = "run-1") -> Finished:
        """Run the redrive."""
        return self.workflows.run(self.redrive, {"dlq": self.dlq.name} if given is None else given, name)

    def reports(self) -> list[dict[str, Any]]:
        """Return what was published so far: each report once."""
        return [json.loads(json.loads(message["Body"])["Message"]) for message in self.cloud.take_all(self.inbox)]

    def taken(self, queue: QueueRef) -> int:
        """Receive all messages of a queue, and return how many there are."""
        return len(self.cloud.take_all(queue))


@pytest.fixture(scope="session")
def jsonata() -> Iterator[Reference]:
    """The reference implementation of JSONata."""
    with reference() as made:
        yield made


@contextmanager
def new_account(jsonata: Reference) -> Iterator[Account]:
    """Provide an account without messages."""
    # Importing it takes seconds, and each worker of pytest-xdist imports this module to collect.
    from tests.support.interpreter import interpreter  # noqa: PLC0415

    accounts: list[Account] = []

    def invoke(name: str, event: Any) -> Any:
        return accounts[0].invoke(name, event)

    with moto_cloud(runs_workflows=True) as cloud, interpreter(jsonata.evaluate, invoke) as workflows:
        accounts.append(Account(cloud, workflows))
        yield accounts[0]


@pytest.fixture
def account(jsonata: Reference) -> Iterator[Account]:
    """An account without messages."""
    with new_account(jsonata) as made:
        yield made
