"""Whole runs: the definitions in LocalStack's interpreter, the app's functions, moto's queues, table, and topic."""

import json
import time
from contextlib import suppress

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.runs.tally import WAIT_SECONDS
from tests.state_machines.conftest import new_account
from tests.support.definitions import DEFINITIONS, definition
from tests.support.executions import MAX_CAUSE, TaskError
from tests.support.jsonata_reading import expressions
from tests.support.samples import sample

START = ["Begin", "IsContinued", "Plan", "Sample", "IsDryRun"]
ROUND = ["Lanes", "MoveSlice", "Tally", "WhatNext"]
END = ["CleanUp", "Report", "Publish", "HowItEnded"]


@pytest.fixture(scope="module")
def played():
    """The states that the tests in this file entered, and the expressions that they evaluated."""
    return {"tests": 0, "states": set(), "expressions": set()}


@pytest.fixture
def account(jsonata, played):
    with new_account(jsonata) as made:
        yield made
        for machine in made.workflows.arns.values():
            for execution in made.workflows.executions(machine):
                played["states"].update(execution.states)
        played["expressions"].update(made.workflows.evaluated)
        played["tests"] += 1


@pytest.fixture
def short_histories(account, monkeypatch):  # noqa: ARG001 (an account loads the functions anew)
    """Let runs continue in a new execution after every round."""
    monkeypatch.setattr("redrive.handlers.coordinator.MAX_HISTORY_EVENTS", 1)
    monkeypatch.setattr("redrive.domain.runs.tally.MAX_WAITS", 1)


