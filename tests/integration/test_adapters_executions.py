"""Executions: which of them still run, so that a lock tells whether its run is alive."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from redrive.adapters.executions import Executions
from tests.support.moto_cloud import moto_cloud


@pytest.fixture
def states() -> Iterator[Any]:
    with moto_cloud():
        client = boto3.client("stepfunctions")
        client.create_state_machine(
            name="redrive",
            definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
            roleArn="arn:aws:iam::123456789012:role/redrive",
        )
        yield client


def started(states: Any) -> str:
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return states.start_execution(stateMachineArn=machine, name="run-1")["executionArn"]


def test_an_execution_that_was_started_is_running(states):
    assert Executions().is_running(started(states))


def test_an_execution_that_was_stopped_is_not_running(states):
    execution = started(states)
    states.stop_execution(executionArn=execution)
    assert not Executions().is_running(execution)


@pytest.mark.usefixtures("states")
def test_an_execution_that_nobody_remembers_is_not_running():
    # Step Functions forgets an execution 90 days after its end.
    assert not Executions().is_running("arn:aws:states:us-east-1:123456789012:execution:redrive:long-ago")
