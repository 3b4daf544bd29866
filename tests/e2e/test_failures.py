"""What happens to messages and reports when something breaks in the middle of a run."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.app import App
from tests.support.eventually import eventually


def messages(number: int) -> list[dict]:
    return [{"MessageBody": f"message {place}"} for place in range(number)]


def workers(app: App, function: str) -> list[int]:
    """Return the processes of the embedded cloud that run a function."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environment = (directory / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        mine = f"AWS_ENDPOINT_URL={app.cloud.endpoint_url}".encode() in environment
        if mine and any(entry.startswith(f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()) for entry in environment):
            found.append(int(directory.name))
    return found


def test_a_destination_that_disappears_fails_the_run_and_the_rest_stays_in_the_queue(app: App):
    pair, destination = app.pair(), app.queue("doomed")
    app.bury(pair, messages(60))
    execution = app.start({"dlq": pair.dlq.name, "destination": destination.name, "rate": 5})
    eventually(lambda: app.depth(destination) > 0)
    app.sqs.delete_queue(QueueUrl=destination.url)
    run = app.ended(execution)
    assert run.execution["error"] == "Redrive.Failed"
    assert run.report["status"] == "FAILED"
    assert f"{destination.name} doesn't accept messages anymore" in run.report["reason"]
    redriven = run.report["counts"]["redriven"]
    assert redriven > 0
    assert app.depth(pair.dlq) == 60 - redriven
    assert app.redrive(pair.dlq, rate=500).report["counts"]["redriven"] == 60 - redriven


def test_a_worker_that_is_killed_loses_nothing_and_doubles_at_most_what_the_report_says(app: App):
    pair = app.pair()
    app.bury(pair, messages(150))
    execution = app.start({"dlq": pair.dlq.name, "rate": 20})
    eventually(lambda: app.depth(pair.source) > 60)
    for pid in workers(app, app.resource("MoverFunction")):
        os.kill(pid, signal.SIGKILL)
    run = app.ended(execution)
    assert run.report["status"] == "SUCCEEDED"
    copies: dict[str, int] = {}
    for message in app.take(pair.source):
        copies[message["Body"]] = copies.get(message["Body"], 0) + 1
    assert copies.keys() == {entry["MessageBody"] for entry in messages(150)}
    assert sum(number > 1 for number in copies.values()) <= run.report["duplicatesPossible"]
    assert app.depth(pair.dlq) == 0


def test_after_an_execution_is_stopped_the_next_run_recovers_lock_and_messages_at_once(app: App):
    pair = app.pair()
    chosen = {"chosen": {"DataType": "String", "StringValue": "yes"}}
    entries = [entry | ({"MessageAttributes": chosen} if place % 2 else {}) for place, entry in enumerate(messages(80))]
    app.bury(pair, entries)
    execution = app.start({"dlq": pair.dlq.name, "rate": 5, "select": {"attributes": {"chosen": "yes"}}})
    # By then, it keeps messages invisible for minutes that weren't selected.
    eventually(lambda: app.depth(pair.source) >= 20)
    app.workflow.stop_execution(executionArn=execution)
    started = time.monotonic()
    run = app.redrive(pair.dlq, rate=100)
    assert time.monotonic() - started < 60
    assert run.report["status"] == "SUCCEEDED"
    assert run.report["counts"]["redriven"] >= 40
    arrived = sorted(message["Body"] for message in app.take(pair.source))
    assert arrived == sorted(entry["MessageBody"] for entry in entries)
    assert app.depth(pair.dlq) == 0


@pytest.fixture
def short_histories(app: App):
    """Let a run go on in a new execution after every round."""
    client, name = app.cloud.client("lambda"), app.resource("CoordinatorFunction")
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": before | {"MAX_HISTORY_EVENTS": "1"}}
    )
    yield
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def executions_of(app: App, execution: str) -> list[dict]:
    """Return the executions of a run, the last one first."""
    run_id = execution.rsplit(":", 1)[1]
    found = app.workflow.list_executions(stateMachineArn=app.resource("RedriveStateMachine"))["executions"]
    mine = [one for one in found if one["name"].startswith(run_id)]
    return sorted(mine, key=lambda one: one["startDate"], reverse=True)


def continued(app: App, run_input: dict) -> str:
    """Start a run, and return its execution as soon as the run continues in another one."""
    execution = app.start(run_input)
    eventually(lambda: len(executions_of(app, execution)) > 1)
    return execution


