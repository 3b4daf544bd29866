"""Which stacks the command works with, and what it says about all others."""

import pytest
from botocore.exceptions import ClientError

from redrive import VERSION
from redrive.adapters.account import Account
from redrive.adapters.stack import StackError, find_stack
from tests.support.moto_cloud import hook

OUTPUTS = {
    "Version": VERSION,
    "RedriveStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:redrive",
    "RunTableName": "runs",
    "StopFunctionName": "stop",
    "QuarantineQueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/quarantine",
    "ReportTopicArn": "arn:aws:sns:us-east-1:123456789012:reports",
}


pytestmark = pytest.mark.usefixtures("operator")


def test_a_stack_is_what_its_outputs_and_parameters_say(cloud):
    cloud.stack("redrive", OUTPUTS | {"ReportBucketName": "pages"}, QueueNamePattern="orders*")
    found = find_stack(Account(), "redrive")
    assert (found.name, found.version, found.run_table, found.stop_function) == ("redrive", VERSION, "runs", "stop")
    assert found.state_machine_arn == OUTPUTS["RedriveStateMachineArn"]
    assert (found.quarantine_url, found.report_topic_arn) == (OUTPUTS["QuarantineQueueUrl"], OUTPUTS["ReportTopicArn"])
    assert found.report_bucket == "pages"
    assert found.parameters == {"QueueNamePattern": "orders*"}


def refused(name: str = "redrive") -> str:
    with pytest.raises(StackError) as error:
        find_stack(Account(), name)
    return str(error.value)


def test_a_missing_stack_is_said_with_those_that_could_be_meant(cloud):
    assert "No stack of sqs-redrive is deployed in this Region." in refused()
    cloud.stack("network", {"VpcId": "vpc-1"})
    cloud.stack("orders-redrive", OUTPUTS)
    assert "There is no stack redrive in us-east-1. Name one that is with --stack" in refused()
    assert "orders-redrive." in refused()
    assert "network" not in refused()


def test_a_stack_of_something_else_is_refused(cloud):
    cloud.stack("redrive", {"VpcId": "vpc-1"})
    assert "isn't one of sqs-redrive: it has no output RedriveStateMachineArn" in refused()


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_was_never_deployed_is_refused(cloud, status):
    cloud.stack("redrive", {}, status)
    assert f"isn't deployed: its status is {status}" in refused()


def test_a_stack_that_passes_only_some_outputs_on_is_refused(cloud):
    cloud.stack("redrive", {key: OUTPUTS[key] for key in ("Version", "RedriveStateMachineArn")})
    assert "no output RunTableName" in refused()


@pytest.mark.parametrize(
    ("stack", "command", "expected"),
    [
        (None, "0.2.0", "older (0.2.0 or older)"),
        ("0.2.0", "0.3.0", "older (0.2.0)"),
        ("0.10.0", "0.9.0", "newer (0.10.0)"),
        ("1.0.0", "0.9.0", "newer (1.0.0)"),
        ("0.9.0", "1.0.0", "older (0.9.0)"),
        ("2.0.0", "1.9.9", "newer (2.0.0)"),
    ],
)
def test_another_version_is_refused(cloud, monkeypatch, stack, command, expected):
    monkeypatch.setattr("redrive.adapters.stack.VERSION", command)
    cloud.stack("redrive", {key: value for key, value in (OUTPUTS | {"Version": stack}).items() if value})
    text = refused()
    assert expected in text
    assert f"than this command ({command})" in text


@pytest.mark.parametrize(("stack", "command"), [("0.2.0", "0.2.7"), ("1.4.0", "1.0.3"), ("0.2.1-rc1", "0.2.0")])
def test_versions_that_fit_are_accepted(cloud, monkeypatch, stack, command):
    monkeypatch.setattr("redrive.adapters.stack.VERSION", command)
    cloud.stack("redrive", OUTPUTS | {"Version": stack})
    assert find_stack(Account(), "redrive").version == stack


def test_an_error_of_aws_stays_what_it_is(cloud):
    del cloud

    def deny(**_):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "DescribeStacks")

    with (
        hook("provide-client-params.cloudformation.DescribeStacks", deny),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        find_stack(Account(), "redrive")
