"""A deployed stack of this app, found by its name in CloudFormation.

Used by the commands that start, watch, and stop runs; the Lambda functions know their stack from their settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive import VERSION
from redrive.adapters.error_codes import DENIED
from redrive.contracts.wildcards import matches

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from redrive.adapters.account import Account

# The output that no other stack has, and those without which no command works.
_OURS = "RedriveStateMachineArn"
_NEEDED = ("RunTableName", "StopFunctionName", "QuarantineQueueUrl", "ReportTopicArn")
# Others that are listed if a stack isn't found.
_MOST_LISTED = 5


class StackError(Exception):
    """There is no stack that this command can use. The text says what was expected, found, and to do."""


class StackNotFoundError(StackError):
    """There is no stack of that name."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What a stack consists of, from its outputs."""

    name: str
    state_machine_arn: str
    #: Name of the table of runs.
    run_table: str
    #: Name of the function that stops a run.
    stop_function: str
    #: URL of the queue of messages that must not be redriven.
    quarantine_url: str
    report_topic_arn: str
    #: Name of the bucket of report pages; None if the stack has none.
    report_bucket: str | None
    version: str
    #: Its parameters as they were deployed, by name; those that CloudFormation doesn't show have asterisks.
    parameters: Mapping[str, str]
    #: CloudFormation's status of the stack, such as UPDATE_COMPLETE.
    status: str = "UNKNOWN"
    #: None if the stack passes on the outputs of a nested one without it.
    alarm_topic_arn: str | None = None

    @property
    def account_id(self) -> str:
        """The account that it is in."""
        return self.state_machine_arn.split(":")[4]

    def execution_arn(self, run: str) -> str:
        """Return the ARN of the execution that a run began with."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run}"

    @property
    def _patterns(self) -> list[str]:
        return self.parameters.get("QueueNamePattern", "").split(",")

    def covers(self, queue: str) -> bool:
        """Return whether the stack may redrive the queue of that name: its parameters say so, or it is its own."""
        own = self.quarantine_url.rsplit("/", 1)[-1], f"{self.name}-*"
        return any(matches(pattern, queue) for pattern in (*self._patterns, *own))

    @property
    def named_queues(self) -> list[str]:
        """The URLs of its quarantine and of the queues that its patterns name without wildcards."""
        place, _, quarantine = self.quarantine_url.rpartition("/")
        named = [pattern for pattern in self._patterns if pattern and "*" not in pattern]
        return [f"{place}/{name}" for name in dict.fromkeys([quarantine, *named])]


def find_stack(account: Account, name: str) -> Stack:
    """Return the stack of that name or ARN.

    Raises
    ------
    StackNotFoundError
        If there is none; names others.
    StackError
        If it can't be used.
    """
    found = existing_stack(account, name)
    if found is None:
        others = _others(account.client("cloudformation"))
        raise StackNotFoundError(
            f"There is no stack {name} in {account.region}. {others} To deploy one, run sam build && sam deploy "
            "--guided in a clone of the sqs-redrive repository."
        )
    return found


def existing_stack(account: Account, name: str) -> Stack | None:
    """Return the stack of that name or ARN, or None if there is none.

    Raises
    ------
    StackError
        If it isn't a stack of this app, or another version is deployed than this command can work with.
    """
    client = account.client("cloudformation")
    try:
        [found] = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # Of a stack that doesn't exist, too (CloudFormation API reference, DescribeStacks).
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    outputs = _outputs(found)
    # A deleted stack can be found by its ARN for 90 days (CloudFormation API reference, DescribeStacks).
    if _OURS not in outputs or found.get("StackStatus") == "DELETE_COMPLETE":
        raise StackError(_not_ours(found) + f" {_others(client)}")
    _check_version(name, outputs)
    if missing := [output for output in _NEEDED if output not in outputs]:
        raise StackError(
            f"The stack {name} has no output {missing[0]}. If it contains sqs-redrive as a nested stack, pass that "
            f"outputs on, or name the nested one. {_others(client)}"
        )
    return Stack(
        name=found["StackName"],
        state_machine_arn=outputs[_OURS],
        run_table=outputs["RunTableName"],
        stop_function=outputs["StopFunctionName"],
        quarantine_url=outputs["QuarantineQueueUrl"],
        report_topic_arn=outputs["ReportTopicArn"],
        report_bucket=outputs.get("ReportBucketName"),
        version=outputs["Version"],
        parameters={
            parameter.get("ParameterKey", ""): parameter.get("ParameterValue", "")
            for parameter in found.get("Parameters", [])
        },
        status=found.get("StackStatus", "UNKNOWN"),
        alarm_topic_arn=outputs.get("AlarmTopicArn"),
    )


def find_stacks(account: Account, name: str) -> list[Stack]:
    """Return the stack of that name, if it exists, and other stacks of this app that can be listed and used.

    Raises
    ------
    StackError
        If the one of that name can't be used.
    """
    named = existing_stack(account, name)
    found = [] if named is None else [named]
    # Listing needs the permission on all stacks.
    with suppress(ClientError, BotoCoreError):
        for other in _deployed(account.client("cloudformation")):
            if other not in {stack.name for stack in found}:
                with suppress(StackError):
                    found.append(find_stack(account, other))
    return found


@dataclass(frozen=True, slots=True)
class Judging:
    """What the stack's functions judge messages with, besides the messages."""

    #: Which queue or function has which contract (`redrive.contracts.registry`).
    contracts: str
    #: ARNs of functions and state machines that messages may go to.
    destinations: frozenset[str]
    #: Unique ids of the roles whose `redrive` attribute is believed.
    movers: frozenset[str]


