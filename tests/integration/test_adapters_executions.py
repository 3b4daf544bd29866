"""Executions are checked for whether they still run, so a dead run's lock is recognized, and their inputs are read."""

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


def started(states: Any, given: str = "{}") -> str:
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return states.start_execution(stateMachineArn=machine, name="run-1", input=given)["executionArn"]


def test_a_started_execution_is_running(states):
    assert Executions().is_running(started(states))


def test_the_input_of_an_execution_is_read_character_for_character(states):
    written = '{"a":  0.1000000000000000000001, "b": 1.50}'
    assert Executions().input_of(started(states, written)) == written


def test_a_stopped_execution_is_not_running(states):
    execution = started(states)
    states.stop_execution(executionArn=execution)
    assert not Executions().is_running(execution)


@pytest.mark.usefixtures("states")
def test_an_execution_that_no_longer_exists_is_not_running():
    # Step Functions deletes an execution 90 days after it ends.
    assert not Executions().is_running("arn:aws:states:us-east-1:123456789012:execution:redrive:long-ago")
