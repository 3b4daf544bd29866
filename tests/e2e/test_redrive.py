"""Runs of the deployed workflow: what is redriven, and what stays. tests/e2e/test_verify.py has more."""

import json

import pytest

from redrive.domain.runs.tally import LANE_MESSAGES
from tests.support import factories
from tests.support.app import TRACE, App
from tests.support.cloud_resources import make_function, subscribe_function
from tests.support.eventually import eventually

EVERY_KIND_OF_ATTRIBUTE = {
    "text": {"DataType": "String", "StringValue": "grüße"},
    "number": {"DataType": "Number", "StringValue": "3.0"},
    "custom": {"DataType": "Number.int", "StringValue": "42"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}


def faithful(body: str, group: str) -> dict:
    return {
        "MessageBody": body,
        "MessageGroupId": group,
        "MessageAttributes": EVERY_KIND_OF_ATTRIBUTE,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}},
    }


def store_event(number: int, *, store: str | None = "1") -> dict:
    entry: dict = {"MessageBody": factories.store_event(event_id=f"e2e-{number}")}
    if store is not None:
        entry["MessageAttributes"] = factories.store_id(store)
    return entry


def test_with_fresh_traces_messages_in_a_loop_are_reported_and_go_back_with_nothing_but_their_header_missing(app: App):
    looped, pair = f"{TRACE};Lineage=1:283dea05:16", app.pair()
    entry = faithful("around and around", "tenant")
    entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"] = looped
    app.bury(pair, [entry, {"MessageBody": "without a trace"}])
    look = app.redrive(pair.dlq, dryRun=True).report
    assert {group["inALoop"]: group["messages"] for group in look["sample"]["groups"]} == {True: 1, False: 1}
    assert "start a run with traceHeader fresh" in look["reason"]
    report = app.redrive(pair.dlq, traceHeader="fresh").report
    assert (report["status"], report["traceHeader"], report["reason"]) == ("SUCCEEDED", "fresh", None)
    back = {message["Body"]: message for message in app.take(pair.source)}
    # The mover has a trace itself, which SQS would give to a message without one.
    assert ["AWSTraceHeader" in message["Attributes"] for message in back.values()] == [False, False]
    message = back["around and around"]
    del message["MessageAttributes"]["redrive"]
    assert message["MessageAttributes"] == EVERY_KIND_OF_ATTRIBUTE
    assert message["Attributes"]["MessageGroupId"] == "tenant"


def test_what_lambda_dropped_as_a_loop_is_dropped_again_until_it_goes_back_with_a_fresh_trace(app: App):
    pair = app.pair(VisibilityTimeout="2")
    # It sends what it gets to itself, until it is corrected: what has been redriven is only processed.
    consumer = make_function(
        app.cloud,
        """
        import boto3, os

        def handle(event, context):
            [record] = event["Records"]
            redriven = "redrive" in record["messageAttributes"]
            print("processed" if redriven else "sent on")
            if not redriven:
                boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=record["body"])
        """,
        Timeout=2,
        TracingConfig={"Mode": "Active"},
        Environment={"Variables": {"QUEUE": pair.source.url}},
    )
    subscribe_function(app.cloud, pair.source, consumer, BatchSize=1)
    logs = app.cloud.client("logs")

    def printed(text: str) -> int:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{consumer}")["events"]
        return [event["message"].strip() for event in events].count(text)

    app.send(pair.source, [{"MessageBody": "around and around"}])
    eventually(lambda: app.visible(pair.dlq) == 1)
    assert printed("sent on") == 16
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == 1
    eventually(lambda: app.visible(pair.dlq) == 1)
    assert printed("processed") == 0
    assert app.redrive(pair.dlq, traceHeader="fresh").report["counts"]["redriven"] == 1
    eventually(lambda: printed("processed") == 1)
    eventually(lambda: app.depth(pair.source) + app.depth(pair.dlq) == 0)


