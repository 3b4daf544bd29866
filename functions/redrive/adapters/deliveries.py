"""Delivers messages to functions, by asynchronous invocation, and to state machines, by starting executions.

Called by the pipeline, one request per message. Its clients are created when the first message needs them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import ClientError

from redrive.adapters.trace_context import without_own_trace
from redrive.aws_session import aws_client
from redrive.domain.messages.destinations import Kind
from redrive.domain.messages.outbound import Outbound

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_stepfunctions import SFNClient


class Deliveries:
    """Functions and state machines of one account and region.

    Parameters
    ----------
    connections : int
        Connections kept open, one per thread.
    """

    def __init__(self, connections: int) -> None:
        # The lane retries by itself, because it counts what may have been carried out twice.
        self._config = Config(max_pool_connections=connections, retries={"total_max_attempts": 1})

    @cached_property
    def _lambda(self) -> LambdaClient:
        return without_own_trace(aws_client("lambda", config=self._config))

    @cached_property
    def _workflows(self) -> SFNClient:
        return without_own_trace(aws_client("stepfunctions", config=self._config))

    def deliver(self, outbound: Outbound) -> str:
        """Deliver one message; return the id of the request or the name of the execution.

        What goes wrong is raised as botocore's error.
        """
        destination, request = outbound.destination, outbound.request
        if destination.kind is Kind.FUNCTION:
            # An accepted asynchronous invocation is queued by Lambda: it counts as sent.
            answer = self._lambda.invoke(
                FunctionName=destination.address, InvocationType="Event", Payload=request["Payload"].encode()
            )
            return answer["ResponseMetadata"]["RequestId"]
        try:
            self._workflows.start_execution(
                stateMachineArn=destination.address, name=request["name"], input=request["input"]
            )
        except ClientError as error:
            # The same message, sent before: its execution exists already.
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
        return str(request["name"])
