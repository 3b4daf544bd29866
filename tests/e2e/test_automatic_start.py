"""Automatic runs: they start from an alarm or a schedule, and never without end."""

import json
from collections.abc import Iterator

import pytest

from local.embedded_cloud import EmbeddedCloud
from tests.support.app import TEAM_QUEUES, App, Pair
from tests.support.eventually import eventually

# As long as the name of a stack may be: CloudFormation shortens it in the names of queues, functions, and others.
STACK = "by-itself-".ljust(128, "x")
# In minutes: an alarm lasts a second, the next run starts three seconds after the end of the last.
PARAMETERS = {
    "Examples": "false",
    "SliceSeconds": "5",
    "RedriveAfterAlarmMinutes": "0.02",
    "AutomaticDelayMinutes": "0.05",
    "MaxAutomaticRuns": "2",
    "AutomaticRunInput": '{"rate":100}',
    "RedriveAlarmNamePattern": "orders-*-failed",
    **TEAM_QUEUES,
}


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with EmbeddedCloud.start() as cloud:
        yield App(cloud, cloud.deploy(STACK, PARAMETERS))


def alarm(app: App, pair: Pair, name: str = "") -> str:
    """Make an alarm on the depth of the dead-letter queue, by default named as CloudFormation names the stack's."""
    name = name or f"{STACK}-{pair.dlq.name}DLQAlarm-X"
    app.cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": pair.dlq.name}],
        Statistic="Maximum",
        Period=1,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    return name


def starts(app: App) -> list[dict]:
    """Return the executions of the automatic state machine."""
    machine = app.resource("AutomaticStateMachine")
    return app.workflow.list_executions(stateMachineArn=machine)["executions"]


def runs(app: App, dlq: str) -> list[dict]:
    """Return the descriptions of all runs on a queue."""
    machine = app.resource("RedriveStateMachine")
    found = app.workflow.list_executions(stateMachineArn=machine)["executions"]
    described = [app.workflow.describe_execution(executionArn=one["executionArn"]) for one in found]
    return [one for one in described if json.loads(one["input"])["dlq"] == dlq]


def all_starts_ended(app: App) -> bool:
    return all(one["status"] != "RUNNING" for one in starts(app))


def test_a_dead_letter_queue_whose_alarm_lasts_is_emptied_by_a_run_of_its_own(app: App):
    pair = app.pair()
    alarm(app, pair)
    app.bury(pair, [{"MessageBody": str(number)} for number in range(30)])

    eventually(lambda: app.depth(pair.source) == 30)

    eventually(lambda: all_starts_ended(app))
    (run,) = runs(app, pair.dlq.name)
    because, started_by = (json.loads(run["input"]).pop(key) for key in ("because", "startedBy"))
    assert because.startswith(f"The alarm {STACK}-{pair.dlq.name}DLQAlarm-X has been on since 20")
    assert started_by.startswith("automatic start ")
    assert json.loads(run["input"]).items() > {"dlq": pair.dlq.name, "rate": 100}.items()
    assert json.loads(run["output"])["status"] == "SUCCEEDED"


def test_an_alarm_of_your_own_starts_a_run_if_its_name_fits_the_pattern(app: App):
    pair = app.pair()
    alarm(app, pair, f"orders-{pair.dlq.name}-failed")
    app.bury(pair, [{"MessageBody": "x"}])

    eventually(lambda: app.depth(pair.source) == 1)

    eventually(lambda: all_starts_ended(app))
    assert len(runs(app, pair.dlq.name)) == 1


def test_a_scheduled_start_leaves_a_queue_alone_that_a_run_is_moving(app: App):
    pair = app.pair()
    app.send(pair.dlq, [{"MessageBody": str(number)} for number in range(300)])
    run = app.start({"dlq": pair.dlq.name, "destination": pair.source.name, "rate": 5})
    eventually(lambda: app.depth(pair.dlq) < 300)
    event = {
        "schedule": "arn:aws:scheduler:us-east-1:000000000000:schedule/default/nightly",
        "scheduledTime": "2026-10-09T03:00:00Z",
        "input": {"dlq": pair.dlq.name},
    }

    start = app.workflow.start_execution(
        stateMachineArn=app.resource("AutomaticStateMachine"), input=json.dumps(event)
    )["executionArn"]

    eventually(lambda: app.workflow.describe_execution(executionArn=start)["status"] != "RUNNING")
    app.invoke("StopFunction", {"dlq": pair.dlq.name})
    output = json.loads(app.workflow.describe_execution(executionArn=start)["output"])
    assert output["reason"] == "another run is in progress"
    assert app.ended(run).report["status"] == "STOPPED"
    assert len(runs(app, pair.dlq.name)) == 1


def test_an_event_that_is_delivered_twice_starts_one_run(app: App):
    pair = app.pair()
    name = alarm(app, pair)
    app.bury(pair, [{"MessageBody": "x"}])
    eventually(lambda: app.depth(pair.source) == 1)
    eventually(lambda: all_starts_ended(app))
    inputs = [app.workflow.describe_execution(executionArn=one["executionArn"])["input"] for one in starts(app)]
    (event,) = [text for text in inputs if name in text]

    again = app.workflow.start_execution(stateMachineArn=app.resource("AutomaticStateMachine"), input=event)

    eventually(lambda: all_starts_ended(app))
    output = app.workflow.describe_execution(executionArn=again["executionArn"])["output"]
    assert "another delivery" in json.loads(output)["reason"]
    assert len(runs(app, pair.dlq.name)) == 1


def test_messages_that_keep_failing_start_no_more_runs_than_allowed_and_operators_are_notified(app: App):
    pair, notices = app.pair(), app.subscribed()
    alarm(app, pair)
    app.send(pair.source, [{"MessageBody": "poison"}])

    def notice_of_the_pause() -> list[dict]:
        # The consumer that always fails: what it receives comes back, and dies.
        app.sqs.receive_message(QueueUrl=pair.source.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        bodies = [json.loads(json.loads(message["Body"])["Message"]) for message in app.take(notices)]
        return [body for body in bodies if body.get("status") == "PAUSED" and body["dlq"] == pair.dlq.name]

    (notice,) = eventually(notice_of_the_pause)
    assert "2 runs started in a row" in notice["reason"]

    eventually(lambda: all_starts_ended(app))
    assert len(runs(app, pair.dlq.name)) == 2
    assert app.depth(pair.dlq) == 1


def test_a_run_starts_by_schedule_and_the_next_finds_nothing_to_do(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "x"}])
    parameters = {
        **PARAMETERS,
        "RedriveSchedule": "at(2020-01-01T00:00:00)",
        "RedriveScheduleInput": json.dumps({"dlq": pair.dlq.name, "rate": 5}, separators=(",", ":")),
    }
    app.cloud.deploy(STACK, parameters)

    eventually(lambda: app.depth(pair.source) == 1)

    (run,) = runs(app, pair.dlq.name)
    found = json.loads(run["input"])
    assert found.items() > {"dlq": pair.dlq.name, "rate": 5}.items()
    assert found["because"].startswith("The schedule arn:aws:scheduler:")
