"""What the comparison of permissions with calls accepts although no call shows that it's needed, each with the reason.

`tests.permissions.findings` fails a run if something here isn't in the template any more. An entry is an element of a
role, word for word. It names the actions, so it accepts a resource for these actions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product


def _actions(service: str, *names: str) -> str:
    return ", ".join(sorted(f"{service}:{name}" for name in names))


def _entries(actions_of: dict[str, str], *places: str) -> Iterator[str]:
    """Yield an entry for each role and place, given the actions of each role."""
    for (role, actions), place in product(actions_of.items(), places):
        yield f"{role}: {place} for {actions}"


# What redrive functions do with whatever queue an operator names.
_READ_QUEUE = ("GetQueueUrl", "GetQueueAttributes")
_HOLD = ("ChangeMessageVisibility", "ListQueueTags")
_OPERATORS = {
    "CoordinatorFunctionRole": _actions("sqs", *_READ_QUEUE, *_HOLD, "ListDeadLetterSourceQueues"),
    "SamplerFunctionRole": _actions("sqs", *_READ_QUEUE, *_HOLD, "ReceiveMessage"),
    "MoverFunctionRole": _actions("sqs", *_READ_QUEUE, *_HOLD, "ReceiveMessage", "SendMessage", "DeleteMessage"),
    "StopFunctionRole": _actions("sqs", *_READ_QUEUE),
    "AutomaticFunctionRole": _actions("sqs", *_READ_QUEUE),
}
_QUEUES = (
    *("QuarantineQueue", "LostStartsQueue", "LostNoticesQueue", "StoreEventsQueue", "StoreEventsDLQ"),
    *("EmailTasksQueue", "EmailTasksDLQ", "ShipmentNoticesFailures", "RewardsQueue", "RewardsDLQ"),
)
_LOG_DELIVERIES = (
    *("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"),
    *("PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
)

#: Actions and resources that no recorded call needed.
UNNEEDED = {
    **dict.fromkeys(
        _entries(_OPERATORS, *(f"arn:aws:sqs:${{{queue}}}" for queue in _QUEUES)),
        "Every queue of the stack can be the dead-letter queue or the destination of a run, as operators decide.",
    ),
    **dict.fromkeys(
        (
            f"RedriveStateMachineRole: * for {_actions('logs', *_LOG_DELIVERIES)}",
            *(f"RedriveStateMachineRole: logs:{action} on *" for action in _LOG_DELIVERIES),
        ),
        "Step Functions sets up the delivery of logs, which the embedded cloud doesn't have.",
    ),
    **dict.fromkeys(
        (
            "AutomaticScheduleRole: sqs:SendMessage on arn:aws:sqs:${LostStartsQueue}",
            "AutomaticScheduleRole: arn:aws:sqs:${LostStartsQueue} for sqs:SendMessage",
        ),
        "EventBridge Scheduler sends what it couldn't deliver. In the embedded cloud, it always delivers.",
    ),
}

_LOOKUPS = "events:ListTargetsByRule, scheduler:GetSchedule, sns:GetSubscriptionAttributes"
_ROWS = ("GetItem", "PutItem", "UpdateItem", "Query")
_COORDINATOR_ROWS = {"CoordinatorFunctionRole": _actions("dynamodb", *_ROWS, "DeleteItem")}
_MOVER_ROWS = {"MoverFunctionRole": _actions("dynamodb", *_ROWS, "BatchGetItem", "BatchWriteItem")}
_DESCRIBING = ("CoordinatorFunctionRole", "MoverFunctionRole", "StopFunctionRole", "AutomaticFunctionRole")
_WAITING = ("RedriveStateMachineRole", "AutomaticStateMachineRole")

#: Patterns, and tables any key of which may be used.
OPEN = {
    **dict.fromkeys(_entries(_OPERATORS, "arn:aws:sqs:${QueueNamePattern}"), "The deployer gives the pattern."),
    "AutomaticFunctionRole: arn:aws:cloudwatch:alarm:${RedriveAlarmNamePattern} for cloudwatch:DescribeAlarms": (
        "The deployer gives the pattern."
    ),
    "AutomaticFunctionRole: arn:aws:cloudwatch:alarm:${AWS::StackName}-* for cloudwatch:DescribeAlarms": (
        "The alarms of the stack and of no other."
    ),
    **dict.fromkeys(
        (
            f"{name}FunctionRole: {place}"
            for name in ("Coordinator", "Sampler", "Mover")
            for place in (
                "arn:aws:ssm:parameter/${AWS::StackName}/contracts/* for ssm:GetParameter",
                "arn:aws:s3:::${ContractsBucket}/* for s3:GetObject",
            )
        ),
        "QueueContracts says which contracts there are. Both places contain nothing else.",
    ),
    **dict.fromkeys(
        _entries(
            {"SamplerFunctionRole": _LOOKUPS, "MoverFunctionRole": _LOOKUPS},
            *("arn:aws:events:rule/*", "arn:aws:scheduler:schedule/*", "arn:aws:sns:*"),
        ),
        "A message can come from any rule, schedule, or subscription of the account.",
    ),
    **dict.fromkeys(
        _entries(
            dict.fromkeys(_DESCRIBING, _actions("states", "DescribeExecution"))
            | dict.fromkeys(_WAITING, _actions("states", "DescribeExecution", "StopExecution")),
            "arn:aws:states:execution:${RedriveStateMachine}:*",
        ),
        "The runs of the stack.",
    ),
    **dict.fromkeys(
        (
            *_entries(_COORDINATOR_ROWS | _MOVER_ROWS, "dlq#*", "run#*", "destination#*"),
            *_entries(_COORDINATOR_ROWS, "runs#*"),
            *_entries(_MOVER_ROWS | {"SamplerFunctionRole": _actions("dynamodb", "BatchGetItem")}, "sent#*"),
            *_entries({"StopFunctionRole": _actions("dynamodb", "UpdateItem")}, "dlq#*"),
            *_entries({"AutomaticFunctionRole": _actions("dynamodb", "GetItem", "PutItem")}, "dlq#*", "trigger#*"),
        ),
        "A row for each queue, run, destination, message, and trigger.",
    ),
    "CoordinatorFunctionRole: arn:aws:s3:::${ReportBucket}/runs/* for s3:PutObject": "A page for each run.",
    f"RedriveStateMachineRole: * for {_actions('logs', *_LOG_DELIVERIES)}": (
        "Log deliveries have no resource to name (Step Functions developer guide, "
        '"IAM policies for logging to CloudWatch Logs").'
    ),
    **dict.fromkeys(
        (
            f"{name}Role: any dynamodb:LeadingKeys of arn:aws:dynamodb:table/${{{table}}} for {actions}"
            for name, table, actions in (
                ("StoreEventsConsumer", "StoreEventsTable", _actions("dynamodb", "PutItem")),
                ("EmailTasksConsumer", "EmailTasksTable", _actions("dynamodb", "PutItem", "UpdateItem", "DeleteItem")),
                ("ShipmentNotices", "ShipmentsTable", _actions("dynamodb", "PutItem")),
                ("RewardPayoutsConsumer", "RewardsLedgerTable", _actions("dynamodb", "GetItem", "PutItem")),
                ("RewardPayoutsConsumer", "RewardsBalancesTable", _actions("dynamodb", "UpdateItem")),
                ("RewardPayoutsConsumer", "PaymentGatewayTable", _actions("dynamodb", "UpdateItem")),
            )
        ),
        "The table belongs to this consumer alone, and its keys are those of the business.",
    ),
}

#: Managed policies that roles may have.
MANAGED = {
    "AWSLambdaBasicExecutionRole": "SAM attaches it to every function, so it can write its log.",
    "AWSXrayWriteOnlyAccess": "SAM attaches it to every function that is traced; the workflows are traced, too.",
}

#: Roles and policies that no test deploys.
NOT_DEPLOYED = {
    "UseKeyPolicy": "Encryption with a key of the deployer's: services use it on behalf of the roles.",
    "SlackChannelRole": "The embedded cloud has no channels. One must have a role, and this one allows nothing.",
}

#: What the function that moves messages must not start, whatever the parameters allow: a message must never reach the
#: redrive itself or a producer.
FORBIDDEN = (
    *("CoordinatorFunction", "SamplerFunction", "MoverFunction", "StopFunction", "AutomaticFunction"),
    *("StoreEventsProducer", "EmailTasksProducer", "RewardPayoutsProducer"),
    *("RedriveStateMachine", "AutomaticStateMachine"),
)
