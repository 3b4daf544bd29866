"""Reports and alarms get to a Slack webhook; what does not get through is not lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.embedded_cloud import EmbeddedCloud
from tests.support.app import App, Queue
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
        parameters = {"SliceSeconds": "5", "SlackWebhookSecretArn": secret["ARN"], **hosts}
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


def test_an_alarm_of_the_stack_gets_to_the_webhook(app: App, webhook: Webhook):
    app.send(app.store_events.dlq, [{"MessageBody": "x"}])

    message = eventually(lambda: posted_message(webhook, f"ALARM: {STACK}-StoreEventsDLQAlarm"))

    assert "Fix why they failed" in json.dumps(message)


def test_a_report_that_the_webhook_does_not_take_lies_in_a_queue_and_can_be_redriven(app: App, webhook: Webhook):
    lost_url = app.resource("LostNoticesQueue")
    lost = app.queue_at(lost_url)
    empty = app.pair().dlq
    webhook.is_gone = True
    app.redrive(empty)

    messages = eventually(lambda: empty.name in (found := peek(app, lost)) and found)
    assert "no_service" in messages
    assert webhook.url.rsplit("/", 1)[1] not in messages

    webhook.is_gone = False
    app.redrive(lost)
    eventually(lambda: posted_message(webhook, f"Redrive SUCCEEDED: {empty.name}"))


def peek(app: App, queue: Queue) -> str:
    """Return the messages of a queue as text, and leave them visible."""
    answer = app.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return json.dumps(answer.get("Messages", []))
