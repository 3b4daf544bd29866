"""An AWS account in memory, made by moto, and methods to fill and read its queues.

The integration tests use it. The account is moto's: 123456789012 in us-east-1.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import batched
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch
from weakref import WeakKeyDictionary, ref

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import responses
from moto.core.config import default_user_config
from moto.core.serialize import ResponseSerializer
from moto.dynamodb.responses import DynamoHandler
from moto.sqs import models
from moto.sqs.models import DEFAULT_SENDER_ID, SQSBackend
from moto.sqs.responses import SQSResponse

from local.shared_client import shared
from redrive.adapters.sqs import Queues
from redrive.aws_session import AwsSession, default_session, use
from redrive.domain.messages.queues import QueueRef
from redrive.workflow.ports import Peek
from tests.support.botocore_caches import keep_what_is_the_same
from tests.support.definitions import resources

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def _without_wait(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    # moto sleeps through a long poll, and no test sends while another call waits.
    return params | {"WaitTimeSeconds": 0}


def _note_call(model: Any, params: dict[str, Any], **_: Any) -> None:
    service = {"stepfunctions": "states", "sesv2": "ses"}.get(
        model.service_model.service_name, model.service_model.service_name
    )
    if model.name == "TransactWriteItems":
        # IAM knows only the parts of a transaction (DynamoDB developer guide, "Using IAM with DynamoDB transactions").
        parts = json.loads(params["body"])["TransactItems"]
        _calls.extend(f"dynamodb:{action}Item" for part in parts for action in part)
        return
    _calls.append(f"{service}:{model.name.removesuffix('Batch')}")


keep_what_is_the_same()
# They work out the same few names in each call, which takes a tenth of its time.
for _module, _name in (
    (responses, "camelcase_to_underscores"),
    (models, "camelcase_to_underscores"),
    (responses, "method_names_from_class"),
):
    setattr(_module, _name, cache(getattr(_module, _name)))

_get_value = ResponseSerializer.get_value
_send_message_batch = SQSBackend.send_message_batch
_call_action = SQSResponse.call_action
_call_dynamodb = DynamoHandler.call_action
_sqs_lock = threading.RLock()
_dynamodb_lock = threading.RLock()
_calls: list[str] = []
_answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class _Session(AwsSession):
    """Makes clients, and keeps them as long as their settings are there: making one takes longer than most calls.

    Most modules have one object with the settings of all their clients. Who makes settings for a client gets its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._default = Config()
        self.kept: WeakKeyDictionary[Config, dict[Any, Any]] = WeakKeyDictionary()

    def create_client(self, service_name: Any, *args: Any, config: Config | None = None, **kwargs: Any) -> Any:
        make: Any = super().create_client
        # boto3 passes on all options, whether or not it got them. Powertools adds its name to all requests of a client
        # that it gets for secrets or parameters.
        if args or any(kwargs.values()) or service_name in {"secretsmanager", "ssm"}:
            return make(service_name, *args, config=config, **kwargs)
        variables = [(name, value) for name, value in os.environ.items() if name.startswith("AWS_")]
        key = (service_name, *sorted(variables))
        settings = config or self._default
        kept, are_there = self.kept.setdefault(settings, {}), ref(settings)
        if key not in kept:
            kept[key] = shared(make(service_name, config=config), lambda: are_there() is not None)
        return kept[key]


# One session for all accounts, because a session reads the models of its services only once.
_SESSION = _Session()
_OF_BOTO3 = boto3.Session(botocore_session=_SESSION)
#: Whoever sends a message with moto.
MOTO_SENDER = DEFAULT_SENDER_ID


def _answer(model: Any, params: dict[str, Any], **_: Any) -> Any:
    given = _answers.get(f"{model.service_model.service_name}.{model.name}")
    if given is None:
        return None
    answer = given(params["body"] if isinstance(params["body"], dict) else params)
    return SimpleNamespace(status_code=200), answer | {"ResponseMetadata": {"HTTPStatusCode": 200}}


def hooked(session: AwsSession) -> AwsSession:
    """Record a session's calls, and answer them as a test wants."""
    events = session.get_component("event_emitter")
    events.register("provide-client-params.sqs.ReceiveMessage", _without_wait)
    events.register("before-call", _note_call)
    events.register("before-call", _answer)
    return session


hooked(_SESSION)


@contextmanager
def hook(event: str, call: Callable[..., Any]) -> Iterator[None]:
    """Call something at an event of each client that is made meanwhile."""
    events = _SESSION.get_component("event_emitter")
    # Clients copy the hooks of their session.
    _SESSION.kept.clear()
    events.register(event, call)
    try:
        yield
    finally:
        events.unregister(event, call)
        _SESSION.kept.clear()


def _with_system_attributes(backend: SQSBackend, queue_name: str, entries: dict[str, dict[str, Any]]) -> Any:
    # moto 5.2.5 drops MessageSystemAttributes, and the X-Ray trace with them, from batches.
    messages, failed = _send_message_batch(backend, queue_name, entries)
    system = {entry["Id"]: entry.get("MessageSystemAttributes", {}) for entry in entries.values()}
    for message in messages:
        message.system_attributes = system[message.user_id]  # type: ignore[attr-defined]
    return messages, failed


