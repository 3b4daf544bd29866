"""Delivers letters to what is no queue: asynchronous invocations of functions, executions of state machines.

Called by the pipeline, one request a letter. Its clients are made when the first letter needs them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from redrive.domain.destinations import Destination, Kind
from redrive.domain.lane import BatchResult, Held

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_stepfunctions import SFNClient


class Deliveries:
    """Functions and state machines of one account and region.

    Parameters
    ----------
    connections : int
        Connections kept open, one a thread.
    """

    def __init__(self, connections: int) -> None:
        # The lane tries again by itself, since it counts what may have been carried out twice.
        self._config = Config(max_pool_connections=connections, retries={"total_max_attempts": 1})

    @cached_property
    def _lambda(self) -> LambdaClient:
        return boto3.client("lambda", config=self._config)

    @cached_property
    def _workflows(self) -> SFNClient:
        return boto3.client("stepfunctions", config=self._config)

    def deliver(self, destination: Destination, held: Held) -> BatchResult:
        """Deliver one letter; what goes wrong is raised as botocore's error."""
        assert held.outgoing is not None
        request = held.outgoing.request
        if destination.kind is Kind.FUNCTION:
            # An accepted asynchronous invocation is queued by Lambda: it counts as sent.
            self._lambda.invoke(
                FunctionName=destination.address, InvocationType="Event", Payload=request["Payload"].encode()
            )
            return BatchResult()
        try:
            self._workflows.start_execution(
                stateMachineArn=destination.address, name=request["name"], input=request["input"]
            )
        except ClientError as error:
            # The same letter, sent before: its execution is there already.
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
        return BatchResult()
