"""What the embedded cloud records of AWS calls: who calls what on what, and nothing of the content."""

import json

from local.call_recorder import VARIABLE
from local.embedded_cloud import EmbeddedCloud
from tests.support.cloud_resources import invoke, make_function

CALLER = """
import boto3

sqs, rows = boto3.client("sqs"), boto3.client("dynamodb")

def item(pk):
    return {"pk": {"S": pk}, "sk": {"S": "secret"}, "text": {"S": "secret"}}

def handle(event, context):
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "secret"}])
    rows.put_item(TableName="runs", Item=item("run#1"))
    rows.query(
        TableName="runs",
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={":pk": {"S": "run#2"}, ":sk": {"S": "secret"}},
    )
    keys = [{"pk": {"S": pk}, "sk": {"S": "secret"}} for pk in ("sent#1", "sent#2")]
    rows.batch_get_item(RequestItems={"runs": {"Keys": keys}})
    rows.batch_write_item(
        RequestItems={"runs": [{"PutRequest": {"Item": item("run#3")}}, {"DeleteRequest": {"Key": keys[0]}}]}
    )
    update = {"TableName": "runs", "Key": keys[1], "UpdateExpression": "SET a = :a"}
    update["ExpressionAttributeValues"] = {":a": {"S": "secret"}}
    rows.transact_write_items(
        TransactItems=[{"Put": {"TableName": "runs", "Item": item("run#4")}}, {"Update": update}]
    )
"""


def of_items(operation, *items):
    return {
        "service": "dynamodb",
        "operation": operation,
        "items": [dict(zip(("operation", "table", "key"), item, strict=True)) for item in items],
    }


def test_the_calls_of_a_function_are_recorded_with_names_and_leading_keys_only(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with EmbeddedCloud.start() as cloud:
        url = cloud.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
        cloud.client("dynamodb").create_table(
            TableName="runs",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        function = make_function(cloud, CALLER)
        invoke(cloud, function)

    (file,) = tmp_path.iterdir()
    calls = [json.loads(line)["call"] for line in file.read_text().splitlines()]
    assert {call.pop("function") for call in calls} == {function}
    assert [call.pop("names") for call in calls][:2] == [{"QueueName": "orders"}, {"QueueUrl": url}]
    assert calls == [
        {"service": "sqs", "operation": "GetQueueUrl"},
        {"service": "sqs", "operation": "SendMessageBatch"},
        of_items("PutItem", ("PutItem", "runs", "run#1")),
        of_items("Query", ("Query", "runs", "run#2")),
        of_items("BatchGetItem", ("BatchGetItem", "runs", "sent#1"), ("BatchGetItem", "runs", "sent#2")),
        of_items("BatchWriteItem", ("BatchWriteItem", "runs", "run#3"), ("BatchWriteItem", "runs", "sent#1")),
        of_items("TransactWriteItems", ("PutItem", "runs", "run#4"), ("UpdateItem", "runs", "sent#2")),
    ]
    assert "secret" not in file.read_text()


def test_nothing_is_recorded_unless_it_is_to_be(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with EmbeddedCloud.start() as cloud:
        assert cloud.call_records is None
        function = make_function(cloud, "import os\ndef handle(event, context): return 'CALL_RECORDER' in os.environ")
        assert invoke(cloud, function) is False
