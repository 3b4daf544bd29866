"""Asks AWS's configuration whether a function, rule, schedule, or subscription sends its failures to a queue.

Called for what the envelopes of messages claim. Clients are created when the first claim comes.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.aws_session import aws_client
from redrive.domain.judging.authority import Claim
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.destinations import unqualified
from redrive.domain.messages.envelope_names import Envelope

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient

# A lane waits for the answer while other messages are in hand.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=5)
# SNS has a code of its own.
_DELETED = {"ResourceNotFoundException", "NotFound"}
# EventBridge API reference, PutRule: a rule is on the default bus unless its ARN names another one.
_RULE = re.compile(
    r"arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:rule/(?:(?P<bus>[A-Za-z0-9._/-]{1,256})/)?"
    r"(?P<name>[A-Za-z0-9._-]{1,64})"
)
# EventBridge Scheduler API reference, CreateSchedule.
_SCHEDULE = re.compile(
    r"arn:[a-z-]+:scheduler:[a-z0-9-]+:[0-9]{12}:schedule/(?P<group>[A-Za-z0-9._-]{1,64})/(?P<name>[A-Za-z0-9._-]{1,64})"
)


class FailureDestinations:
    """Where functions, rules, schedules, and subscriptions of one account and region send their failures."""

    @cached_property
    def _lambda(self) -> LambdaClient:
        return aws_client("lambda", config=_CONFIG)

    @cached_property
    def _events(self) -> EventBridgeClient:
        return aws_client("events", config=_CONFIG)

    @cached_property
    def _scheduler(self) -> EventBridgeSchedulerClient:
        return aws_client("scheduler", config=_CONFIG)

    @cached_property
    def _sns(self) -> SNSClient:
        return aws_client("sns", config=_CONFIG)

    def confirm(self, claim: Claim) -> str | Reason:
        """Return the ARN of what a message was meant for, if the configuration confirms the claim, or why it stays."""
        if _home(claim.origin) != _home(claim.queue):
            return Reason.DESTINATION_NOT_CONFIRMED
        try:
            if claim.envelope is Envelope.SNS_NOTIFICATION:
                return self._endpoint(claim) or Reason.DESTINATION_NOT_CONFIRMED
            confirmed = self._names_queue(claim)
        except ClientError as error:
            # Deleted since, or not readable.
            if error.response["Error"]["Code"] not in _DELETED:
                return Reason.CONFIGURATION_UNREADABLE
            confirmed = False
        except BotoCoreError:
            return Reason.CONFIGURATION_UNREADABLE
        return claim.destination if confirmed else Reason.DESTINATION_NOT_CONFIRMED

    def _names_queue(self, claim: Claim) -> bool:
        match claim.envelope:
            case Envelope.LAMBDA_DESTINATION:
                return unqualified(claim.origin) == claim.destination and self._function_names_queue(claim)
            case Envelope.EVENTBRIDGE_RULE:
                return self._rule_names_queue(claim)
            case Envelope.EVENTBRIDGE_SCHEDULER:
                return self._schedule_names_queue(claim)
        return False

    def _function_names_queue(self, claim: Claim) -> bool:
        """Lambda developer guide, "Capturing records of Lambda asynchronous invocations": a destination or a queue."""
        name, _, qualifier = claim.destination.partition(":function:")[2].partition(":")
        target = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
        try:
            found = self._lambda.get_function_event_invoke_config(**target)
            if found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination") == claim.queue:
                return True
        except ClientError as error:
            # The function has no such configuration, or doesn't exist.
            if error.response["Error"]["Code"] not in _DELETED:
                raise
        configuration = self._lambda.get_function_configuration(**target)
        return configuration.get("DeadLetterConfig", {}).get("TargetArn") == claim.queue

    def _rule_names_queue(self, claim: Claim) -> bool:
        """EventBridge user guide, "Using dead-letter queues to process undelivered events": a target names a queue."""
        rule = _RULE.fullmatch(claim.origin)
        if rule is None:
            return False
        pages = self._events.get_paginator("list_targets_by_rule").paginate(
            Rule=rule["name"], EventBusName=rule["bus"] or "default"
        )
        return any(
            unqualified(target["Arn"]) == claim.destination
            and target.get("DeadLetterConfig", {}).get("Arn") == claim.queue
            for page in pages
            for target in page["Targets"]
        )

    def _schedule_names_queue(self, claim: Claim) -> bool:
        """EventBridge Scheduler user guide, "Configuring a dead-letter queue"."""
        schedule = _SCHEDULE.fullmatch(claim.origin)
        if schedule is None:
            return False
        target = self._scheduler.get_schedule(GroupName=schedule["group"], Name=schedule["name"])["Target"]
        named = target.get("DeadLetterConfig", {}).get("Arn")
        return unqualified(target["Arn"]) == claim.destination and named == claim.queue

    def _endpoint(self, claim: Claim) -> str | None:
        """Return the ARN of the queue that subscribes (SNS API reference, GetSubscriptionAttributes).

        Functions and HTTP endpoints don't receive the message in the form that it has in their dead-letter queue.
        """
        found = self._sns.get_subscription_attributes(SubscriptionArn=claim.destination)["Attributes"]
        policy = json.loads(found.get("RedrivePolicy", "{}"))
        named = found.get("TopicArn") == claim.origin and policy.get("deadLetterTargetArn") == claim.queue
        return found.get("Endpoint") if named and found.get("Protocol") == "sqs" else None


def _home(arn: str) -> tuple[str, ...]:
    """Return the partition, Region, and account of an ARN: nothing of another one can be looked up."""
    parts = arn.split(":")
    return (parts[1], parts[3], parts[4]) if len(parts) > 5 else ()
