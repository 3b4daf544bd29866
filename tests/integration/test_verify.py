"""The command that verifies a stack: what it refuses, and that it removes what it made, whatever happens."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.rates import declared_max_rate
from tests.support.moto_cloud import moto_cloud
from verify import __main__ as command
from verify.aws import Aws
from verify.cost import Amounts, dollars, total
from verify.errors import InterruptedByUserError, MismatchError, SkippedError
from verify.owned import TAG, Owned
from verify.runner import Result, Verification
from verify.scenarios import SCENARIOS, Scenario
from verify.stack import find_stack
from verify.stage import Stage

type Deploy = Callable[..., None]
BODY = "verify-0-x-0000 396144610"


class Described:
    """CloudFormation and Lambda, which moto has only with more packages: as they answer about one stack."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self.meta = SimpleNamespace(region_name="us-east-1")

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName != "redrive":
            raise _error("ValidationError", f"Stack with id {StackName} does not exist", "DescribeStacks")
        return {"Stacks": [self.stack]}

    def get_function(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        raise _error("ResourceNotFoundException", f"Function not found: {FunctionName}", "GetFunction")


def _error(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto_cloud():
        boto3.client("sqs").create_queue(QueueName="quarantine")
        yield


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that deploys a stack which CloudFormation describes like the app's."""

    def deploy(outputs: bool = True, status: str = "UPDATE_COMPLETE", **parameters: str) -> None:
        parameters = {"QueueNamePattern": "redrive-verify-*", "DestinationFunctionArns": ""} | parameters
        values = {
            "RedriveStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:redrive",
            "QuarantineQueueUrl": boto3.client("sqs").get_queue_url(QueueName="quarantine")["QueueUrl"],
            "StopFunctionName": "stop",
            "RunTableName": "runs",
        }
        described = Described(
            {
                "StackStatus": status,
                "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in values.items() if outputs],
            }
        )

        class AwsWithStack(Aws):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self.cloudformation = self.functions = described  # type: ignore[misc]

        monkeypatch.setattr(command, "Aws", AwsWithStack)

    return deploy


def queues() -> list[str]:
    urls = boto3.client("sqs").list_queues().get("QueueUrls", [])
    return sorted(url.rsplit("/", 1)[1] for url in urls)


def fill(stage: Stage) -> None:
    stage.send(stage.queue("one"), [{"MessageBody": BODY}])
    stage.queue("two", fifo=True)


def passing(stage: Stage) -> str:
    fill(stage)
    return "all is well"


def mismatching(stage: Stage) -> str:
    fill(stage)
    raise MismatchError("Expected 1, found 2.")


def skipping(stage: Stage) -> str:
    fill(stage)
    raise SkippedError("there is no function")


def breaking(stage: Stage) -> str:
    fill(stage)
    raise KeyError(BODY)


def denied(stage: Stage) -> str:
    fill(stage)
    stage.aws.sqs.send_message(QueueUrl="https://sqs.us-east-1.amazonaws.com/123456789012/gone", MessageBody=BODY)
    return "never"


def verification(*plays: Any) -> Verification:
    aws = command.Aws()
    scenarios = [Scenario(f"scenario-{letter}", one, Amounts()) for letter, one in zip("abcdef", plays, strict=False)]
    return Verification(aws, find_stack(aws.cloudformation, "redrive"), "redrive-verify", scenarios)


def choose(monkeypatch: pytest.MonkeyPatch, *plays: Any) -> None:
    monkeypatch.setattr(command, "SCENARIOS", [Scenario(one.__name__, one, Amounts(queues=2)) for one in plays])


# What is refused


@pytest.mark.parametrize(
    ("arguments", "parameters", "expected"),
    [
        (["nosuch"], {}, "Expected a stack named nosuch in us-east-1, found none."),
        (["redrive"], {"QueueNamePattern": "orders*"}, "Deploy it with QueueNamePattern=orders*,redrive-verify-*, or"),
        (["redrive"], {"QueueNamePattern": ""}, "found none. Deploy it with QueueNamePattern=redrive-verify-*."),
        (["redrive", "--prefix", "other"], {}, "queues named other-*, found 'redrive-verify-*'"),
        (["redrive", "--prefix", "a b"], {}, "Expected --prefix to have 1 to 30 letters"),
        (["redrive", "--prefix", "x" * 31], {}, "Expected --prefix to have 1 to 30 letters"),
        (["redrive", "--only", "nosuch"], {}, "Expected --only to name a scenario (valid, "),
        (["redrive", "--profile", "nosuch"], {}, "Pass a profile of your AWS configuration with --profile."),
        (["redrive", "--endpoint-url", "nonsense"], {}, "Expected the endpoint to be a URL"),
        (["redrive", "--region", "no such region"], {}, "and the Region to be a name such as us-east-1"),
    ],
)
def test_what_cannot_be_verified_is_refused_with_what_to_do_and_nothing_is_created(
    deploy: Deploy, arguments: list[str], parameters: dict[str, str], expected: str, capsys: pytest.CaptureFixture[str]
):
    deploy(**parameters)
    assert command.main([*arguments, "--yes"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert expected in error
    assert error.count("\n") == 1
    assert queues() == ["quarantine"]


def test_a_stack_that_is_not_deployed_is_refused(deploy: Deploy, capsys: pytest.CaptureFixture[str]):
    deploy(status="UPDATE_IN_PROGRESS")
    assert command.main(["redrive", "--yes"]) == 2
    assert "to be deployed, found the status UPDATE_IN_PROGRESS" in capsys.readouterr().err


def test_a_stack_of_another_app_is_refused(deploy: Deploy, capsys: pytest.CaptureFixture[str]):
    deploy(outputs=False)
    assert command.main(["redrive", "--yes"]) == 2
    assert "Expected a stack of this app, with the output RedriveStateMachineArn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (["AWS_DEFAULT_REGION", "AWS_REGION"], "Expected a Region, found none. Set AWS_REGION, or pass --region."),
        (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "Unable to locate credentials."),
    ],
)
def test_without_a_region_or_credentials_it_says_so(
    missing: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in missing:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert command.main(["redrive", "--yes"]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["n", "", "yes please", None])
def test_whoever_does_not_agree_gets_nothing_created(
    deploy: Deploy, answer: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def answered(_question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    deploy()
    monkeypatch.setattr("builtins.input", answered)
    assert command.main(["redrive"]) == 2
    output = capsys.readouterr()
    assert "nothing was created" in output.err
    assert "It costs at most $0.0" in output.out
    assert queues() == ["quarantine"]


# What it costs


def test_all_scenarios_cost_less_than_ten_cents():
    costs = dollars(total(scenario.amounts for scenario in SCENARIOS))
    assert 0.01 < sum(costs.values()) < 0.10
    assert all(cost > 0 for cost in costs.values())


# What happens to what was made


@pytest.mark.parametrize(
    ("one", "result", "detail"),
    [
        (passing, Result.PASSED, "all is well"),
        (mismatching, Result.FAILED, "Expected 1, found 2."),
        (skipping, Result.SKIPPED, "there is no function"),
        (breaking, Result.FAILED, "KeyError in the verification itself. Please report it."),
        (denied, Result.FAILED, "SendMessage failed with AWS.SimpleQueueService.NonExistentQueue"),
    ],
)
def test_however_a_scenario_ends_its_queues_are_removed_and_no_message_is_quoted(
    deploy: Deploy, one: Any, result: Result, detail: str
):
    deploy()
    (outcome,) = verification(one).play(lambda _: None)
    assert (outcome.result, outcome.left) == (result, {})
    assert detail in outcome.detail
    assert BODY not in outcome.detail
    assert queues() == ["quarantine"]


def test_an_interruption_ends_what_waits_and_removes_its_queues(deploy: Deploy):
    def interrupted(stage: Stage) -> str:
        fill(stage)
        played.interrupt()
        stage.until(lambda: False, "what never comes")
        return "never"

    deploy()
    played = verification(*[interrupted] * 5)
    outcomes = played.play(lambda _: None)
    assert {(outcome.result, outcome.detail) for outcome in outcomes} == {(Result.SKIPPED, "interrupted")}
    assert queues() == ["quarantine"]


def test_ctrl_c_removes_everything_and_the_status_says_so(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(stage: Stage) -> str:
        fill(stage)
        signal.raise_signal(signal.SIGINT)
        stage.until(lambda: False, "what never comes")
        return "never"

    deploy()
    choose(monkeypatch, interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert command.main(["redrive", "--yes"]) == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before
    assert "Everything that was created is removed." in capsys.readouterr().out
    assert queues() == ["quarantine"]


def test_what_cannot_be_removed_is_listed_with_the_command_that_removes_it(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def protected(stage: Stage) -> str:
        thing = stage.owned.queue("protected")
        stage.owned._things.append(replace(stage.owned._things[0], kind="role", name="r", reference=""))
        return thing.name

    deploy()
    choose(monkeypatch, protected)
    monkeypatch.setattr("verify.owned._PAUSES_SECONDS", (0,))
    assert command.main(["redrive", "--yes"]) == 1
    assert "Not removed: role r: " in capsys.readouterr().out
    assert queues() == ["quarantine"]


def lost(stage: Stage) -> str:
    queue = stage.queue("one")
    stage.send(queue, stage.messages(3))
    (message,) = stage.aws.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=1)["Messages"]
    stage.aws.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    stage.balance(queue)
    return "never"


def in_the_wrong_queue(stage: Stage) -> str:
    one, other = stage.queue("one"), stage.queue("other")
    stage.send(one, messages := stage.messages(3))
    stage.ledger.expect(other.name, messages)
    stage.balance(one, other)
    return "never"


def sent_twice(stage: Stage) -> str:
    queue = stage.queue("one")
    messages = stage.messages(3)
    stage.send(queue, messages)
    stage.send(queue, messages[:1])
    stage.balance(queue)
    return "never"


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (lost, "1 message missing from"),
        (in_the_wrong_queue, "3 messages in"),
        (sent_twice, "1 message there more than"),
    ],
)
def test_a_scenario_whose_messages_do_not_balance_fails(deploy: Deploy, one: Any, problem: str):
    deploy()
    (outcome,) = verification(one).play(lambda _: None)
    assert outcome.result is Result.FAILED
    assert outcome.detail.startswith(problem)
    assert queues() == ["quarantine"]


@pytest.mark.parametrize(
    ("dlq", "stopped"), [("redrive-verify-0a1b-dlq", True), ("https://sqs.us-east-1.amazonaws.com/1/quarantine", False)]
)
def test_a_run_that_is_left_behind_is_stopped_unless_it_may_be_somebody_elses(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, dlq: str, stopped: bool
):
    calls: list[str] = []

    def interrupted(stage: Stage) -> str:
        workflow = SimpleNamespace(
            start_execution=lambda **_: {"executionArn": "run"},
            describe_execution=lambda **_: {"status": "SUCCEEDED", "output": "{}"},
        )
        monkeypatch.setattr(stage.aws, "workflow", workflow)
        monkeypatch.setattr(stage, "stop_run", calls.append)
        stage.start({"dlq": dlq})
        raise InterruptedByUserError

    deploy()
    verification(interrupted).play(lambda _: None)
    assert calls == ([dlq] if stopped else [])


@pytest.mark.parametrize(
    ("plays", "status"),
    [
        ([passing], 0),
        ([passing, mismatching, skipping], 1),
        ([passing, skipping], 3),
        ([skipping], 3),
    ],
)
def test_a_skipped_scenario_is_not_a_passed_one(
    deploy: Deploy, plays: list[Any], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    deploy()
    choose(monkeypatch, *plays)
    assert command.main(["redrive", "--yes"]) == status
    output = capsys.readouterr().out
    assert ("A skipped scenario isn't a passed one." in output) == (skipping in plays)
    assert f"{plays.count(passing)} passed, " in output


def test_a_scenario_that_was_not_requested_is_skipped_too(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    deploy()
    choose(monkeypatch, passing, mismatching)
    assert command.main(["redrive", "--yes", "--only", "passing"]) == 3
    assert "1 passed, 0 failed, 1 skipped." in capsys.readouterr().out


def test_scenarios_that_the_stack_cannot_play_are_named_before_it_starts(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
):
    deploy(DestinationFunctionArns="arn:aws:lambda:us-east-1:123456789012:function:orders")
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="quarantine")["QueueUrl"], MessageBody="someone's")
    only = ["--only", "function-failures", "--only", "quarantine-and-back"]
    assert command.main(["redrive", "--yes", *only]) == 2
    output = " ".join(capsys.readouterr().out.split())
    arns = (
        "arn:aws:lambda:us-east-1:123456789012:function:orders,arn:aws:lambda:us-east-1:123456789012:function:redrive"
    )
    assert f"deploy the stack with DestinationFunctionArns={arns}-verify-function." in output
    assert "quarantine-and-back: the quarantine isn't empty (about 1 messages, which aren't touched)" in output
    assert queues() == ["quarantine"]


# What an interrupted verification leaves behind


def test_only_what_has_the_prefix_and_the_tag_is_cleaned_up(deploy: Deploy, capsys: pytest.CaptureFixture[str]):
    deploy()
    sqs = boto3.client("sqs")
    Owned(command.Aws(), "redrive-verify", "0a1b").queue("left")
    Owned(command.Aws(), "other", "0a1b").queue("left")
    sqs.create_queue(QueueName="redrive-verify-mine")
    sqs.create_queue(QueueName="orders", tags={TAG: "0a1b"})
    assert command.main(["redrive", "--clean-up", "--yes"]) == 0
    assert "queue redrive-verify-0a1b-left (run 0a1b)" in capsys.readouterr().out
    assert queues() == ["orders", "other-0a1b-left", "quarantine", "redrive-verify-mine"]
    assert command.main(["redrive", "--clean-up", "--yes"]) == 0
    assert "is left." in capsys.readouterr().out


def test_cleaning_up_asks_first(deploy: Deploy, monkeypatch: pytest.MonkeyPatch):
    deploy()
    Owned(command.Aws(), "redrive-verify", "0a1b").queue("left")
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert command.main(["redrive", "--clean-up"]) == 2
    assert "redrive-verify-0a1b-left" in queues()


def test_every_queue_is_tagged_encrypted_and_keeps_messages_for_an_hour():
    queue = Owned(command.Aws(), "redrive-verify", "0a1b").queue("one")
    sqs = boto3.client("sqs")
    assert sqs.list_queue_tags(QueueUrl=queue.url)["Tags"] == {TAG: "0a1b"}
    found = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert (found["SqsManagedSseEnabled"], found["MessageRetentionPeriod"]) == ("true", "3600")


def test_its_tag_does_not_end_the_runs_of_the_redrive():
    queue = QueueRef.model_construct(name="q", url="u", arn="a")
    assert declared_max_rate(queue, {TAG: "0a1b"}) is None