def test_a_run_moves_everything_and_its_report_is_its_output_and_published_once(account):
    account.fill()
    run = account.run()
    assert run.states == [*START, *ROUND, *END, "Done"]
    assert (run.status, run.output["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert (run.output["counts"]["redriven"], run.output["counts"]["quarantined"]) == (9, 3)
    assert (account.taken(account.queue), account.taken(account.quarantine)) == (9, 3)
    assert account.reports() == [run.output]


def test_a_dry_run_moves_nothing(account):
    account.fill()
    run = account.run({"dlq": account.dlq.name, "dryRun": True})
    assert run.states == [*START, *END, "Done"]
    assert (run.output["status"], account.taken(account.dlq)) == ("DRY_RUN", 12)
    assert account.reports() == [run.output]


@pytest.mark.parametrize(
    "given", [{"dlq": "q\"\\'é{%$x%}\n"}, {"dlq": "nowhere"}, [], "x", None, {"continuation": {"run": "r"}}]
)
def test_whatever_the_input_is_a_rejected_run_reports_once_and_fails_with_its_report(account, given):
    run = account.workflows.run(account.redrive, given)
    assert run.states[-4:] == ["Report", "Publish", "HowItEnded", "Rejected"]
    assert (run.status, run.error) == ("FAILED", "Redrive.Rejected")
    assert account.reports() == [json.loads(run.cause)]
    assert json.loads(run.cause)["status"] == "REJECTED"


def test_a_run_waits_for_messages_in_flight_elsewhere_as_often_as_the_tally_says(account, monkeypatch):
    monkeypatch.setattr("redrive.domain.runs.tally.MAX_WAITS", 2)
    account.fill()
    account.take(3)
    run = account.run()
    assert run.states == [*START, *([*ROUND, "WaitForMessages"] * 2), *ROUND, *END, "Done"]
    assert account.workflows.waits == [WAIT_SECONDS] * 2
    assert run.output["status"] == "INCOMPLETE"


@pytest.mark.usefixtures("short_histories")
def test_what_the_functions_answer_is_passed_on_in_variables_alone(account):
    account.fill()
    account.take(3)
    account.run()
    for execution in account.workflows.executions(account.redrive):
        entered = [event["stateEnteredEventDetails"] for event in execution.events if "StateEntered" in event["type"]]
        inputs = {each["name"]: json.loads(each["input"]) for each in entered}
        del inputs["Begin"]
        assert inputs.pop("MoveSlice").keys() == {"plan", "work"}
        assert {json.dumps(each) for each in inputs.values()} == {"{}"}


@pytest.mark.usefixtures("short_histories")
def test_a_long_run_continues_in_new_executions_and_reports_once_as_a_whole(account):
    account.fill()
    account.take(3)
    first = account.run()
    executions = account.workflows.executions(account.redrive)
    assert len(executions) == 2
    for before in executions[:-1]:
        assert before.states[-5:] == [*ROUND, "Continue", "Done"][-5:]
    for later in executions[1:]:
        assert later.states[:5] == ["Begin", "IsContinued", "Resume", "Lanes", "MoveSlice"]
        # The input of the next execution has nothing but the run's id.
        assert first_input(later) == {"continuation": {"run": "run-1"}}
    assert {json.dumps(each.output) for each in executions} == {json.dumps(first.output)}
    assert first.output["counts"]["sampled"] == 9
    assert account.reports() == [first.output]


def first_input(execution):
    return json.loads(execution.events[0]["executionStartedEventDetails"]["input"])


def later_rounds_fail_with(account, error):
    def fail(name, event):
        if name == "Mover" and event["work"]["round"] > 0:
            raise error

    account.instead = fail


@pytest.mark.usefixtures("short_histories")
@pytest.mark.parametrize("length", [10, 1_900, 15_000])
def test_a_run_that_fails_in_the_next_execution_has_one_report_however_long_its_cause_is(account, monkeypatch, length):
    monkeypatch.setattr("redrive.domain.runs.report._TEXT_LENGTH", length)
    account.fill()
    account.take(3)
    text = ('"\\é' * length)[:length]
    later_rounds_fail_with(
        account, TaskError("UnexpectedError", json.dumps({"errorMessage": text}, ensure_ascii=False))
    )
    run = account.run()
    [_, child] = account.workflows.executions(account.redrive)
    failed = [event["taskFailedEventDetails"] for event in run.events if event["type"] == "TaskFailed"]
    # The description of the next execution is cut off and can't be parsed.
    cut = len(failed[0]["cause"]) == MAX_CAUSE
    assert cut == (length == 15_000)
    with suppress(ValueError):
        json.loads(failed[0]["cause"])
        assert not cut
    assert failed[1]["error"] == "StepFunctions.ExecutionAlreadyExistsException"
    assert run.states[-4:] == ["Continue", "DescribeSuccessor", "HowSuccessorEnded", "EndedElsewhere"]
    assert (run.status, run.error, run.cause) == (child.status, child.error, child.cause)
    [report] = account.reports()
    assert json.loads(run.cause) == report
    assert (report["status"], report["counts"]["redriven"]) == ("FAILED", 6)


@pytest.mark.usefixtures("short_histories")
def test_a_run_whose_next_execution_is_aborted_is_cleaned_up_and_reported_once(account):
    account.fill()
    account.take(3)

    def abort(name, event):
        if name == "Coordinator" and event["step"] == "resume":
            account.workflows.stop(event["execution"]["id"])

    account.instead = abort
    run = account.run()
    [_, child] = account.workflows.executions(account.redrive)
    assert child.status == "ABORTED"
    assert run.states[-7:] == ["Continue", "DescribeSuccessor", "HowSuccessorEnded", *END, "Failed"][-7:]
    [report] = account.reports()
    assert (report["status"], report["counts"]["redriven"]) == ("FAILED", 6)
    assert "ABORTED. Start another run to move the rest" in report["reason"]


@pytest.mark.usefixtures("short_histories")
def test_a_run_that_cannot_be_taken_over_is_reported_once_with_its_counts_by_the_execution_that_has_them(account):
    account.fill()
    account.take(3)
    account.workflows.failures["Resume"] = [TaskError("KeyError", "{}")] * 4
    run = account.run()
    [_, child] = account.workflows.executions(account.redrive)
    assert (child.states[-1], child.error) == ("NotResumed", "ContinuationError")
    [report] = account.reports()
    assert (report["status"], report["counts"]["redriven"]) == ("FAILED", 6)
    assert json.loads(run.cause) == report


@pytest.mark.usefixtures("short_histories")
def test_a_run_that_the_next_execution_does_not_find_is_reported_with_its_counts(account):
    account.fill()
    account.take(3)

    def forget(name, event):
        if name == "Coordinator" and event["step"] == "resume":
            raise RejectedError("The input is invalid.")

    account.instead = forget
    run = account.run()
    rejected, report = sorted(account.reports(), key=lambda report: report["runId"] == "run-1")
    assert (rejected["status"], rejected["runId"] == "run-1") == ("REJECTED", False)
    assert (report["status"], report["counts"]["redriven"]) == ("FAILED", 6)
    assert json.loads(run.cause) == report


def lost_sight(account):
    """Let the first execution start the next one, and learn nothing about it."""
    account.workflows.failures["Continue"] = [TaskError("StepFunctions.SomeException", late=True)] * 11


def ended(account):
    return [one for one in account.workflows.statuses(account.redrive) if one != "RUNNING"]


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.usefixtures("short_histories")
def test_an_execution_that_lost_sight_of_the_next_one_waits_for_it_again(account):
    account.fill()
    account.take(3)
    lost_sight(account)
    account.workflows.before["Resume"] = lambda: wait_until(lambda: account.workflows.waits)
    run = account.run()
    assert run.entered("WaitForSuccessor") == 1
    assert (run.status, run.output["status"]) == ("SUCCEEDED", "INCOMPLETE")
    assert account.reports() == [run.output]


@pytest.mark.usefixtures("short_histories")
def test_an_execution_that_lost_sight_of_the_next_one_until_its_end_ends_with_its_report(account):
    account.fill()
    account.take(3)
    lost_sight(account)
    account.workflows.before["DescribeSuccessor"] = lambda: wait_until(lambda: len(ended(account)) == 1)
    run = account.run()
    assert run.states[-4:] == ["Continue", "DescribeSuccessor", "HowSuccessorEnded", "Done"]
    assert (run.status, run.output["status"]) == ("SUCCEEDED", "INCOMPLETE")
    assert account.reports() == [run.output]


def test_a_report_that_sns_refuses_is_the_cause_of_the_failed_execution(account):
    account.fill()
    account.workflows.failures["Publish"] = [TaskError("SNS.InternalErrorException")] * 5
    run = account.run()
    assert (run.states[-1], run.error) == ("NotPublished", "Redrive.NotPublished")
    assert json.loads(run.cause)["status"] == "SUCCEEDED"
    assert account.reports() == []


def test_a_run_that_cannot_clean_up_reports_what_it_has_moved(account):
    account.fill()
    account.workflows.failures["CleanUp"] = [TaskError("UnexpectedError", '{"errorMessage": "\\"no\\""}')] * 4
    run = account.run()
    assert (run.states[-1], run.error) == ("Failed", "Redrive.Failed")
    [report] = account.reports()
    assert (report["status"], report["counts"]["redriven"]) == ("FAILED", 9)
    assert report["reason"].startswith('"no" See the logs')


# Automatic runs


@pytest.fixture
def alarm(account):
    """Return a callable that sets the alarm of the sample event."""
    name = sample("automatic")["trigger"]["detail"]["alarmName"]

    def set_state(state):
        account.cloud.alarm(name, state)

    set_state("ALARM")
    account.instead = lambda name, event: set_state("OK") if name == "Automatic" and event["ended"] else None
    return set_state


@pytest.mark.usefixtures("alarm")
def test_an_alarm_starts_a_run_after_a_while_and_the_function_learns_how_it_ended(account):
    account.fill()
    run = account.workflows.run(account.automatic, sample("automatic")["trigger"])
    loop = ["Decide", "WhatNext"]
    assert run.states == ["Begin", *loop, "WaitAWhile", *loop, "StartRun", *loop, "Done"]
    assert run.output == {"reason": "the alarm is no longer in the ALARM state", "runs": 1}
    assert account.workflows.waits == [300]
    [report] = account.reports()
    assert (report["status"], report["counts"]["redriven"]) == ("SUCCEEDED", 9)


@pytest.mark.parametrize("text", ["another run is in progress", '"Error": "Redrive.Failed" \\ é' * 900])
@pytest.mark.parametrize(
    ("error", "known_as"), [("RejectedError", "Redrive.Rejected"), ("UnexpectedError", "States.TaskFailed")]
)
def test_a_run_that_is_rejected_is_known_as_such_and_any_other_failure_is_not(account, alarm, text, error, known_as):
    seen = []

    def instead(function, event):
        if function == "Automatic" and event["ended"]:
            seen.append(event["ended"])
            alarm("OK")
        if function == "Coordinator" and event["step"] == "plan":
            raise TaskError(error, json.dumps({"errorMessage": text}))

    account.instead = instead
    run = account.workflows.run(account.automatic, sample("automatic")["trigger"])
    assert (run.status, seen) == ("SUCCEEDED", [{"error": known_as}])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        "ExecutionLimitExceeded",
        "ExecutionLimitExceededException",
        "AWSStepFunctionsException",
        "SdkClientException",
    ],
)
def test_a_scheduled_run_starts_once_although_its_start_is_throttled_or_the_answer_is_lost(account, error, late):
    account.fill()
    account.workflows.failures["StartRun"] = [TaskError(f"StepFunctions.{error}", late=late)]
    automatic = account.workflows.run(account.automatic, sample("automatic-schedule")["trigger"])
    assert (automatic.status, automatic.output["runs"]) == ("SUCCEEDED", 1)
    assert [report["counts"]["redriven"] for report in account.reports()] == [9]


def test_operators_are_notified_of_what_cannot_start(account):
    run = account.workflows.run(account.automatic, {"dlq": "nowhere"})
    assert run.states == ["Begin", "Decide", "WhatNext", "Notify", "Done"]
    assert run.status == "SUCCEEDED"
    [notice] = account.reports()
    assert notice["reason"] == run.output["reason"]


# All of it


def test_every_state_was_entered_and_every_expression_evaluated(played, request):
    tests = [item for item in request.session.items if item.module is request.module and "account" in item.fixturenames]
    selected = request.config.option.keyword or any("::" in argument for argument in request.config.args)
    if selected or played["tests"] < len(tests):
        pytest.skip("not all tests before it ran here")
    machines = [definition(name) for name in DEFINITIONS]
    inner = definition()["States"]["Lanes"]["ItemProcessor"]["States"]
    assert played["states"] == {*inner, *(state for machine in machines for state in machine["States"])}
    written = {expression for machine in machines for _, expression in expressions(machine)}
    assert written - played["expressions"] == set()
