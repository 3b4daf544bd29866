"""How the deployed app is monitored: alarms that go off and on, metrics of runs, and whole traces."""

import json
from collections.abc import Iterator

import pytest

from examples.batches import NAMESPACE as CONSUMERS
from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from redrive.runtime.metrics import NAMESPACE as REDRIVE
from tests.support import factories
from tests.support.app import TEAM_QUEUES, TRACE, App, Queue
from tests.support.cloud_resources import make_function, subscribe_function
from tests.support.dashboard import Dashboard
from tests.support.eventually import eventually

# Alarms look at a minute on AWS, here at three seconds.
ALARM_SCALE = 0.05
COUNTS = {
    "Redriven": "redriven",
    "Quarantined": "quarantined",
    "Skipped": "skipped",
    "Bounced": "bounced",
    "Failed": "failed",
}


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """The app on a cloud of its own: runs of other tests would raise its alarms."""
    with EmbeddedCloud.start(alarm_scale=ALARM_SCALE) as cloud:
        yield App(cloud, cloud.deploy(STACK_NAME, {"SliceSeconds": "5", **TEAM_QUEUES}))


@pytest.fixture
def quarantine(app: App) -> Iterator[Queue]:
    """The quarantine, emptied after the test."""
    queue = app.quarantine
    yield queue
    app.take(queue)


def good(number: int) -> dict:
    body = factories.store_event(event_id=f"monitored-{number}")
    return {"MessageBody": body, "MessageAttributes": factories.store_id("1")}


def without_store(number: int) -> dict:
    return {"MessageBody": factories.store_event(event_id=f"without-store-{number}")}


def notices(app: App, queue: Queue) -> set[tuple[str, str]]:
    """Return logical ids and states of the alarms that a queue got notices of, which are taken out of it."""
    bodies = [json.loads(json.loads(message["Body"])["Message"]) for message in app.take(queue)]
    return {(notice["AlarmName"].rsplit("-", 2)[1], notice["NewStateValue"]) for notice in bodies}


def test_a_message_in_a_dead_letter_queue_raises_its_alarm_and_the_one_for_a_person_until_it_is_redriven(app: App):
    concerned = {"StoreEventsDLQAlarm", "SomethingNeedsAPersonAlarm"}
    eventually(lambda: set(app.alarms().values()) == {"OK"})
    subscriber, noticed_so_far = app.subscribed("AlarmTopic"), set()
    app.send(app.store_events.dlq, [good(1)])

    def noticed(state: str) -> bool:
        noticed_so_far.update(notices(app, subscriber))
        return {(alarm, state) for alarm in concerned} <= noticed_so_far

    eventually(lambda: noticed("ALARM"))
    assert {alarm for alarm, state in app.alarms().items() if state == "ALARM"} == concerned

    assert app.redrive(app.store_events.dlq).report["counts"]["redriven"] == 1
    eventually(lambda: noticed("OK"))
    # Sampling hides the message for a moment, so an alarm can be OK and in alarm again before it is OK for good.
    eventually(lambda: set(app.alarms().values()) == {"OK"})


def test_a_quarantined_message_raises_the_alarm_of_the_quarantine(app: App, quarantine: Queue):
    app.send(app.store_events.dlq, [without_store(1)])
    assert app.redrive(app.store_events.dlq).report["counts"]["quarantined"] == 1
    assert app.depth(quarantine) == 1
    eventually(lambda: app.alarms()["QuarantineAlarm"] == "ALARM")


def test_a_run_that_is_refused_raises_the_alarm_of_failed_runs(app: App):
    subscriber = app.subscribed("AlarmTopic")
    assert app.ended(app.start({"dlq": "team-nowhere"})).report["status"] == "REJECTED"
    eventually(lambda: ("RedriveFailedAlarm", "ALARM") in notices(app, subscriber))
    assert app.total(REDRIVE, "RunsEnded", dlq="none", status="REJECTED") == 1


@pytest.mark.usefixtures("quarantine")
@pytest.mark.parametrize("on_invalid", ["quarantine", "leave"])
def test_the_metrics_of_a_run_add_up_to_its_report(app: App, on_invalid: str):
    dlq = app.store_events.dlq

    def totals() -> dict[str, float]:
        return {key: app.total(REDRIVE, name, dlq=dlq.name) for name, key in COUNTS.items()}

    before = totals()
    ended = app.total(REDRIVE, "RunsEnded", dlq=dlq.name, status="SUCCEEDED")
    app.send(dlq, [*(good(number) for number in range(12)), *(without_store(number) for number in range(3))])
    counts = app.redrive(dlq, onInvalid=on_invalid).report["counts"]
    assert counts["redriven"] == 12
    assert counts["quarantined"] + counts["skipped"] == 3
    counted = {key: total - before[key] for key, total in totals().items()}
    assert counted == {key: counts[key] for key in COUNTS.values()}
    assert app.total(REDRIVE, "RunsEnded", dlq=dlq.name, status="SUCCEEDED") == ended + 1
    app.take(dlq)


def test_a_consumer_counts_the_records_that_it_processed(app: App):
    queue = app.store_events.source.name
    eventually(lambda: app.depth(app.store_events.source) == 0)
    before = app.total(CONSUMERS, "Processed", queue=queue)
    app.invoke("StoreEventsProducer", {"count": 7, "badShare": 0, "prefix": "counted"})
    eventually(lambda: app.total(CONSUMERS, "Processed", queue=queue) == before + 7)


def test_the_deployed_dashboard_shows_alarms_and_resources_that_exist(app: App):
    cloudwatch = app.cloud.client("cloudwatch")
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
    dashboard = Dashboard.model_validate(json.loads(body))
    assert app.stack.outputs["DashboardUrl"].endswith(f"#dashboards/dashboard/{entry['DashboardName']}")
    found = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    existing = {alarm["AlarmArn"] for alarm in found["MetricAlarms"] + found["CompositeAlarms"]}
    assert dashboard.alarms() == existing
    queues = {url.rsplit("/", 1)[1] for url in app.sqs.list_queues()["QueueUrls"]}
    functions = {function["FunctionName"] for function in app.cloud.client("lambda").list_functions()["Functions"]}
    machines = {app.resource("RedriveStateMachine")}
    displayed = {value for metric in dashboard.metrics() for value in metric.dimensions.values() if value is not None}
    assert displayed <= queues | functions | machines


def test_a_redriven_message_reaches_its_consumer_with_the_trace_it_was_sent_with(app: App):
    pair = app.pair(VisibilityTimeout="2")
    consumer = make_function(
        app.cloud,
        """
        import json

        def handle(event, context):
            for record in event["Records"]:
                print("trace", json.dumps(record["attributes"]["AWSTraceHeader"]))
                if "redrive" not in record["messageAttributes"]:
                    raise RuntimeError("still broken")
        """,
        Timeout=2,
    )
    subscribe_function(app.cloud, pair.source, consumer)
    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    app.send(pair.source, [{"MessageBody": "traced", "MessageSystemAttributes": header}])
    eventually(lambda: app.visible(pair.dlq) == 1)

    run = app.redrive(pair.dlq)
    assert run.report["counts"]["redriven"] == 1

    logs = app.cloud.client("logs")

    def traces() -> list[str]:
        group = f"/aws/lambda/{consumer}"
        lines = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
        return [json.loads(line.split(maxsplit=1)[1]) for line in lines if line.startswith("trace ")]

    eventually(lambda: len(traces()) == 2)
    assert traces() == [TRACE, TRACE]