def test_the_report_goes_to_sns_with_attributes_for_filter_policies_and_a_readable_subject(app: App):
    reports, pair = app.subscribed(), app.pair()
    app.bury(pair, [{"MessageBody": "one"}])
    run = app.redrive(pair.dlq)
    wrapped = [json.loads(message["Body"]) for message in app.take(reports)]
    [ours] = [notice for notice in wrapped if json.loads(notice["Message"])["runId"] == run.report["runId"]]
    assert json.loads(ours["Message"]) == run.report
    assert ours["MessageAttributes"]["status"]["Value"] == "SUCCEEDED"
    assert ours["MessageAttributes"]["dlq"]["Value"] == pair.dlq.name
    assert ours["Subject"] == f"Redrive SUCCEEDED: {pair.dlq.name}, 1 redriven, 0 quarantined, 0 remaining"


def test_invalid_messages_go_to_the_quarantine_with_the_reason_and_the_valid_ones_are_processed(app: App):
    dlq, good = app.store_events.dlq, range(1, 13)
    bad = [
        store_event(100, store=None),
        {"MessageBody": "{malformed", "MessageAttributes": factories.store_id()},
        {
            "MessageBody": factories.store_event(event_id="e2e-101", ssn_no="s3cr3t"),
            "MessageAttributes": factories.store_id(),
        },
    ]
    app.take(app.quarantine)
    app.send(dlq, [store_event(number) for number in good] + bad)
    run = app.redrive(dlq)
    assert run.report["counts"]["redriven"] == 12
    assert run.report["quarantineReasons"] == {"missing-attribute": 1, "not-json": 1, "invalid-body": 1}
    kept = app.take(app.quarantine)
    provenances = {
        message["Body"]: json.loads(message["MessageAttributes"]["redrive"]["StringValue"]) for message in kept
    }
    assert provenances.keys() == {entry["MessageBody"] for entry in bad}
    assert provenances[bad[0]["MessageBody"]]["problems"] == ["attributes.store_id: missing"]
    assert provenances["{malformed"]["reason"] == "not-json"
    assert provenances[bad[2]["MessageBody"]]["problems"] == ["body.ssn_no: string_pattern_mismatch"]
    table = app.cloud.client("dynamodb")

    def processed() -> bool:
        items = table.scan(TableName=app.resource("StoreEventsTable"))["Items"]
        return {f"e2e-{number}" for number in good} <= {item["event_id"]["S"] for item in items}

    eventually(processed)


def test_invalid_messages_can_be_left_where_they_are(app: App):
    dlq = app.store_events.dlq
    app.send(dlq, [store_event(200, store=None), store_event(201)])
    run = app.redrive(dlq, onInvalid="leave")
    assert run.report["counts"]["redriven"] == 1
    assert run.report["skipReasons"] == {"missing-attribute": 1}
    assert run.report["counts"]["remaining"] == 1
    assert app.visible(dlq) == 1
    app.take(dlq)


def test_messages_that_arrive_during_the_run_are_skipped_and_visible_afterwards(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": str(number)} for number in range(12)])
    execution = app.start({"dlq": pair.dlq.name, "rate": 4})
    app.send(pair.dlq, [{"MessageBody": "late"}])
    report = app.ended(execution).report
    assert report["counts"]["redriven"] == 12
    assert report["skipReasons"] == {"arrived-after-start": 1}
    assert report["counts"]["remaining"] == app.visible(pair.dlq) == 1


@pytest.mark.parametrize(
    ("most", "rate"),
    [pytest.param(37, 50, id="one lane"), pytest.param(LANE_MESSAGES + 37, 2000, id="two lanes")],
)
def test_max_messages_is_exact(app: App, most: int, rate: int):
    pair = app.pair()
    app.send(pair.dlq, [{"MessageBody": str(number)} for number in range(most + 23)])
    run = app.redrive(pair.dlq, maxMessages=most, rate=rate)
    assert run.report["counts"]["redriven"] == most
    assert run.report["counts"]["remaining"] == app.visible(pair.dlq) == 23
    assert app.depth(pair.source) == most
