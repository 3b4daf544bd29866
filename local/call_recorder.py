"""Records which AWS calls the functions and services of the embedded cloud make: names and keys, but no content.

Tests compare them with the permissions of the template (`tests/permissions`), and set CALL_RECORDS to a directory. In
the environment of a cloud, it's the cloud's own file there. Without it, nothing is recorded. The processes of functions
run this file too, so it imports nothing but the standard library and the function's own botocore.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VARIABLE = "CALL_RECORDS"
# Parameters that name what a call is about.
_NAMES = {
    *(
        "QueueUrl",
        "QueueArn",
        "QueueName",
        "TopicArn",
        "SubscriptionArn",
        "FunctionName",
        "Qualifier",
        "stateMachineArn",
    ),
    *("StateMachineArn", "ExecutionArn"),
    *("executionArn", "TableName", "Name", "GroupName", "Bucket", "Key", "SecretId", "FromEmailAddress", "Rule"),
    *("EventBusName", "AlarmNames"),
}
# The partition key of the table of runs, the only one whose policies name keys.
_LEADING_KEY = "pk"
_EQUALS = re.compile(r"\s*(\w+)\s*=\s*(:\w+)")


def variables() -> dict[str, str]:
    """Return the environment that lets a new cloud record its calls, if they are to be recorded."""
    if VARIABLE not in os.environ:
        return {}
    return {VARIABLE: str(Path(os.environ[VARIABLE], f"{uuid.uuid4()}.jsonl")), "CALL_RECORDER": __file__}


def record(principal: dict[str, str], service: str, operation: str, parameters: dict[str, Any]) -> None:
    """Append a call to the records, if there are any.

    Parameters
    ----------
    principal : dict[str, str]
        Who calls: `{"function": NAME}` or `{"role": ARN}`.
    service : str
        The service as boto3 names it, such as `stepfunctions`.
    operation : str
        The operation as the API names it, such as `SendMessageBatch`.
    parameters : dict[str, Any]
        The parameters of the call; only what names something is recorded.
    """
    if VARIABLE not in os.environ:
        return
    names = {key: value for key, value in parameters.items() if key in _NAMES and not isinstance(value, dict)}
    call: dict[str, Any] = {**principal, "service": service, "operation": operation, "names": names}
    if service == "dynamodb":
        call["items"] = list(_items(operation, parameters))
    _append(Path(os.environ[VARIABLE]), {"call": call})


def record_permissions(file: Path, client: Callable[[str], Any], stack_name: str) -> None:
    """Append what a deployed stack consists of and what its roles may do.

    Parameters
    ----------
    file : Path
        The records of the cloud.
    client : Callable[[str], Any]
        Returns a client of the cloud for a service.
    stack_name : str
        Name of the stack.
    """
    formation, iam = client("cloudformation"), client("iam")
    (found,) = formation.describe_stacks(StackName=stack_name)["Stacks"]
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
    resources = [summary for page in pages for summary in page["StackResourceSummaries"]]
    roles = {}
    for resource in resources:
        if resource["ResourceType"] == "AWS::IAM::Role":
            name = resource["PhysicalResourceId"]
            policies = [
                iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            ]
            managed = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            roles[resource["LogicalResourceId"]] = {
                "policies": policies,
                "managed": [policy["PolicyArn"] for policy in managed],
            }
    stack = {
        "name": stack_name,
        "parameters": {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])},
        "resources": {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources},
        "types": {each["LogicalResourceId"]: each["ResourceType"] for each in resources},
        "roles": roles,
    }
    _append(file, {"stack": stack})


def _append(path: Path, line: dict[str, Any]) -> None:
    # Processes share the file. What is appended by one write stays in one piece.
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def watch_botocore(function_name: str) -> None:
    """Record the calls of all botocore clients in this process as calls of a function."""
    # A function that doesn't use botocore doesn't pay for it otherwise.
    from botocore.client import BaseClient  # noqa: PLC0415

    make: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make_and_record(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        record({"function": function_name}, client.meta.service_model.service_name, operation, parameters)
        return make(client, operation, parameters)

    BaseClient._make_api_call = make_and_record  # type: ignore[attr-defined]


def _items(operation: str, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the table and the leading key of each item of a call of DynamoDB, with the operation that it comes to."""
    for item in parameters.get("TransactItems", []):
        ((action, request),) = item.items()
        yield from _items({"ConditionCheck": "ConditionCheckItem"}.get(action, f"{action}Item"), request)
    for table, wanted in parameters.get("RequestItems", {}).items():
        requests = wanted["Keys"] if isinstance(wanted, dict) else [_written(request) for request in wanted]
        for key in requests:
            yield {"operation": operation, "table": table, "key": _text(key)}
    if "TableName" in parameters:
        if "KeyConditionExpression" in parameters:
            found = _EQUALS.match(parameters["KeyConditionExpression"])
            values = parameters["ExpressionAttributeValues"]
            key = {found[1]: values[found[2]]} if found else {}
        else:
            key = parameters.get("Key") or parameters.get("Item") or {}
        yield {"operation": operation, "table": parameters["TableName"], "key": _text(key)}


def _written(request: dict[str, Any]) -> dict[str, Any]:
    ((_, written),) = request.items()
    item: dict[str, Any] = written.get("Item") or written.get("Key")
    return item


def _text(key: dict[str, Any]) -> str | None:
    value = key.get(_LEADING_KEY)
    return value.get("S") if isinstance(value, dict) else None
