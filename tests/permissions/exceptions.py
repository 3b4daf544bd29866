"""What the comparison of permissions with calls accepts although no call shows that it's needed, each with the reason.

`tests.permissions.findings` fails a run if something here isn't in the template any more. An entry about a resource
may leave out the actions.
"""

from __future__ import annotations

from itertools import product

# Redrive functions that act on whatever queue an operator names.
_OPERATORS = ("Coordinator", "Sampler", "Mover", "Stop", "Automatic")
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
        (f"{name}FunctionRole: arn:aws:sqs:${{{queue}}}" for name, queue in product(_OPERATORS, _QUEUES)),
        "Every queue of the stack can be the dead-letter queue or the destination of a run, as operators decide.",
    ),
    **dict.fromkeys(
        ("RedriveStateMachineRole: *", *(f"RedriveStateMachineRole: logs:{action} on *" for action in _LOG_DELIVERIES)),
        "Step Functions sets up the delivery of logs, which the embedded cloud doesn't have.",
    ),
    **dict.fromkeys(
        (
            "AutomaticScheduleRole: sqs:SendMessage on arn:aws:sqs:${LostStartsQueue}",
            "AutomaticScheduleRole: arn:aws:sqs:${LostStartsQueue}",
        ),
        "EventBridge Scheduler sends what it couldn't deliver. In the embedded cloud, it always delivers.",
    ),
    "CoordinatorFunctionRole: dynamodb:UpdateItem on arn:aws:dynamodb:table/${RunTable}": (
        "The clean-up after a lane that died in its last attempt (tests/integration/test_recovery.py)."
    ),
}

#: Patterns, and tables any key of which may be used.
OPEN = {
    **dict.fromkeys(
        (f"{name}FunctionRole: arn:aws:sqs:${{QueueNamePattern}}" for name in _OPERATORS),
        "The deployer gives the pattern.",
    ),
    "AutomaticFunctionRole: arn:aws:cloudwatch:alarm:${RedriveAlarmNamePattern}": "The deployer gives the pattern.",
    "AutomaticFunctionRole: arn:aws:cloudwatch:alarm:${AWS::StackName}-*": "The alarms of the stack and of no other.",
    **dict.fromkeys(
        (
            f"{name}FunctionRole: {place}"
            for name in ("Coordinator", "Sampler", "Mover")
            for place in ("arn:aws:ssm:parameter/${AWS::StackName}/contracts/*", "arn:aws:s3:::${ContractsBucket}/*")
        ),
        "QueueContracts says which contracts there are. Both places contain nothing else.",
    ),
    **dict.fromkeys(
        (
            f"{name}FunctionRole: {place}"
            for name in ("Sampler", "Mover")
            for place in ("arn:aws:events:rule/*", "arn:aws:scheduler:schedule/*", "arn:aws:sns:*")
        ),
        "A message can come from any rule, schedule, or subscription of the account.",
    ),
    **dict.fromkeys(
        (
            f"{name}Role: arn:aws:states:execution:${{RedriveStateMachine}}:*"
            for name in (
                *("CoordinatorFunction", "MoverFunction", "StopFunction", "AutomaticFunction"),
                *("RedriveStateMachine", "AutomaticStateMachine"),
            )
        ),
        "The runs of the stack.",
    ),
    **dict.fromkeys(
        (
            f"{name}FunctionRole: {keys}"
            for name, keys in (
                *product(("Coordinator", "Mover"), ("dlq#*", "run#*", "destination#*")),
                *(("Mover", "sent#*"), ("Sampler", "sent#*"), ("Stop", "dlq#*")),
                *product(("Automatic",), ("dlq#*", "trigger#*")),
            )
        ),
        "A row for each queue, run, destination, message, and trigger.",
    ),
    "RedriveStateMachineRole: *": (
        "Log deliveries have no resource to name (Step Functions developer guide, "
        '"IAM policies for logging to CloudWatch Logs").'
    ),
    **dict.fromkeys(
        (
            f"{name}Role: any dynamodb:LeadingKeys of arn:aws:dynamodb:table/${{{table}}}"
            for name, table in (
                *(("StoreEventsConsumer", "StoreEventsTable"), ("EmailTasksConsumer", "EmailTasksTable")),
                *(("ShipmentNotices", "ShipmentsTable"), ("RewardPayoutsConsumer", "RewardsLedgerTable")),
                *(("RewardPayoutsConsumer", "RewardsBalancesTable"), ("RewardPayoutsConsumer", "PaymentGatewayTable")),
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
