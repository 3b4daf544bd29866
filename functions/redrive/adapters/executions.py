"""Checks whether Step Functions executions are running, and reads their inputs.

Used by the plan step and automatic starts to distinguish a lock that is in use from one that a dead run still holds,
and by the plan step to see the numbers of its input as they were written.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class Executions:
    """The executions of the redrive workflow."""

    @cached_property
    def _client(self) -> SFNClient:
        # Needed only if the queue is locked or a repair has numbers, so the client isn't created in every cold start.
        return boto3.client("stepfunctions")

    def is_running(self, execution_arn: str) -> bool:
        """Return whether the execution exists and hasn't ended."""
        try:
            return self._client.describe_execution(executionArn=execution_arn)["status"] == "RUNNING"
        except self._client.exceptions.ExecutionDoesNotExist:
            return False

    def input_of(self, execution_arn: str) -> str:
        """Return the input of an execution as it was given, character for character."""
        return self._client.describe_execution(executionArn=execution_arn)["input"]
