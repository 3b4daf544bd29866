"""Every Retry and every Catch of both workflows, taken once, with what the functions really answer, without a pause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.state_machines.conftest import new_account
from tests.support.definitions import definition
from tests.support.executions import Finished, Functions, TaskError
from tests.support.moto_cloud import moto_cloud
from tests.support.samples import sample

if TYPE_CHECKING:
    from tests.support.interpreter import Interpreter

# An error that no retrier names.
ANY = "SomethingElse"
RESUMING = {"continuation": {"run": "run-1"}}
#: An input that leads to a state, and the errors on the way there.
WAYS: dict[str, tuple[Any, dict[str, str]]] = {
    "Plan": ({"dlq": "store-events-dlq"}, {}),
    "Sample": ({"dlq": "store-events-dlq"}, {}),
    "MoveSlice": ({"dlq": "store-events-dlq"}, {}),
    "Tally": ({"dlq": "store-events-dlq"}, {}),
    "CleanUp": ({"dlq": "store-events-dlq"}, {}),
    "Report": ({"dlq": "store-events-dlq"}, {}),
    "Publish": ({"dlq": "store-events-dlq"}, {}),
    "Resume": (RESUMING, {}),
    "Continue": ({"dlq": "store-events-dlq", "long": True}, {}),
    "DescribeSuccessor": ({"dlq": "store-events-dlq", "long": True}, {"Continue": ANY}),
    "Decide": ({"notify": True}, {}),
    "StartRun": ({"start": True}, {}),
    "Notify": ({"notify": True}, {}),
}


def tasks() -> Iterator[tuple[str, str, dict[str, Any], str | None]]:
    """Yield each state that does work: the workflow, its name, its fields, and the state around it that catches."""
    for machine in ("redrive", "automatic"):
        for name, fields in definition(machine)["States"].items():
            if fields["Type"] == "Task":
                yield machine, name, fields, None
            for inner, inner_fields in fields.get("ItemProcessor", {}).get("States", {}).items():
                yield machine, inner, inner_fields, name


TASKS = {name: (machine, fields, around) for machine, name, fields, around in tasks()}
RETRIERS = [
    pytest.param(name, retrier, id=f"{name}-{retrier['ErrorEquals'][0]}")
    for name, (_, fields, _) in TASKS.items()
    for retrier in fields["Retry"]
]


@pytest.fixture(scope="module")
def answers(jsonata) -> dict[tuple[str, str | None], Any]:
    """What each function answered, step by step, in a run with two executions and in an automatic one."""
    with new_account(jsonata) as account, pytest.MonkeyPatch.context() as patching:
        patching.setattr("redrive.handlers.coordinator.MAX_HISTORY_EVENTS", 1)
        patching.setattr("redrive.domain.runs.tally.MAX_WAITS", 1)
        account.fill()
        account.take(3)
        assert account.run().status == "SUCCEEDED"
        account.fill()
        for number, given in enumerate([{}, sample("automatic-schedule")["trigger"]]):
            assert account.workflows.run(account.automatic, given, f"run-{number}").status == "SUCCEEDED"
    return {
        (name, answer["next"] if name == "Automatic" or step == "tally" else step): answer
        for name, step, answer in account.answers
    }


@pytest.fixture(scope="module")
def replay(jsonata, answers) -> Iterator[Interpreter]:
    """An interpreter whose functions answer what they answered before."""
    from tests.support.interpreter import interpreter  # noqa: PLC0415

    def answer(name: str, event: Any) -> Any:
        step = event.get("step")
        if step == "tally":
            step = "continue" if event["plan"]["request"]["long"] else "clean-up"
        if name == "Automatic":
            step = next(iter(event["trigger"])) if event["ended"] is None else "end"
        found = answers[name, step]
        if step == "plan":
            found = json.loads(json.dumps(found))
            found["plan"]["request"]["long"] = "long" in event["input"]
        return found

    functions: Functions = answer
    with moto_cloud(runs_workflows=True), interpreter(jsonata.evaluate, functions) as made:
        boto3.client("sns").create_topic(Name="redrive-reports")
        for machine in ("redrive", "automatic"):
            made.create(machine)
        yield made


def test_every_task_has_a_way_to_it():
    assert WAYS.keys() == TASKS.keys()


def run_with(replay: Interpreter, name: str, errors: list[str]) -> Finished:
    """Run the way to a state whose task fails with these errors, one after the other."""
    given, before = WAYS[name]
    machine = replay.arns[TASKS[name][0]]
    replay.attempts.clear()
    replay.delays.clear()
    replay.failures = {other: [TaskError(problem)] * 99 for other, problem in before.items()}
    replay.failures[name] = [TaskError(error, json.dumps({"errorMessage": 'a "cause"'})) for error in errors]
    return replay.run(machine, given, f"run-{len(replay.statuses(machine))}")


def expected_delays(retrier: dict[str, Any]) -> list[float]:
    """Return the longest delays before each retry (Step Functions developer guide, "Retrying after an error")."""
    return [
        min(retrier.get("MaxDelaySeconds", 10**9), retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt)
        for attempt in range(retrier["MaxAttempts"])
    ]


def error_of(retrier: dict[str, Any]) -> str:
    """Return an error that a retrier is for."""
    error = retrier["ErrorEquals"][0]
    return ANY if error.startswith("States.") else error


@pytest.mark.parametrize(("name", "retrier"), RETRIERS)
def test_a_task_is_tried_as_often_as_its_retrier_says_and_then_caught(replay, name, retrier):
    machine, fields, around = TASKS[name]
    error = error_of(retrier)
    run = run_with(replay, name, [error] * 99)
    assert replay.attempts[name] == 1 + retrier["MaxAttempts"]
    if not WAYS[name][1]:
        longest = expected_delays(retrier) if retrier["MaxAttempts"] else []
        # Later states may be retried, too.
        assert all(0 <= delay <= most for delay, most in zip(replay.delays[: len(longest)], longest, strict=True))
    catching = (definition(machine)["States"][around] if around else fields).get("Catch", [])
    for catcher in catching:
        if error in catcher["ErrorEquals"] or catcher["ErrorEquals"] == ["States.ALL"]:
            assert run.states[run.states.index(name) + 1] == catcher["Next"]
            return
    assert (run.status, run.error, run.states[-1]) == ("FAILED", error, name)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_fails_once_with_every_kind_of_error_succeeds(replay, name):
    retriers = [retrier for retrier in TASKS[name][1]["Retry"] if retrier["MaxAttempts"]]
    run = run_with(replay, name, [error_of(retrier) for retrier in retriers])
    assert replay.failures[name] == []
    assert replay.attempts[name] == run.entered(name) + len(retriers)
