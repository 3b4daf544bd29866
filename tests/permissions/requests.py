"""Tells which requests IAM authorizes for a recorded call: actions, resources, and condition keys.

The source of each is the Service Authorization Reference ("Actions, resources, and condition keys for Amazon SQS", and
so on) unless a comment names another one. Called by `tests.permissions.records`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

PARTITION, REGION, ACCOUNT = "aws", "us-east-1", "000000000000"
Call = dict[str, Any]

# SQS developer guide, "Amazon SQS API permissions: Actions and resource reference": batches need the same action.
_SQS_BATCHES = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
# Lambda developer guide, "Configuring a queue to use with Lambda": the permissions of the execution role.
_POLLING = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
# Step Functions developer guide, "IAM policies for starting Step Functions workflow executions within a state machine".
_RULE_OF_SYNC = "StepFunctionsGetEventsForStepFunctionsExecutionRule"


@dataclass(frozen=True)
class Request:
    """What IAM decides on."""

    action: str
    resource: str
    #: Condition keys and their values.
    keys: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __str__(self) -> str:
        found = "".join(f" with {key} {', '.join(values)}" for key, values in self.keys)
        return f"{self.action} on {self.resource}{found}"


class UnknownCallError(Exception):
    """Nobody has said yet what a call needs."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            f"expected a call that tests/permissions/requests.py knows, found {call['service']}:{call['operation']}; "
            "add what the Service Authorization Reference says about it"
        )


def requests_of(call: Call) -> Iterator[Request]:
    """Yield what IAM authorizes for a call.

    Raises
    ------
    UnknownCallError
        The call isn't known here.
    """
    service, operation = call["service"], call["operation"]
    if service in _SEVERAL:
        yield from _SEVERAL[service](call)
    elif f"{service}:{operation}" in _ONE:
        action, resource = _ONE[f"{service}:{operation}"]
        yield Request(action, resource(call["names"]))
    else:
        raise UnknownCallError(call)


def _of_sqs(call: Call) -> Iterator[Request]:
    yield Request(f"sqs:{_SQS_BATCHES.get(call['operation'], call['operation'])}", _queue(call["names"]))


def _of_polling(call: Call) -> Iterator[Request]:
    yield from (Request(f"sqs:{action}", _queue(call["names"])) for action in _POLLING)


def _of_items(call: Call) -> Iterator[Request]:
    # DynamoDB developer guide, "Using IAM with DynamoDB transactions": one request for each item.
    keys: dict[tuple[str, str], list[str | None]] = {}
    for item in call["items"]:
        keys.setdefault((item["operation"], item["table"]), []).append(item["key"])
    for (operation, table), leading in keys.items():
        known = tuple(sorted({key for key in leading if key is not None}))
        condition = (("dynamodb:LeadingKeys", known),) if known else ()
        yield Request(f"dynamodb:{operation}", _arn("dynamodb", f"table/{table}"), condition)


def _of_alarms(call: Call) -> Iterator[Request]:
    for alarm in call["names"]["AlarmNames"]:
        yield Request(f"cloudwatch:{call['operation']}", _arn("cloudwatch", f"alarm:{alarm}"))


def _of_emails(call: Call) -> Iterator[Request]:
    # The verified identity is the address or its domain, so both must be allowed.
    address = call["names"]["FromEmailAddress"]
    for identity in (address, address.partition("@")[2]):
        resource = _arn("ses", f"identity/{identity}")
        yield Request(f"ses:{call['operation']}", resource, (("ses:FromAddress", (address,)),))


def _of_runs(call: Call) -> Iterator[Request]:
    """Yield what a state machine needs that starts another one and waits for it: `startExecution.sync:2`."""
    machine = call["names"]["StateMachineArn"]
    yield Request("states:StartExecution", machine)
    execution = machine.replace(":stateMachine:", ":execution:") + ":any"
    yield from (Request(f"states:{action}", execution) for action in ("DescribeExecution", "StopExecution"))
    rule = _arn("events", f"rule/{_RULE_OF_SYNC}")
    yield from (Request(f"events:{action}", rule) for action in ("PutTargets", "PutRule", "DescribeRule"))


def _queue(names: dict[str, str]) -> str:
    if "QueueArn" in names:
        return names["QueueArn"]
    if "QueueName" in names:
        return _arn("sqs", names["QueueName"])
    *_, account, name = names["QueueUrl"].split("/")
    return f"arn:{PARTITION}:sqs:{REGION}:{account}:{name}"


def _function(names: dict[str, str]) -> str:
    name = names["FunctionName"].rpartition(":function:")[2]
    return _arn("lambda", ":".join(["function", name, *([names["Qualifier"]] if "Qualifier" in names else [])]))


def _arn(service: str, resource: str) -> str:
    return f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{resource}"


def _rule(names: dict[str, str]) -> str:
    bus = names.get("EventBusName", "default")
    return _arn("events", f"rule/{names['Rule']}" if bus == "default" else f"rule/{bus}/{names['Rule']}")


def _topic_of_subscription(names: dict[str, str]) -> str:
    # The reference lists no resource. SNS's errors name the topic: "is not authorized to perform:
    # SNS:GetSubscriptionAttributes on resource: TOPIC_ARN".
    return names["SubscriptionArn"].rsplit(":", 1)[0]


# By service, or by what is a service's own way to act.
_SEVERAL: dict[str, Callable[[Call], Iterator[Request]]] = {
    "sqs": _of_sqs,
    "event-source-mapping": _of_polling,
    "dynamodb": _of_items,
    "cloudwatch": _of_alarms,
    "sesv2": _of_emails,
    "states:startExecution.sync": _of_runs,
}
# By service and operation: the action, and the resource by the names in the call. In lower case, calls of workflows.
_ONE: dict[str, tuple[str, Callable[[dict[str, str]], str]]] = {
    "sns:Publish": ("sns:Publish", itemgetter("TopicArn")),
    "sns:publish": ("sns:Publish", itemgetter("TopicArn")),
    "sns:GetSubscriptionAttributes": ("sns:GetSubscriptionAttributes", _topic_of_subscription),
    "lambda:Invoke": ("lambda:InvokeFunction", _function),
    "lambda:invoke": ("lambda:InvokeFunction", _function),
    "lambda:GetFunctionEventInvokeConfig": ("lambda:GetFunctionEventInvokeConfig", _function),
    "lambda:GetFunctionConfiguration": ("lambda:GetFunctionConfiguration", _function),
    "stepfunctions:StartExecution": ("states:StartExecution", itemgetter("stateMachineArn")),
    "stepfunctions:DescribeExecution": ("states:DescribeExecution", itemgetter("executionArn")),
    "aws-sdk:sfn:describeExecution": ("states:DescribeExecution", itemgetter("ExecutionArn")),
    "events:ListTargetsByRule": ("events:ListTargetsByRule", _rule),
    "scheduler:GetSchedule": (
        "scheduler:GetSchedule",
        lambda names: _arn("scheduler", f"schedule/{names['GroupName']}/{names['Name']}"),
    ),
    "ssm:GetParameter": (
        "ssm:GetParameter",
        lambda names: _arn("ssm", f"parameter/{names['Name'].removeprefix('/')}"),
    ),
    "s3:PutObject": ("s3:PutObject", lambda names: f"arn:{PARTITION}:s3:::{names['Bucket']}/{names['Key']}"),
    "s3:GetObject": ("s3:GetObject", lambda names: f"arn:{PARTITION}:s3:::{names['Bucket']}/{names['Key']}"),
    "secretsmanager:GetSecretValue": ("secretsmanager:GetSecretValue", itemgetter("SecretId")),
}