def judging_of(account: Account, stack: Stack) -> Judging | None:
    """Return what the stack judges messages with; None if these credentials don't allow to see it."""
    try:
        resource = account.client("cloudformation").describe_stack_resource(
            StackName=stack.name, LogicalResourceId="SamplerFunction"
        )
        function = resource["StackResourceDetail"]["PhysicalResourceId"]
        found = account.client("lambda").get_function_configuration(FunctionName=function)
    except ClientError as error:
        # A stack that passes on the outputs of a nested one has no such resource.
        if error.response["Error"]["Code"] in {*DENIED, "ValidationError"}:
            return None
        raise
    variables = found.get("Environment", {}).get("Variables", {})
    return Judging(
        contracts=variables.get("QUEUE_CONTRACTS", ""),
        destinations=frozenset(variables.get("DESTINATION_ARNS", "").split()),
        movers=frozenset(variables.get("MOVER_ROLE_IDS", "").split()),
    )


def _not_ours(found: StackTypeDef) -> str:
    status = found.get("StackStatus", "UNKNOWN")
    if status.startswith(("CREATE_IN", "CREATE_FAILED", "ROLLBACK", "DELETE", "REVIEW")):
        return f"The stack {found['StackName']} isn't deployed: its status is {status}."
    return f"The stack {found['StackName']} isn't one of sqs-redrive: it has no output {_OURS}."


def _check_version(name: str, outputs: Mapping[str, str]) -> None:
    # Up to 0.2.0, a stack didn't say.
    version = outputs.get("Version", "0.2.0 or older")
    if _compatible(version) == _compatible(VERSION) and "Version" in outputs:
        return
    if _compatible(version) > _compatible(VERSION):
        raise StackError(
            f"The stack {name} is newer ({version}) than this command ({VERSION}). Update the command: pipx install "
            "--force . from a clone of that version"
        )
    raise StackError(
        f"The stack {name} is older ({version}) than this command ({VERSION}). Update the stack: sam build && sam "
        "deploy. Or install the command of that version."
    )


def _compatible(version: str) -> tuple[int, ...]:
    """Return what two versions have in common that work together: before 1.0, a minor version may break something."""
    numbers = [int(part) if part.isdecimal() else 0 for part in version.partition(" ")[0].split(".")]
    return tuple(numbers[:1] if numbers[0] else numbers[:2])


def _others(client: Any) -> str:
    """Return a sentence that names the stacks that could have been meant."""
    try:
        names = sorted(_deployed(client))
    except (ClientError, BotoCoreError):
        return "Name one with --stack, or set REDRIVE_STACK."
    if not names:
        return "No stack of sqs-redrive is deployed in this Region. Check --region and --profile."
    more = f", and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"Name one that is with --stack, or set REDRIVE_STACK: {', '.join(names[:_MOST_LISTED])}{more}."


def _deployed(client: Any) -> Iterator[str]:
    for page in client.get_paginator("describe_stacks").paginate():
        for found in page["Stacks"]:
            if _OURS in _outputs(found):
                yield found["StackName"]


def _outputs(found: StackTypeDef) -> dict[str, str]:
    return {output.get("OutputKey", ""): output.get("OutputValue", "") for output in found.get("Outputs", [])}
