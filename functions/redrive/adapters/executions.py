"""Step Functions executions, as far as a run needs to know about others.

Used by the plan handler, to tell a lock that is in use from one that a dead run left behind.
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
        # Only a plan that finds the queue locked needs it, so it is not made in every cold start.
        return boto3.client("stepfunctions")

    def is_running(self, execution_arn: str) -> bool:
        """Return whether the execution exists and has not ended."""
        try:
            return self._client.describe_execution(executionArn=execution_arn)["status"] == "RUNNING"
        except self._client.exceptions.ExecutionDoesNotExist:
            return False