@pytest.mark.usefixtures("short_histories")
def test_a_long_run_goes_on_in_new_executions_whatever_others_start_and_its_report_covers_the_whole(app: App):
    reports, pair = app.subscribed(), app.pair()
    app.bury(pair, messages(130))
    execution = continued(app, {"dlq": pair.dlq.name, "rate": 10})
    run_id = execution.rsplit(":", 1)[1]
    forged = app.ended(app.start({"continuation": {"run": run_id}}))
    assert (forged.report["status"], forged.report["counts"]["redriven"]) == ("REJECTED", 0)
    assert "continuation: expected a run that continues in this execution, found none" in forged.report["reason"]
    run = app.ended(execution)
    assert run.report["status"] == "SUCCEEDED"
    assert run.report["counts"]["redriven"] == 130
    assert (run.report["runId"], run.report["counts"]["sampled"]) == (run_id, 10)
    ours = [json.loads(json.loads(message["Body"])["Message"]) for message in app.take(reports)]
    assert [report["runId"] for report in ours].count(run_id) == 1
    assert len(executions_of(app, execution)) >= 3
    (record,) = app.records.of_queue(pair.dlq.name, 5)
    assert (record.report, record.input) == (run.report, {"dlq": pair.dlq.name, "rate": 10})
    assert [point.redriven for point in record.rate_over_time][-1] == 130
    assert len(record.rate_over_time) >= 3


@pytest.mark.usefixtures("short_histories")
def test_a_run_that_fails_in_a_later_execution_fails_in_all_of_them_with_one_report(app: App):
    reports, pair, destination = app.subscribed(), app.pair(), app.queue("doomed")
    app.bury(pair, messages(130))
    execution = continued(app, {"dlq": pair.dlq.name, "destination": destination.name, "rate": 5})
    app.sqs.delete_queue(QueueUrl=destination.url)
    run = app.ended(execution)
    assert run.report["status"] == "FAILED"
    assert f"{destination.name} doesn't accept messages anymore" in run.report["reason"]
    for one in executions_of(app, execution):
        described = app.workflow.describe_execution(executionArn=one["executionArn"])
        assert (described["error"], json.loads(described["cause"])) == ("Redrive.Failed", run.report)
    assert len(app.take(reports)) == 1


@pytest.mark.usefixtures("short_histories")
def test_a_run_whose_next_execution_is_aborted_is_cleaned_up_and_reported_by_the_one_before_it(app: App):
    reports, pair = app.subscribed(), app.pair()
    app.bury(pair, messages(200))
    execution = continued(app, {"dlq": pair.dlq.name, "rate": 10})
    aborted = executions_of(app, execution)[0]
    app.workflow.stop_execution(executionArn=aborted["executionArn"])
    run = app.ended(execution)
    assert run.report["status"] == "FAILED"
    assert f"Expected the execution {aborted['name']}, in which the run continued" in run.report["reason"]
    assert len(app.take(reports)) == 1
    # What the first execution moved is counted, and nothing is kept from the next run.
    assert run.report["counts"]["redriven"] > 0
    assert run.report["counts"]["remaining"] == app.depth(pair.dlq) == app.visible(pair.dlq)
    assert app.redrive(pair.dlq, rate=500).report["status"] == "SUCCEEDED"
    assert {message["Body"] for message in app.take(pair.source)} == {entry["MessageBody"] for entry in messages(200)}


def test_no_body_reaches_history_logs_notices_or_the_table_of_runs(app: App):
    secret = "123-45-6789"
    pair = app.store_events
    app.send(pair.dlq, [{"MessageBody": json.dumps({"ssn_no": secret})}, {"MessageBody": f"{{{secret}"}])
    reports = app.subscribed()
    run = app.redrive(pair.dlq)
    assert run.report["counts"]["quarantined"] == 2
    events = app.workflow.get_execution_history(executionArn=run.execution["executionArn"], maxResults=1000)
    notices = app.take(reports)
    items = app.cloud.client("dynamodb").scan(TableName=app.resource("RunTable"))["Items"]
    logs = app.cloud.client("logs")
    lines = [
        event["message"]
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]
    assert events["events"]
    assert notices
    assert items
    assert lines
    assert secret not in str(events) + str(notices) + str(items) + str(lines)