def _member(serializer: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:
    # moto tries several spellings of each member, which takes most of the time of reading items. Their values have one.
    if isinstance(value, dict) and getattr(getattr(shape, "parent", None), "name", None) == "AttributeValue":
        return value.get(key)
    return _get_value(serializer, value, key, shape)


setattr(ResponseSerializer, "get_value", _member)  # noqa: B010


def _one_at_a_time(response: SQSResponse) -> Any:
    # moto 5.2.5 runs in the caller's thread and rebuilds the list of messages in each delete, so concurrent deletes
    # bring each other's messages back.
    with _sqs_lock:
        return _call_action(response)


def _one_item_at_a_time(handler: DynamoHandler) -> Any:
    # DynamoDB checks a condition and writes in one step (DynamoDB developer guide, "Condition expressions"). moto 5.2.5
    # does so in the caller's thread, and another one may write between.
    with _dynamodb_lock:
        return _call_dynamodb(handler)


class MotoCloud:
    """The account: creates queues and tables, sends and receives messages."""

    def __init__(self) -> None:
        self.sqs: SQSClient = boto3.client("sqs")
        self.queues = Queues(self.sqs)
        # The IAM action of every request since the list was cleared.
        self.calls = _calls
        self.calls.clear()
        # What is answered instead of moto by an operation, such as `lambda.Invoke`, to its parameters. moto's
        # CloudFormation and Lambda import dependencies of every other service.
        self.answers = _answers
        self.answers.clear()
        self._stacks: dict[str, dict[str, Any]] = {}
        self.answers["cloudformation.DescribeStacks"] = self._describe_stacks

    def queue(self, name: str, *, dlq: QueueRef | None = None) -> QueueRef:
        """Create a queue; `dlq` is the dead-letter queue in its redrive policy."""
        attributes: dict[Any, str] = {}
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        if dlq is not None:
            policy = {"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 3}
            attributes["RedrivePolicy"] = json.dumps(policy)
        self.sqs.create_queue(QueueName=name, Attributes=attributes)
        created = self.queues.find(name)
        assert created is not None
        return created

    def send(self, queue: QueueRef, entries: Iterable[str | dict[str, Any]]) -> list[str]:
        """Send messages, given as bodies or as entries of SendMessageBatch without their Id, and return their ids.

        A run that begins after this call finds them older than itself: SQS notes times in milliseconds.
        """
        whole = [{"MessageBody": entry} if isinstance(entry, str) else entry for entry in entries]
        numbered: list[Any] = [{"Id": str(number), **entry} for number, entry in enumerate(whole)]
        ids: list[str] = []
        for chunk in batched(numbered, 10, strict=False):
            answer = self.sqs.send_message_batch(QueueUrl=queue.url, Entries=list(chunk))
            assert not answer.get("Failed"), answer["Failed"]
            ids += [entry["MessageId"] for entry in answer["Successful"]]
        time.sleep(0.001)
        return ids

    def take_all(self, queue: QueueRef) -> list[dict[str, Any]]:
        """Receive every visible message with all its attributes.

        Messages of a FIFO queue are deleted, because a message in flight blocks its group.
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

    def peek(self, queue: QueueRef, most: int | None = 10) -> list[dict[str, Any]]:
        """Return messages and leave them visible."""
        return list(self.queues.peek(Peek(queue, most), 30))

    def visible(self, queue: QueueRef) -> int:
        """Return the number of visible messages."""
        return self.queues.facts(queue).waiting

    def invisible(self, queue: QueueRef) -> int:
        """Return the number of messages in flight."""
        return self.queues.facts(queue).in_flight

    def alarm(self, name: str, state: Literal["ALARM", "OK"]) -> None:
        """Create an alarm on a queue, if there is none yet, and set its state."""
        client = boto3.client("cloudwatch")
        client.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="set by the test")

    def table(self, name: str, key: str) -> None:
        """Create a table whose partition key is a string."""
        boto3.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        )

    def stack(self, name: str, outputs: Mapping[str, str], status: str = "CREATE_COMPLETE", **parameters: str) -> None:
        """Add a stack to CloudFormation: its outputs, without any resources."""
        self._stacks[name] = {
            "StackName": name,
            "StackStatus": status,
            "CreationTime": "2026-11-24T03:12:40Z",
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }

    def describe(self, stack: str) -> dict[str, Any]:
        """Return CloudFormation's description of a stack, for a test to change."""
        return self._stacks[stack]

    def _describe_stacks(self, params: dict[str, Any]) -> dict[str, Any]:
        name = params.get("StackName")
        if name is not None and name not in self._stacks:
            message = f"Stack with id {name} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return {"Stacks": [self._stacks[name]] if name is not None else list(self._stacks.values())}

    def run_table(self, name: str = "redrive-runs") -> str:
        """Create the runs table and return its name."""
        keys = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        properties = resources("AWS::DynamoDB::Table")["RunTable"]
        boto3.client("dynamodb").create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", **{key: properties[key] for key in keys}
        )
        return name


@contextmanager
def moto_cloud(*, runs_workflows: bool = False) -> Iterator[MotoCloud]:
    """Provide an empty account; it keeps the executions of state machines that are started, and may run them."""
    with (
        # moto's own credentials would be what a test's changes of the environment restore, after the account is gone.
        mock_aws(
            config={
                "core": default_user_config["core"] | {"mock_credentials": False},
                "stepfunctions": {"execute_state_machine": runs_workflows},
            }
        ),
        patch.object(SQSBackend, "send_message_batch", _with_system_attributes),
        patch.object(SQSResponse, "call_action", _one_at_a_time),
        patch.object(DynamoHandler, "call_action", _one_item_at_a_time),
    ):
        # moto replaces boto3's default session, and restores it at the end.
        boto3.DEFAULT_SESSION = _OF_BOTO3
        before = default_session()
        use(_SESSION)
        try:
            yield MotoCloud()
        finally:
            use(before)


def in_a_moment() -> int:
    """Return a time just after now, in milliseconds since 1970: every message sent so far is older."""
    return int(time.time() * 1000) + 1
