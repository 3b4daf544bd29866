"""Reads what `local.call_recorder` recorded: the roles of each deployed stack with the requests that they made.

Called by `tests.permissions.plugin` when all tests are over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.permissions.evaluation import Role
from tests.permissions.exceptions import FORBIDDEN
from tests.permissions.requests import ACCOUNT, PARTITION, REGION, Call, Request, requests_of

# Parameters whose values are in policies.
PARAMETERS = (
    *("QueueNamePattern", "DestinationFunctionArns", "DestinationStateMachineArns", "ContractsBucket"),
    *("RedriveAlarmNamePattern", "SlackWebhookSecretArn", "EmailSender"),
)
# Resources whose names are in policies.
_TYPES = {
    *("AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::SSM::Parameter"),
    *("AWS::S3::Bucket", "AWS::StepFunctions::StateMachine"),
}


@dataclass
class Stack:
    """A deployed stack with its roles."""

    #: The stack as `record_permissions` describes it.
    description: dict[str, Any]
    #: By logical ID.
    roles: dict[str, Role]

    def role_of(self, call: Call) -> Role | None:
        """Return the role that made a call, unless it's of another stack."""
        resources, types = self.description["resources"], self.description["types"]
        if "role" in call:
            name = call["role"].rpartition("/")[2]
            found = [logical for logical, physical in resources.items() if physical == name]
            return self.roles.get(found[0]) if found else None
        for logical, physical in resources.items():
            if physical == call["function"] and types[logical] == "AWS::Lambda::Function":
                # SAM names the role that it makes for a function.
                return self.roles[f"{logical}Role"]
        return None

    def starts_of(self, logical: str) -> Iterator[Request]:
        """Yield the requests that start a function or a state machine, and a version of it, if the stack has it."""
        physical, kind = (self.description[key].get(logical) for key in ("resources", "types"))
        if kind == "AWS::Lambda::Function":
            arn = f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:{physical}"
            yield from (Request("lambda:InvokeFunction", f"{arn}{version}") for version in ("", ":1"))
        elif kind == "AWS::StepFunctions::StateMachine":
            yield from (Request("states:StartExecution", f"{physical}{version}") for version in ("", ":1"))


def stacks(directory: Path) -> Iterator[Stack]:
    """Yield every stack that was deployed, each as it was last, with all requests of its roles."""
    for file in sorted(directory.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        deployed = {line["stack"]["name"]: _stack(line["stack"]) for line in lines if "stack" in line}
        seen: set[str] = set()
        for line in lines:
            text = json.dumps(line.get("call"), sort_keys=True)
            if "call" in line and text not in seen:
                seen.add(text)
                for stack in deployed.values():
                    if role := stack.role_of(line["call"]):
                        role.requests.update(requests_of(line["call"]))
        yield from deployed.values()


def _stack(description: dict[str, Any]) -> Stack:
    words = _words(description)
    roles = {
        name: Role(
            name,
            [statement for document in found["policies"] for statement in document["Statement"]],
            [arn.rsplit("/", 1)[1] for arn in found["managed"]],
            words,
        )
        for name, found in description["roles"].items()
    }
    stack = Stack(description, roles)
    if "MoverFunctionRole" in roles:
        roles["MoverFunctionRole"].forbidden = {request for name in FORBIDDEN for request in stack.starts_of(name)}
    return stack


def _words(description: dict[str, Any]) -> dict[str, str]:
    words = {}
    for logical, physical in description["resources"].items():
        if description["types"][logical] in _TYPES:
            words[re.split("[:/]", physical)[-1]] = f"${{{logical}}}"
    for name in PARAMETERS:
        for value in filter(None, description["parameters"].get(name, "").split(",")):
            # As a word of its own only: a bucket may be called like a part of something else.
            words |= {f"{mark}{value}": f"{mark}${{{name}}}" for mark in ("", *"/:") if mark or ":" in value}
    stack = description["name"]
    for mark in "/:":
        for end in "/-":
            words[f"{mark}{stack}{end}"] = f"{mark}${{AWS::StackName}}{end}"
    return words
