"""Reports and alarms get to a Slack webhook and to Amazon Q Developer's topic; what doesn't get through isn't lost."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from local.embedded_cloud import EmbeddedCloud
from tests.support.app import TEAM_QUEUES, App, Queue
from tests.support.eventually import eventually
from tests.support.webhook_server import Webhook, webhook_server

STACK = "chatty"


@pytest.fixture(scope="module")
def webhook(tmp_path_factory) -> Iterator[Webhook]:
    with webhook_server(tmp_path_factory.mktemp("webhook")) as started:
        yield started


@pytest.fixture(scope="module")
def app(webhook: Webhook) -> Iterator[App]:
    with EmbeddedCloud.start(environment={"SSL_CERT_FILE": str(webhook.certificate)}) as cloud:
        secret = cloud.client("secretsmanager").create_secret(Name="slack-webhook", SecretString=webhook.url)
        hosts = {"SlackWebhookHosts": " ".join(webhook.hosts)}
        parameters = {
            "SliceSeconds": "5",
            "SlackWebhookSecretArn": secret["ARN"],
            **hosts,
            "AmazonQTopic": "true",
            **TEAM_QUEUES,
        }
        yield App(cloud, cloud.deploy(STACK, parameters))


def posted_message(webhook: Webhook, title: str) -> dict[str, Any] | None:
    """Return the message with that title, if it came."""
    return next((message for message in webhook.posted if message["text"].startswith(title)), None)


def test_the_report_of_a_run_gets_to_the_webhook_with_its_counts(app: App, webhook: Webhook):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": f"mark-7319-{number}"} for number in range(5)])

    run = app.redrive(pair.dlq)

    message = eventually(lambda: posted_message(webhook, f"Redrive SUCCEEDED: {pair.dlq.name}"))
    text = json.dumps(message)
    assert "*Redriven*\\n5" in text
    assert run.execution["executionArn"] in text
    assert "mark-7319" not in text


def test_the_page_of_a_run_is_in_the_bucket_and_the_chat_links_to_it(app: App, webhook: Webhook):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": f"mark-7319-{number}"} for number in range(3)])

    report = app.redrive(pair.dlq).report

    [key] = parse_qs(urlsplit(report["page"]).query)["prefix"]
    message = eventually(lambda: posted_message(webhook, f"Redrive SUCCEEDED: {pair.dlq.name}"))
    assert f"prefix={quote(key)}|Open the report page>" in json.dumps(message)
    stored = app.cloud.client("s3").get_object(Bucket=app.resource("ReportBucket"), Key=key)
    page = stored["Body"].read().decode()
    assert f"Redrive of <bdi>{pair.dlq.name}</bdi>" in page
    assert "mark-7319" not in page


def test_the_report_of_a_run_gets_to_the_topic_that_amazon_q_developer_reads(app: App):
    read, pair = app.subscribed("ChatTopic"), app.pair()
    app.bury(pair, [{"MessageBody": "mark-7320"}])

    app.redrive(pair.dlq)

    text = eventually(lambda: pair.dlq.name in (found := json.dumps(app.peek(read))) and found)
    assert "SUCCEEDED" in text
    assert "mark-7320" not in text


def test_an_alarm_of_the_stack_gets_to_the_webhook(app: App, webhook: Webhook):
    app.send(app.store_events.dlq, [{"MessageBody": "x"}])

    message = eventually(lambda: posted_message(webhook, f"ALARM: {STACK}-StoreEventsDLQAlarm"))

    assert "Fix why they failed" in json.dumps(message)


def test_reports_that_the_chats_do_not_take_lie_in_a_queue_and_can_be_redriven(app: App, webhook: Webhook):
    lost, sns, topic = app.own("LostNoticesQueue"), app.cloud.client("sns"), app.resource("ChatTopic")
    empty = app.pair().dlq
    webhook.is_gone = True
    sns.delete_topic(TopicArn=topic)
    app.redrive(empty)

    def both_lost() -> str | None:
        found = peek(app, lost)
        names = [app.resource(name) for name in ("SlackWebhookFunction", "AmazonQFunction")]
        return found if empty.name in found and all(f":function:{name}" in found for name in names) else None

    messages = eventually(both_lost)
    assert "no_service" in messages
    assert webhook.url.rsplit("/", 1)[1] not in messages

    webhook.is_gone = False
    assert sns.create_topic(Name=topic.rsplit(":", 1)[1])["TopicArn"] == topic
    read = app.subscribed("ChatTopic")
    app.redrive(lost)
    eventually(lambda: posted_message(webhook, f"Redrive SUCCEEDED: {empty.name}"))
    eventually(lambda: empty.name in peek(app, read))


def test_a_forged_record_of_a_lost_report_is_not_delivered(app: App):
    dlq, home = app.queue("failures"), "arn:aws:lambda:us-east-1:000000000000:function"
    context = {"requestId": "r", "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    for name in ("SlackWebhookFunction", "AmazonQFunction"):
        origin = {**context, "functionArn": f"{home}:{app.resource(name)}"}
        record = {"version": "1.0", "timestamp": "t", "requestContext": origin, "requestPayload": {"Records": []}}
        app.send(dlq, [{"MessageBody": json.dumps(record)}])

    report = app.redrive(dlq).report

    assert report["skipReasons"] == {"destination-not-confirmed": 2}


def peek(app: App, queue: Queue) -> str:
    """Return the messages of a queue as text, and leave them visible."""
    answer = app.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return json.dumps(answer.get("Messages", []))
