"""Notices and their formats: counts, reasons, and what to do, and nothing of a message."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from chat.formats import custom_notification, slack_message
from chat.notices import Notice, notice_of
from redrive.domain.automatic.decisions import Progress, notify, paused_text
from redrive.domain.automatic.limits import Limits, Record
from redrive.domain.runs.ending import Status
from tests.support.samples import EVENTS

REPORT = json.loads((EVENTS / "webhook.json").read_text())["Records"][0]["Sns"]["Message"]
ALARM = json.loads((EVENTS / "amazon-q.json").read_text())["Records"][0]["Sns"]["Message"]
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:redrive:night-shift"
LINK = f"https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/{EXECUTION}"
REASON = json.loads(REPORT)["reason"]
SLACK_MESSAGE = {
    "text": "Redrive SUCCEEDED: store-events-dlq",
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "Redrive SUCCEEDED: store-events-dlq"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": REASON}},
        {
            "type": "section",
            "fields": [
                {"type": "mrkdwn", "text": "*Redriven*\n9"},
                {"type": "mrkdwn", "text": "*Quarantined*\n3 (missing-attribute 3)"},
                {"type": "mrkdwn", "text": "*Skipped*\n1 (came-back 1)"},
                {"type": "mrkdwn", "text": "*Not accepted*\n0"},
                {"type": "mrkdwn", "text": "*Remaining in the queue*\n1"},
                {"type": "mrkdwn", "text": "*Destination*\nstore-events"},
                {"type": "mrkdwn", "text": "*Messages per second*\n49.5 (requested: 50)"},
                {"type": "mrkdwn", "text": "*Duration*\n22 s"},
            ],
        },
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": "• Some messages were quarantined. See docs/reference/reasons.md for what to do about each "
                "reason.\n"
                "• Some messages remain in the queue. The reason says why.",
            },
        },
        {"type": "section", "text": {"type": "mrkdwn", "text": f"<{LINK}|Open in the console>"}},
    ],
}
CUSTOM_NOTIFICATION = {
    "version": "1.0",
    "source": "custom",
    "content": {
        "textType": "client-markdown",
        "title": "ALARM: redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F",
        "description": "Threshold Crossed: 1 datapoint [12.0 (09/10/26 03:11:00)] was greater than or equal "
        "to the threshold (1.0).",
        "nextSteps": [
            "Store events failed. Fix the cause, then redrive the queue.",
            "Open in the console: https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
            "#alarmsV2:alarm/redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F",
        ],
        "keywords": ["ALARM", "redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F"],
    },
    "metadata": {
        "threadId": "redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F",
        "summary": "ALARM: redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F",
        "eventType": "redrive-alarm",
        "relatedResources": [
            "arn:aws:cloudwatch:us-east-1:123456789012:alarm:redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F"
        ],
        "additionalContext": {},
    },
}


def report(**changes: Any) -> Notice:
    return notice_of(json.dumps(json.loads(REPORT) | changes), "subject")


def test_a_report_is_formatted_for_a_slack_webhook():
    assert slack_message(notice_of(REPORT, None)) == SLACK_MESSAGE


def test_an_alarm_is_formatted_as_a_custom_notification():
    assert custom_notification(notice_of(ALARM, None)) == CUSTOM_NOTIFICATION


def test_the_notices_of_one_run_share_a_thread():
    assert custom_notification(report())["metadata"]["threadId"] == "night-shift"


@pytest.mark.parametrize("status", Status)
def test_every_status_but_success_has_something_to_do(status):
    counts: Mapping[str, int] = dict.fromkeys(json.loads(REPORT)["counts"], 0)
    assert bool(report(status=status, counts=counts).to_do) == (status is not Status.SUCCEEDED)


def test_a_report_with_a_page_links_to_it():
    page = "https://us-east-1.console.aws.amazon.com/s3/object/b?region=us-east-1&bucketType=general&prefix=runs/a.html"
    notice = report(page=page)
    links = slack_message(notice)["blocks"][-1]["text"]["text"]
    assert links == f"<{page.replace('&', '&amp;')}|Open the report page> · <{LINK}|Open in the console>"
    assert f"Open the report page: {page}" in custom_notification(notice)["content"]["nextSteps"]


def test_a_refused_run_has_its_reason():
    notice = report(status="REJECTED", reason="there is no queue nowhere", dlq=None)
    assert (notice.title, notice.reason) == ("Redrive REJECTED: no queue", "there is no queue nowhere")


def test_the_most_frequent_of_many_reasons_are_listed():
    reasons = {f"reason-{number}": number for number in range(1, 9)}
    facts = dict(report(quarantineReasons=reasons).facts)
    assert facts["Quarantined"] == "3 (reason-8 8, reason-7 7, reason-6 6, reason-5 5, reason-4 4, 3 more reasons)"


def test_nothing_of_a_samples_examples_is_in_the_chat():
    group = {
        "verdict": "redrivable",
        "reason": None,
        "destination": "store-events",
        "envelope": "none",
        "errorType": None,
        "errorMessage": "mark-7319",
        "contract": None,
        "messages": 1,
        "example": {"body": "mark-7319", "attributes": {"name": "mark-7319"}},
    }
    notice = report(sample={"sampled": 1, "groups": [group]})
    assert "mark-7319" not in json.dumps([slack_message(notice), custom_notification(notice)])
    assert notice.status == "SUCCEEDED"


def test_a_pause_of_automatic_starts_has_its_reason_and_something_to_do():
    text = paused_text("orders-dlq", Record(), Limits(900, 3, 0), 1_800_000_000)
    step = notify(text, "PAUSED", "orders-dlq", Progress())
    assert step.notification is not None
    notice = notice_of(json.loads(step.notification.message)["default"], step.notification.subject)
    assert (notice.title, notice.reason) == ("Automatic redrive PAUSED: orders-dlq", text)
    assert notice.to_do


def test_an_alarm_that_is_ok_has_nothing_to_do():
    over = json.dumps(json.loads(ALARM) | {"NewStateValue": "OK"})
    assert notice_of(over, None).to_do == ()


@pytest.mark.parametrize("message", ["text", "[]", "{}", '{"AlarmName": 5}', '{"notice": "x"}'])
def test_a_message_of_another_kind_is_shown_by_its_subject_alone(message):
    notice = notice_of(message, "Something else")
    assert (notice.title, notice.reason, notice.facts) == ("Something else", None, ())


def test_characters_that_slack_reads_as_markup_are_escaped():
    notice = Notice(title="a<b", status="X", about="a<b", thread="t", reason="<!channel> & more")
    blocks = json.dumps(slack_message(notice)["blocks"][1:])
    assert "&lt;!channel&gt; &amp; more" in blocks


def test_nothing_is_longer_than_slack_accepts():
    long = "x" * 9000
    notice = Notice(long, "X", "a", "t", reason=long, facts=((long, long),) * 20, to_do=(long,) * 20, link="https://x")
    header, reason, facts, to_do, _ = slack_message(notice)["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert max(len(block["text"]["text"]) for block in (reason, to_do)) <= 3000
    assert len(facts["fields"]) <= 10
    assert max(len(field["text"]) for field in facts["fields"]) <= 2000


@pytest.mark.parametrize(
    ("partition", "host"),
    [
        ("aws-cn", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_links_lead_to_the_console_of_the_partition(partition, host):
    region = host.split(".", 1)[0]
    link = report(executionArn=f"arn:{partition}:states:{region}:123456789012:execution:redrive:night-shift").link
    assert link is not None
    assert link.startswith(f"https://{host}/states/home?region={region}#")
