"""The scenario of a function that fails on asynchronous events: they are redriven to it once it works again.

It needs a function, and makes one, because no function of yours may be made to fail. The stack lists what it may
invoke by ARN, so the function's name is fixed, and the stack's operator agrees to it with a parameter.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from verify.aws import code_of, is_denied, sentence
from verify.errors import MismatchError, SkippedError
from verify.stage import require_counts

if TYPE_CHECKING:
    from verify.stage import Stage

# Fails while its variable says so; then it sends its event to a queue.
CODE = """\
import json, os, boto3

class DownError(Exception):
    pass

def handler(event, context):
    if os.environ["DOWN"] == "yes":
        raise DownError("down, as the verification wants it")
    boto3.client("sqs").send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(event))
"""
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
}
_EVENTS = 5
_PARAMETER = "DestinationFunctionArns"


def function_name(prefix: str) -> str:
    """Return the name of the function that the scenario makes."""
    return f"{prefix}-function"


def obstacle(stage: Stage) -> str | None:
    """Return why the scenario can't be played, or None."""
    arn = stage.stack.function_arn(function_name(stage.owned.prefix))
    if arn in stage.stack.listed(_PARAMETER):
        return None
    listed = ",".join([*stage.stack.listed(_PARAMETER), arn])
    return (
        "the stack may not deliver to the function that this scenario makes. To enable it, deploy the stack with "
        f"{_PARAMETER}={listed}"
    )


def play(stage: Stage) -> str:
    """Let a function fail on events, and redrive them to it once it works."""
    failures, results = stage.queue("failures"), stage.queue("results")
    name = function_name(stage.owned.prefix)
    try:
        _create(stage, name, [failures.arn, results.arn], {"DOWN": "yes", "RESULTS": results.url})
    except ClientError as error:
        if is_denied(error):
            raise SkippedError(
                f"you may not make the function or its role ({sentence(error)}). To enable it, see the permissions in "
                "docs/guides/deploy.md, 'Prove it'"
            ) from None
        if code_of(error) == "ResourceConflictException":
            raise SkippedError(
                f"there is a function {name} already, which isn't touched. If an earlier run left it, remove it with "
                "--clean-up; otherwise, pass another --prefix"
            ) from None
        raise
    _send_failures_to(stage, name, failures.arn)
    events = stage.messages(_EVENTS, lambda key, number: json.dumps({"key": key, "number": number}))
    for event in events:
        stage.aws.functions.invoke(FunctionName=name, InvocationType="Event", Payload=event["MessageBody"])
    stage.until_depth(failures, _EVENTS)
    _recover(stage, name, {"DOWN": "no", "RESULTS": results.url})
    report = stage.redrive(failures)
    require_counts(report, "SUCCEEDED", redriven=_EVENTS, remaining=0)
    stage.ledger.expect(results.name, events)
    stage.until(lambda: stage.depth(results.url) >= _EVENTS, f"{_EVENTS} events at the function")
    # Lambda itself may deliver an event twice (Lambda developer guide, "Invoking a Lambda function asynchronously").
    stage.duplicates_allowed += _EVENTS
    stage.balance(results, failures)
    return f"{_EVENTS} failed events redriven to their function"


def _create(stage: Stage, name: str, queues: list[str], variables: dict[str, str]) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues}],
    }
    role = stage.owned.role(_TRUST, policy, stage.stack.parameters.get("PermissionsBoundary", ""))
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    _eventually(
        stage,
        "the function to be created",
        lambda: stage.owned.function(
            name,
            Runtime="python3.13",
            Role=role,
            Handler="index.handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=30,
            Environment={"Variables": variables},
        ),
    )
    _until_ready(stage, name)


def _send_failures_to(stage: Stage, name: str, queue: str) -> None:
    # Without retries, whose pauses are minutes (Lambda developer guide, "How Lambda handles errors and retries with
    # asynchronous invocation").
    _eventually(
        stage,
        "the failure destination to be set",
        lambda: stage.aws.functions.put_function_event_invoke_config(
            FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
        ),
    )


def _recover(stage: Stage, name: str, variables: dict[str, str]) -> None:
    stage.aws.functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    _until_ready(stage, name)


def _until_ready(stage: Stage, name: str) -> None:
    """Wait until the latest change has taken effect (Lambda developer guide, "Lambda function states")."""

    def ready() -> bool:
        found = stage.aws.functions.get_function_configuration(FunctionName=name)
        if "Failed" in (found.get("State"), found.get("LastUpdateStatus")):
            raise MismatchError(f"Expected the function {name} to become active, found it failed.")
        return bool(found.get("State", "Active") == "Active" and found.get("LastUpdateStatus") != "InProgress")

    stage.until(ready, f"the function {name} to become active")


def _eventually(stage: Stage, what: str, attempt: Any) -> None:
    """Repeat a request that fails until a new role is known everywhere.

    Lambda answers InvalidParameterValueException until then (IAM user guide, "Troubleshoot IAM", "Changes that I make
    are not always immediately visible").
    """

    def succeeds() -> bool:
        try:
            attempt()
        except ClientError as error:
            if code_of(error) != "InvalidParameterValueException":
                raise
            return False
        return True

    stage.until(succeeds, what, pause=2)
