"""`redrive start`, `watch`, and `stop` with a stack: what they start, show, and say, whatever goes wrong."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from redrive.command import confirm
from redrive.command.main import run
from redrive.domain.moving.results import Counts
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Next, Tally
from tests.support import factories
from tests.support.moto_stack import MotoStack, denied
from tests.support.reports import report, state_error

pytestmark = pytest.mark.usefixtures("operator")

MARK = "zqxj"


@pytest.fixture
def stack(cloud) -> MotoStack:
    return MotoStack(cloud)


class Scenes:
    """Time as a command sees it, in which something happens at each pause; a pause too many is an error."""

    def __init__(self) -> None:
        self.now = 0.0
        self.scenes: list[Callable[[], Any]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.scenes, "the command waits for something that never happens"
        self.scenes.pop(0)()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def scenes(monkeypatch) -> Scenes:
    made = Scenes()
    monkeypatch.setattr("redrive.command.watching.time", made)
    return made


class Terminal:
    """What an operator types, in place of a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.typed: Iterator[Any] = iter(())
        monkeypatch.setattr(confirm.sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(click, "confirm", lambda text, **_: self._answer(text))
        monkeypatch.setattr(click, "prompt", lambda text, **_: self._answer(text))

    def _answer(self, text: str) -> Any:
        self.asked.append(text)
        return next(self.typed)


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    return Terminal(monkeypatch)


def ended_with(name: str, error: StateError | None = None, **counts: int) -> Report:
    plan = None if error else factories.plan(run_id=name)
    return report(plan=plan, tally=Tally(counts=Counts(**counts), drained=True), error=error)


def fail(code: str) -> Callable[[dict[str, Any]], Any]:
    def answer(_params: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "DescribeExecution")

    return answer


# start


@pytest.mark.usefixtures("dlq")
def test_nothing_starts_without_a_terminal_or_yes(cloud, stack, capsys):
    cloud.calls.clear()
    assert run(["start", "orders-dlq"]) == 2
    assert "Pass --yes" in capsys.readouterr().err
    assert cloud.calls == []
    assert stack.executions() == []


def test_a_plan_is_shown_and_the_name_of_the_queue_must_be_typed(cloud, dlq, stack, terminal, scenes, capsys):
    cloud.send(dlq, [json.dumps({"secret": MARK})] * 3)
    terminal.typed = iter(["orders"])
    assert run(["start", "orders-dlq", "--rate", "7"]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "Plan for orders-dlq: about 3 messages" in found.err
    assert "7 messages per second" in found.err
    assert "Nothing was started." in found.err
    assert MARK not in found.err
    assert stack.executions() == []

    terminal.typed = iter(["orders-dlq"])
    scenes.scenes = [lambda: stack.plan(stack.executions()[0], dlq)]
    assert run(["start", "orders-dlq", "--rate", "7", "--because", "INC-42"]) == 0
    [name] = stack.executions()
    given = stack.input_of(name)
    assert given.pop("startedBy").startswith("arn:aws:sts::123456789012:")
    assert given == {"dlq": "orders-dlq", "rate": 7, "because": "INC-42"}
    found = capsys.readouterr()
    assert found.out == f"{name}\n"
    assert f"redrive watch {name}" in found.err
    assert "takes all messages of orders-dlq" in terminal.asked[-1]
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (3, 0)


@pytest.mark.parametrize("limit", [["--max-messages", "2"], ["--select-source", "orders"]])
def test_a_limited_run_needs_only_a_yes(cloud, dlq, stack, terminal, capsys, limit):
    cloud.send(dlq, ["1"] * 3)
    terminal.typed = iter([False])
    assert run(["start", "orders-dlq", *limit]) == 1
    assert terminal.asked == ["Start this run on orders-dlq?"]
    assert stack.executions() == []
    assert "Nothing was started." in capsys.readouterr().err


def test_with_yes_a_run_starts_at_once_and_its_name_is_the_result(cloud, dlq, stack, scenes, capsys):
    scenes.scenes = [lambda: stack.plan("after-incident-42", dlq)]
    cloud.calls.clear()
    arguments = ["start", "orders-dlq", "--yes", "--quiet", "--name", "after-incident-42", "--json"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == "after-incident-42"
    assert document["executionArn"] == stack.arn("after-incident-42")
    assert "sqs:ReceiveMessage" not in cloud.calls


def test_a_dry_run_asks_nothing_and_shows_its_report(dlq, stack, scenes, capsys):
    del dlq
    made = report(plan=factories.plan(dry_run=True), in_queue=40)
    scenes.scenes = [lambda: stack.end(stack.executions()[0], made)]
    assert run(["start", "orders-dlq", "--dry-run"]) == 0
    assert "Redrive of orders-dlq: DRY_RUN" in capsys.readouterr().out


def test_a_run_that_the_stack_rejects_is_shown_even_if_nobody_watches(dlq, stack, scenes, capsys):
    del dlq
    rejected = ended_with("x", state_error("RejectedError", "rate: too much"))
    scenes.scenes = [lambda: stack.end(stack.executions()[0], rejected, "FAILED", "Redrive.Rejected")]
    assert run(["start", "orders-dlq", "--yes", "--quiet"]) == 4
    assert "rate: too much" in capsys.readouterr().out


def test_a_run_that_is_on_is_named_with_who_started_it_and_what_to_do(dlq, stack, capsys):
    stack.begin("first", dlq="orders-dlq", startedBy="arn:aws:iam::123456789012:user/\x1b[31mana")
    stack.plan("first", dlq)
    assert run(["start", "orders-dlq", "--yes"]) == 4
    error = capsys.readouterr().err
    assert "The run first, started by arn:aws:iam::123456789012:user/" in error
    assert "\x1b" not in error
    assert "redrive watch first" in error
    assert "redrive stop first" in error
    assert stack.executions() == ["first"]


def test_the_lock_of_a_dead_run_holds_nobody_back(dlq, stack, scenes):
    stack.begin("dead", dlq="orders-dlq")
    stack.plan("dead", dlq)
    stack.end("dead", None, "ABORTED")
    scenes.scenes = [lambda: stack.end("next", ended_with("next", redriven=1))]
    assert run(["start", "orders-dlq", "--yes", "--quiet", "--name", "next"]) == 0


@pytest.mark.usefixtures("dlq", "stack")
def test_an_unknown_queue_is_said_with_similar_names(capsys):
    assert run(["start", "order-dlq", "--yes"]) == 4
    assert "Did you mean orders-dlq" in capsys.readouterr().err


@pytest.mark.usefixtures("dlq")
def test_a_taken_name_is_refused(stack, capsys):
    stack.begin("taken", dlq="other")
    stack.end("taken", None, "ABORTED")
    assert run(["start", "orders-dlq", "--yes", "--quiet", "--name", "taken"]) == 4
    assert "Choose another --name" in capsys.readouterr().err
    assert run(["start", "orders-dlq", "--yes", "--name", "a b"]) == 2


@pytest.mark.usefixtures("dlq")
def test_a_stack_that_requires_a_reason_gets_one_or_nothing_starts(cloud, capsys):
    stack = MotoStack(cloud, RequireReason="true")
    assert run(["start", "orders-dlq", "--yes"]) == 2
    assert "--because" in capsys.readouterr().err
    assert stack.executions() == []


def test_a_plan_judges_as_the_stack_does(cloud, dlq, stack, terminal, capsys):
    schema = json.dumps({"type": "object", "required": ["quantity"]})
    cloud.answers["ssm.GetParameter"] = lambda _: {"Parameter": {"Value": schema}}
    stack.environment["QUEUE_CONTRACTS"] = "orders=ssm:/contracts/order,other=python:no.such:CONTRACT"
    cloud.send(dlq, ['{"quantity": 1}', "{}"])
    terminal.typed = iter([""])
    run(["start", "orders-dlq"])
    rows = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert any(row[:1] == ["50%"] and row[1].startswith("quarantined") for row in rows)


def test_a_plan_without_the_contracts_says_so(cloud, dlq, stack, terminal, capsys):
    cloud.send(dlq, ["{}"])
    stack.environment["QUEUE_CONTRACTS"] = "orders=python:no.such:CONTRACT"
    terminal.typed = iter(["", "", ""])
    run(["start", "orders-dlq"])
    found = capsys.readouterr().err
    assert "The contract of orders is Python code that only the stack has" in found
    assert "redrive start orders-dlq --dry-run\n" in found
    stack.environment["QUEUE_CONTRACTS"] = "orders=ssm:/no/such"
    run(["start", "orders-dlq"])
    assert "The contract of orders can't be read here" in capsys.readouterr().err
    cloud.answers["lambda.GetFunctionConfiguration"] = denied("GetFunctionConfiguration")
    run(["start", "orders-dlq"])
    found = capsys.readouterr().err
    assert "These credentials don't allow lambda:GetFunctionConfiguration" in found
    assert "Plan for orders-dlq" in found


@pytest.mark.usefixtures("dlq")
def test_without_a_stack_nothing_starts(capsys):
    assert run(["start", "orders-dlq", "--yes"]) == 1
    assert "There is no stack sqs-redrive in us-east-1" in capsys.readouterr().err


# watch


def test_a_run_is_watched_until_its_report(cloud, dlq, stack, scenes, capsys):
    cloud.send(dlq, ["1"] * 100)
    stack.begin("first", dlq="orders-dlq", rate=20)
    plan = stack.plan("first", dlq, waiting=100, rate=20)
    scenes.scenes = [
        lambda: stack.moves(plan, redriven=20),
        *[lambda: None] * 4,
        lambda: stack.moves(plan, redriven=60, quarantine_reasons={"contract-violated": 3}, quarantined=3),
        *[lambda: None] * 4,
        lambda: stack.tallies(plan, redriven=80, quarantined=5, rounds=1, next=Next.MOVE),
        *[lambda: None] * 4,
        lambda: stack.moves(plan, round_=1, redriven=10),
        *[lambda: None] * 4,
        lambda: stack.end("first", ended_with("first", redriven=95, quarantined=5)),
    ]
    assert run(["watch"]) == 0
    found = capsys.readouterr()
    lines = found.err.splitlines()
    assert lines[0] == "orders-dlq: 0 of about 100 moved, planning and sampling; at most 20 per second"
    assert any("20 of about 100 moved" in line for line in lines)
    assert any("63 of about 100 moved" in line and "3 quarantined (contract-violated 3)" in line for line in lines)
    assert any("85 of about 100 moved" in line and "per second" in line and "left" in line for line in lines)
    assert any("95 of about 100 moved" in line for line in lines)
    assert "Redrive of orders-dlq: SUCCEEDED" in found.out


@pytest.mark.parametrize("by", ["first", "arn", "orders-dlq"])
def test_a_run_is_found_by_its_id_its_arn_or_its_queue(dlq, stack, scenes, capsys, by):
    stack.begin("first", dlq="orders-dlq")
    stack.begin("second", dlq="payments-dlq")
    stack.plan("first", dlq)
    scenes.scenes = [lambda: stack.end("first", ended_with("first", redriven=7))]
    assert run(["watch", stack.arn("first") if by == "arn" else by, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["report"]["counts"]["redriven"]) == ("first", 7)


def test_several_runs_are_listed(stack, capsys):
    stack.begin("first", dlq="orders-dlq")
    stack.begin("second", dlq="payments-dlq")
    stack.begin("first-successor", continuation={"run": "first"})
    assert run(["watch"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert sorted(rows[1:]) == [["first", "orders-dlq"], ["second", "payments-dlq"]]
    assert run(["watch", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["running"]) == 2


@pytest.mark.usefixtures("dlq", "stack")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "No run is in progress"),
        (["nope"], "There is no run nope"),
        (["a b\x1b"], "There is no run a b"),
        (["orders-dlq"], "See the report of the last one: redrive report orders-dlq"),
    ],
)
def test_a_run_that_is_not_there_is_said(capsys, arguments, expected):
    assert run(["watch", *arguments]) == 1
    assert expected in capsys.readouterr().err


def test_a_run_that_has_ended_shows_its_report_at_once(stack, capsys):
    stack.begin("first", dlq="orders-dlq")
    stack.end("first", ended_with("first", state_error("RuntimeError")), "FAILED", "Redrive.Failed")
    assert run(["watch", "first"]) == 1
    assert "FAILED" in capsys.readouterr().out
    stack.begin("second", dlq="orders-dlq")
    stack.end("second", ended_with("second", redriven=1), "FAILED", "Redrive.NotPublished")
    assert run(["watch", "second"]) == 0
    assert "SNS rejected the report" in capsys.readouterr().err


@pytest.mark.usefixtures("dlq")
def test_a_run_without_a_report_says_how_it_ended(stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    scenes.scenes = [lambda: stack.end("first", None, "ABORTED")]
    assert run(["watch", "first"]) == 1
    assert "has ended without a report: ABORTED" in capsys.readouterr().err


def test_a_run_that_continues_in_another_execution_is_followed(dlq, stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    plan = stack.plan("first", dlq)
    scenes.scenes = [
        lambda: stack.tallies(plan, redriven=50, rounds=1, next=Next.CONTINUE, successor="first-next"),
        lambda: stack.begin("first-next", continuation={"run": "first"}),
        lambda: stack.end("first", None, "ABORTED"),
        lambda: stack.moves(plan, round_=1, redriven=40),
        lambda: stack.end("first-next", ended_with("first", redriven=90)),
    ]
    assert run(["watch", "first"]) == 0
    assert "90" in capsys.readouterr().out


def test_a_run_is_found_by_the_execution_that_continues_it(dlq, stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    stack.plan("first", dlq)
    stack.begin("first-next", continuation={"run": "first"})
    scenes.scenes = [lambda: stack.end("first", ended_with("first", redriven=90))]
    assert run(["watch", "first-next", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "first"


def test_ctrl_c_ends_watching_and_says_that_the_run_goes_on(stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")

    def interrupt() -> None:
        raise KeyboardInterrupt

    scenes.scenes = [interrupt]
    assert run(["watch", "first"]) == 130
    error = capsys.readouterr().err
    assert "The run continues. Watch it: redrive watch first  Stop it: redrive stop first" in error
    assert stack.states.describe_execution(executionArn=stack.arn("first"))["status"] == "RUNNING"


def test_expired_credentials_end_watching_and_say_that_the_run_goes_on(cloud, stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    answers = {"stepfunctions.DescribeExecution": fail("ExpiredTokenException")}
    scenes.scenes = [lambda: cloud.answers.update(answers)]
    assert run(["watch", "first"]) == 1
    error = capsys.readouterr().err
    assert "credentials have expired" in error
    assert "The run continues. Watch it: redrive watch first" in error


@pytest.mark.parametrize(
    "problem",
    [
        fail("ThrottlingException"),
        fail("ProvisionedThroughputExceededException"),
        lambda _: (_ for _ in ()).throw(EndpointConnectionError(endpoint_url="https://states")),
    ],
)
def test_a_throttle_or_a_lost_network_only_delays(cloud, stack, scenes, capsys, problem):
    stack.begin("first", dlq="orders-dlq")
    scenes.scenes = [
        lambda: cloud.answers.update({"stepfunctions.DescribeExecution": problem}),
        *[lambda: None] * 3,
        cloud.answers.clear,
    ]
    scenes.scenes[-1] = lambda: (
        cloud.answers.pop("stepfunctions.DescribeExecution"),
        stack.end("first", ended_with("first", redriven=7)),
    )
    assert run(["watch", "first"]) == 0
    assert capsys.readouterr().err.count("AWS doesn't answer") == 1


def test_a_network_that_stays_away_ends_watching(cloud, stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    answers = {"stepfunctions.DescribeExecution": fail("ThrottlingException")}
    scenes.scenes = [lambda: cloud.answers.update(answers), *[lambda: None] * 40]
    assert run(["watch", "first"]) == 1
    assert "The run continues" in capsys.readouterr().err
    assert scenes.now > 600


def test_records_of_a_later_version_are_said(cloud, dlq, stack, capsys):
    del cloud
    stack.begin("first", dlq="orders-dlq")
    plan = stack.plan("first", dlq)
    stack.moves(plan, redriven=5)
    key = {"pk": {"S": "run#first"}, "sk": {"S": "lane#000"}}
    stack.table._client.update_item(
        TableName="runs",
        Key=key,
        UpdateExpression="SET #format = :format",
        ExpressionAttributeNames={"#format": "format"},
        ExpressionAttributeValues={":format": {"N": "99"}},
    )
    assert run(["watch", "first"]) == 1
    assert "format" in capsys.readouterr().err


# stop


def test_a_run_is_stopped_by_its_queue_and_its_end_is_shown(dlq, stack, scenes, capsys):
    stack.begin("first", dlq="orders-dlq")
    plan = stack.plan("first", dlq)
    made = report(plan=plan, tally=Tally(counts=Counts(redriven=5), stopped=True), in_queue=95)
    scenes.scenes = [lambda: stack.end("first", made)]
    assert run(["stop", "orders-dlq"]) == 0
    found = capsys.readouterr()
    assert "Stopping the run first." in found.err
    assert "stopping" in found.err
    assert "Redrive of orders-dlq: STOPPED" in found.out
    assert stack.table.wants_stop(plan)


def test_a_run_is_stopped_by_its_id_and_nobody_waits(dlq, stack, capsys):
    stack.begin("first", dlq="orders-dlq")
    plan = stack.plan("first", dlq)
    assert run(["stop", "first", "--no-wait"]) == 0
    found = capsys.readouterr()
    assert found.out == "first\n"
    assert "redrive watch first" in found.err
    assert stack.table.wants_stop(plan)


def test_an_ended_run_does_not_stop_the_next_one_on_its_queue(dlq, stack, capsys):
    stack.begin("first", dlq="orders-dlq")
    stack.end("first", ended_with("first"))
    stack.begin("second", dlq="orders-dlq")
    plan = stack.plan("second", dlq)
    assert run(["stop", "first"]) == 4
    assert "The run first has ended" in capsys.readouterr().err
    stack.begin("third", dlq="orders-dlq")
    assert run(["stop", "third"]) == 4
    assert "The run third isn't moving messages yet" in capsys.readouterr().err
    assert not stack.table.wants_stop(plan)


@pytest.mark.usefixtures("dlq", "stack")
def test_nothing_to_stop_is_said_with_what_to_do(capsys):
    assert run(["stop", "orders-dlq"]) == 4
    error = capsys.readouterr().err
    assert "No run is moving messages of orders-dlq" in error
    assert "redrive watch" in error
    assert "aws stepfunctions" not in error
    assert run(["stop", "nope"]) == 1
    assert "There is no run nope" in capsys.readouterr().err


def test_commands_that_are_suggested_name_a_stack_that_is_not_the_default(cloud, dlq, stack, capsys, monkeypatch):
    del dlq
    cloud._stacks["other"] = cloud._stacks["sqs-redrive"] | {"StackName": "other"}
    stack.begin("first", dlq="orders-dlq")
    stack.begin("second", dlq="orders-dlq")
    run(["watch", "--stack", "other"])
    assert "redrive watch second --stack other" in capsys.readouterr().err
    monkeypatch.setenv("REDRIVE_STACK", "other")
    run(["watch"])
    assert "--stack" not in capsys.readouterr().err


def test_the_time_of_a_lock_is_that_of_its_run(dlq, stack):
    from redrive.adapters.account import Account  # noqa: PLC0415
    from redrive.adapters.stack import find_stack  # noqa: PLC0415
    from redrive.adapters.stack_runs import StackRuns  # noqa: PLC0415

    stack.plan("first", dlq)
    account = Account()
    lock = StackRuns(account, find_stack(account, "sqs-redrive")).holder(dlq.arn)
    assert lock is not None
    assert lock.started_at == datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC)
