"""The stack that is verified: what CloudFormation says about it, and whether it may touch the queues to be made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from verify.errors import VerifyError

_OUTPUTS = ("RedriveStateMachineArn", "QuarantineQueueUrl", "StopFunctionName", "RunTableName")
_MISSING = "does not exist"


@dataclass(frozen=True)
class Stack:
    """A deployed stack of this app."""

    name: str
    #: Values by key.
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def partition(self) -> str:
        """Return `aws`, or the name of another partition."""
        return self.outputs["RedriveStateMachineArn"].split(":")[1]

    @property
    def region(self) -> str:
        """Return its Region."""
        return self.outputs["RedriveStateMachineArn"].split(":")[3]

    @property
    def account(self) -> str:
        """Return its account."""
        return self.outputs["RedriveStateMachineArn"].split(":")[4]

    def listed(self, parameter: str) -> list[str]:
        """Return the items of a parameter that is a comma-separated list."""
        return [item.strip() for item in self.parameters.get(parameter, "").split(",") if item.strip()]

    def function_arn(self, name: str) -> str:
        """Return the ARN of a function in the stack's account and Region."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{name}"

    def require_pattern_for(self, prefix: str) -> None:
        """Raise VerifyError, which says what to do, unless the stack may redrive every queue with this prefix."""
        patterns = self.listed("QueueNamePattern")
        if any(covers(pattern, f"{prefix}-") for pattern in patterns):
            return
        found = f"'{','.join(patterns)}', which doesn't cover them" if patterns else "none"
        advice = f"Deploy it with QueueNamePattern={','.join([*patterns, f'{prefix}-*'])}"
        if usable := [pattern for pattern in patterns if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,22}\*", pattern)]:
            beginning = usable[0].removesuffix("*").removesuffix("-")
            advice += f", or pass --prefix {beginning if beginning.endswith('-verify') else f'{beginning}-verify'}"
        raise VerifyError(
            f"Expected the stack {self.name} to have a QueueNamePattern for queues named {prefix}-*, found {found}. "
            f"{advice}. Nothing was created."
        )


def covers(pattern: str, prefix: str) -> bool:
    """Return whether a name pattern, in which `*` stands for anything, matches every name with this prefix."""
    matcher = ".*".join(map(re.escape, pattern.split("*")))
    return pattern.endswith("*") and re.fullmatch(matcher, prefix) is not None


def find_stack(cloudformation: Any, name: str) -> Stack:
    """Return the stack of this name.

    Raises
    ------
    VerifyError
        There is none, or it isn't of this app or not completely deployed.
    """
    if not name:
        raise VerifyError("Expected the name of a stack, found an empty text.")
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if _MISSING in error.response["Error"].get("Message", ""):
            raise VerifyError(
                f"Expected a stack named {name} in {cloudformation.meta.region_name}, found none. Check the name, the "
                "Region (--region), and the credentials (--profile)."
            ) from None
        raise
    status = found["StackStatus"]
    if not status.endswith("_COMPLETE") or status in {"DELETE_COMPLETE", "ROLLBACK_COMPLETE"}:
        raise VerifyError(f"Expected the stack {name} to be deployed, found the status {status}. Deploy it first.")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    if missing := [key for key in _OUTPUTS if key not in outputs]:
        raise VerifyError(
            f"Expected a stack of this app, with the output {missing[0]}; {name} doesn't have it. If the redrive is "
            "part of another stack, name the nested stack."
        )
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}
    return Stack(name, outputs, parameters)
