"""Checks whether Step Functions executions are running, and reads their inputs.

Used by the plan step and automatic starts to distinguish a lock that is in use from one that a dead run still holds,
by the plan step to see the numbers of its input as they were written, and by the commands to list runs in progress.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from redrive.aws_session import aws_client

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

#: The status of an execution, and of a run, in progress.
RUNNING: Final = "RUNNING"


def open_executions(client: SFNClient, state_machine_arn: str) -> Iterator[str]:
    """Yield the ARNs of the executions that haven't ended, newest first. A request returns up to 1,000."""
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=state_machine_arn, statusFilter=RUNNING, PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        yield from (execution["executionArn"] for execution in page["executions"])


class Executions:
    """The executions of the redrive workflow."""

    @cached_property
    def _client(self) -> SFNClient:
        # Needed only if the queue is locked or a repair has numbers, so the client isn't created in every cold start.
        return aws_client("stepfunctions")

    def is_running(self, execution_arn: str) -> bool:
        """Return whether the execution exists and hasn't ended."""
        try:
            return self._client.describe_execution(executionArn=execution_arn)["status"] == RUNNING
        except self._client.exceptions.ExecutionDoesNotExist:
            return False

    def input_of(self, execution_arn: str) -> str:
        """Return the input of an execution as it was given, character for character."""
        return self._client.describe_execution(executionArn=execution_arn)["input"]
