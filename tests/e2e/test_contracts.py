"""Contracts given as JSON Schemas: read from where a team keeps them, checked before anything moves."""

import json

import pytest

from tests.support import factories
from tests.support.app import App

ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}},
    "x-attributes": {"required": ["store_id"], "properties": {"store_id": {"type": "integer"}}},
}
MESSAGES = [
    {"MessageBody": '{"id": 1}', "MessageAttributes": factories.store_id()},
    {"MessageBody": '{"id": "one"}', "MessageAttributes": factories.store_id()},
    {"MessageBody": '{"id": 2}'},
    {"MessageBody": "hello"},
]


@pytest.mark.parametrize("name", ["by-parameter", "by-object"])
def test_messages_are_judged_with_the_schema_of_their_queue(app: App, name: str):
    app.put_contract("order", ORDER)
    app.cloud.client("s3").create_bucket(Bucket="schemas")
    app.cloud.client("s3").put_object(Bucket="schemas", Key="order.json", Body=json.dumps(ORDER))
    pair = app.pair(name)
    app.bury(pair, MESSAGES)
    report = app.redrive(pair.dlq).report
    assert report["counts"]["redriven"] == 1
    assert report["quarantineReasons"] == {"invalid-body": 1, "missing-attribute": 1, "not-json": 1}
    assert report["withoutContract"] == 0
    app.take(app.quarantine)


def test_the_report_tells_how_many_messages_were_judged_on_their_envelope_alone(app: App):
    pair = app.pair("unknown")
    app.bury(pair, MESSAGES)
    report = app.redrive(pair.dlq).report
    assert (report["counts"]["redriven"], report["withoutContract"]) == (4, 4)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "not a JSON Schema: type breaks"),
        ({"properties": {"a": {"$ref": "https://example.com/a"}}}, "refers to nothing in this document"),
        ({"$ref": "#"}, "refers back to itself"),
    ],
)
def test_a_schema_that_is_invalid_itself_is_refused_before_anything_moves(app: App, schema, reason):
    app.put_contract("broken", schema)
    pair = app.pair("broken")
    app.bury(pair, MESSAGES[:1])
    run = app.redrive(pair.dlq)
    assert (run.execution["status"], run.report["status"]) == ("FAILED", "REJECTED")
    assert reason in run.report["reason"]
    assert app.visible(pair.dlq) == 1


def test_a_schema_that_is_not_there_is_refused_before_anything_moves(app: App):
    names = app.cloud.client("ssm").describe_parameters()["Parameters"]
    if any(found["Name"].endswith("/contracts/broken") for found in names):
        app.cloud.client("ssm").delete_parameter(Name="/sqs-redrive/contracts/broken")
    pair = app.pair("broken")
    report = app.redrive(pair.dlq).report
    assert report["status"] == "REJECTED"
    assert "can't be read from ssm:/sqs-redrive/contracts/broken: ParameterNotFound" in report["reason"]


def test_a_message_that_a_slow_pattern_cannot_be_put_to_stays_and_holds_up_nothing(app: App):
    app.put_contract("slow", {"properties": {"a": {"pattern": r"^(x+x+)+\1y$"}}})
    pair = app.pair("slow")
    app.bury(pair, [{"MessageBody": json.dumps({"a": "x" * 5000})}, {"MessageBody": "{}"}])
    report = app.redrive(pair.dlq).report
    assert (report["status"], report["counts"]["redriven"]) == ("INCOMPLETE", 1)
    assert report["skipReasons"] == {"undecided": 1}
    assert app.visible(pair.dlq) == 1


def test_a_consumer_that_reads_raw_messages_gets_a_notification_without_its_wrapping(app: App):
    app.put_contract("raw", {"required": ["order"], "x-sns-delivery": "raw"})
    pair, sns = app.pair("raw"), app.cloud.client("sns")
    # What SNS couldn't deliver to the queue.
    undelivered = app.queue("undelivered")
    topic = sns.create_topic(Name="raw-orders")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=undelivered.arn)
    attributes = {"store_id": {"DataType": "Number", "StringValue": "3"}}
    sns.publish(TopicArn=topic, Message='{"order": 1.50}', MessageAttributes=attributes)
    run = app.redrive(undelivered, destination=pair.source.name)
    assert run.report["counts"]["redriven"] == 1
    (message,) = app.take(pair.source)
    assert message["Body"] == '{"order": 1.50}'
    assert message["MessageAttributes"]["store_id"] == attributes["store_id"]
