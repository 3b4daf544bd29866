"""Tests what an operator's credentials allow, and reads the keys and topics that a redrive depends on.

Used by `redrive doctor`. No call changes anything: batches are empty, names don't exist, invocations are dry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.account import THREADS, Account
from redrive.adapters.error_codes import DENIED, error_code
from redrive.adapters.stack import Stack

# SQS rejects empty batches (EmptyBatchRequest) and a receive of zero messages. botocore must not validate them first.
_TRIES = Config(
    parameter_validation=False,
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=5,
    read_timeout=10,
    max_pool_connections=THREADS,
)
_NOBODY = "redrive-doctor"
# At most this many of a topic's subscriptions are read.
_MOST_SUBSCRIPTIONS = 20


class UnreadableError(Exception):
    """Something can't be read. The text is the permission, plus the error's code unless access was denied."""


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Who gets what a topic publishes."""

    #: Subscriptions that get everything.
    confirmed: int
    #: Subscriptions that haven't been confirmed.
    pending: int


@dataclass(frozen=True, slots=True)
class Key:
    """A KMS key."""

    key_id: str
    #: Enabled, Disabled, PendingDeletion, and others (KMS API reference, KeyMetadata).
    state: str
    #: When it will be deleted.
    deleted_at: datetime | None


class Checkup:
    """What an operator's credentials allow in an account.

    Parameters
    ----------
    account : Account
        The account.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    @cached_property
    def _sqs(self) -> Any:
        return self._account.client("sqs", _TRIES)

    def denied_to_look(self, url: str) -> list[str]:
        """Return which permissions needed to look into a queue are denied."""
        none: dict[str, Any] = {"QueueUrl": url, "Entries": []}
        return _denied(
            {
                # SQS rejects a receive of zero messages. If it didn't, the messages would stay visible.
                "sqs:ReceiveMessage": lambda: self._sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=0, VisibilityTimeout=0
                ),
                "sqs:ChangeMessageVisibility": lambda: self._sqs.change_message_visibility_batch(**none),
                "sqs:ListDeadLetterSourceQueues": lambda: self._sqs.list_dead_letter_source_queues(QueueUrl=url),
            }
        )

    def denied_to_move(self, url: str) -> list[str]:
        """Return which permissions needed to take messages out of a queue are denied."""
        return _denied({"sqs:DeleteMessage": lambda: self._sqs.delete_message_batch(QueueUrl=url, Entries=[])})

    def denied_to_send(self, url: str) -> list[str]:
        """Return which permissions needed to send messages to a queue are denied."""
        return _denied({"sqs:SendMessage": lambda: self._sqs.send_message_batch(QueueUrl=url, Entries=[])})

    def denied_on_account(self) -> list[str]:
        """Return the denied permissions that don't concern a single queue."""
        now = datetime.now(UTC)
        metric = {"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible"}
        query: Any = {"Id": "none", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Maximum"}}
        cloudwatch = self._account.client("cloudwatch")
        return _denied(
            {
                "cloudwatch:GetMetricData": lambda: cloudwatch.get_metric_data(
                    MetricDataQueries=[query], StartTime=now - timedelta(minutes=10), EndTime=now
                )
            }
        )

    def denied_in_stack(self, stack: Stack) -> list[str]:
        """Return which permissions needed to work with a stack's runs are denied."""
        states = self._account.client("stepfunctions")
        execution = f"{stack.state_machine_arn.replace(':stateMachine:', ':execution:')}:{_NOBODY}"
        table, key = self._account.client("dynamodb"), {"pk": {"S": _NOBODY}, "sk": {"S": _NOBODY}}
        return _denied(
            {
                "states:ListExecutions": lambda: states.list_executions(
                    stateMachineArn=stack.state_machine_arn, maxResults=1
                ),
                "states:DescribeExecution": lambda: states.describe_execution(executionArn=execution),
                "dynamodb:GetItem": lambda: table.get_item(TableName=stack.run_table, Key=key),
                "dynamodb:Query": lambda: table.query(
                    TableName=stack.run_table,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues={":pk": {"S": _NOBODY}},
                ),
                # Checks the permission and invokes nothing (Lambda API reference, Invoke).
                "lambda:InvokeFunction": lambda: self._account.client("lambda").invoke(
                    FunctionName=stack.stop_function, InvocationType="DryRun"
                ),
            }
        )

    def key(self, key: str) -> Key:
        """Return a KMS key by its id, ARN, or alias.

        Raises
        ------
        UnreadableError
            If it can't be read.
        """
        with _reads("kms:DescribeKey"):
            found = self._account.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        return Key(found["KeyId"], found.get("KeyState", "Unknown"), found.get("DeletionDate"))

    def subscriptions(self, topic_arn: str) -> Subscriptions:
        """Return who gets everything that a topic publishes; subscriptions with a filter don't count.

        Raises
        ------
        UnreadableError
            If they can't be read.
        """
        client = self._account.client("sns")
        with _reads("sns:ListSubscriptionsByTopic"):
            pages = client.get_paginator("list_subscriptions_by_topic").paginate(
                TopicArn=topic_arn, PaginationConfig={"MaxItems": _MOST_SUBSCRIPTIONS}
            )
            arns = [found["SubscriptionArn"] for page in pages for found in page["Subscriptions"]]
        # "PendingConfirmation" and "Deleted" are in the place of an ARN (SNS API reference, Subscription).
        whole = [arn for arn in arns if arn.startswith("arn:") and not self._is_filtered(client, arn)]
        return Subscriptions(len(whole), arns.count("PendingConfirmation"))

    def _is_filtered(self, client: Any, arn: str) -> bool:
        with _reads("sns:GetSubscriptionAttributes"):
            attributes = client.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        return attributes.get("FilterPolicy", "{}") not in {"", "{}"}


def _denied(tries: dict[str, Callable[[], Any]]) -> list[str]:
    """Return the permissions that are denied. Any other answer means that the request got past authorization."""
    denied = []
    for permission, attempt in tries.items():
        try:
            attempt()
        except (ClientError, BotoCoreError) as error:
            if error_code(error) in DENIED:
                denied.append(permission)
    return denied


@contextmanager
def _reads(permission: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        raise UnreadableError(permission if code in DENIED else f"{permission} ({code})") from None
