"""Hostile messages in queues of the deployed app: each has its own fate, and nothing of it is shown to anyone."""

import json
import random
import re
from typing import Any

import pytest

from tests.hostile.marks import DIGITS, WORD
from tests.hostile.messages import SCRIPT_BYTES, hostile
from tests.hostile.suite import ERROR_TYPE
from tests.hostile.wire import acceptable
from tests.support import wrapped
from tests.support.app import App, Run

_FORGED_NOTE = json.dumps({"run": WORD, "count": 0, "id": WORD, "sent": 1, "source": WORD})


def attacks(number: int) -> list[dict[str, Any]]:
    """Return entries of SendMessageBatch that the emulated SQS takes, about 900 KiB of them at most."""
    bits = random.Random(number)
    found: list[dict[str, Any]] = [
        # This one used to end every run: a notification whose Binary attribute isn't base64.
        {"MessageBody": wrapped.notification(WORD, MessageAttributes={WORD: {"Type": "Binary", "Value": "%"}})},
        {"MessageBody": "[" * 100_000 + WORD},
        {"MessageBody": WORD, "MessageAttributes": {"redrive": text(_FORGED_NOTE + " " * 1_000_000)}},
    ]
    size = 0
    while len(found) < number:
        message = hostile(bits.randbytes(SCRIPT_BYTES), len(found), fifo=False, moved_of_4=0)
        length = len(json.dumps(message, default=repr))
        if size + length < 900_000 and acceptable(message):
            size += length
            found.append({"MessageBody": message["Body"], "MessageAttributes": message["MessageAttributes"]})
    return found


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def shown(app: App, run: Run, reports: Any) -> str:
    """Return all texts about a run that anybody gets to see, apart from error types."""
    workflow, logs = app.workflow, app.cloud.client("logs")
    executions = [run.execution["executionArn"]]
    texts = [
        run.report,
        app.take(reports),
        app.cloud.client("dynamodb").scan(TableName=app.resource("RunTable"))["Items"],
        *(workflow.get_execution_history(executionArn=arn, maxResults=1000) for arn in executions),
        *(
            logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
            for group in logs.describe_log_groups()["logGroups"]
        ),
    ]
    everything = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), json.dumps(texts, default=repr))
    return ERROR_TYPE.sub("", everything)


@pytest.mark.parametrize("moved", [False, True], ids=["sent to a dead-letter queue", "moved by a redrive policy"])
def test_hostile_messages_neither_stop_a_run_nor_get_shown(app: App, moved: bool):
    payouts, reports, sent = app.pair("payouts").source, app.subscribed(), attacks(150)
    good = [{"MessageBody": json.dumps({"order": number})} for number in range(20)]
    pair = app.pair()
    dlq = pair.dlq if moved else app.queue("failures")
    if moved:
        app.bury(pair, [*sent, *good])
    else:
        app.send(dlq, sent)
    run = app.redrive(dlq, rate=500)

    counts = run.report["counts"]
    assert run.report["status"] in {"SUCCEEDED", "INCOMPLETE"}, run.report["reason"]
    assert counts["seen"] == len(sent) + len(good) * moved
    assert app.depth(payouts) == 0
    if moved:
        # Whatever it looks like, it goes back byte for byte.
        back = sorted(message["Body"] for message in app.take(pair.source))
        assert back == sorted(entry["MessageBody"] for entry in [*sent, *good])
    else:
        # AWS's configuration confirms none of them.
        assert counts["redriven"] == 0
        assert app.visible(dlq) + counts["quarantined"] == len(sent)
    check(app, run, reports)
    # The quarantine is that of all tests.
    app.take(app.quarantine)


def test_what_messages_say_of_where_they_come_from_and_why_they_failed_is_not_shown(app: App):
    reports, dlq, home = app.subscribed(), app.queue("failures"), "us-east-1:000000000000"
    reply = {"errorType": f"<a href='https://{WORD}.example'>", "errorMessage": f"{WORD}: card {DIGITS}"}
    context = wrapped.invocation()["requestContext"]
    functions = [f"arn:aws:lambda:{home}:function:{name}" for name in (WORD, f"on-order-{WORD}")]
    records = [
        wrapped.lambda_record({WORD: DIGITS}, responsePayload=reply, requestContext=context | {"functionArn": function})
        for function in functions
    ]
    origins = {
        "RULE_ARN": f"arn:aws:events:{home}:rule/{WORD}",
        "TARGET_ARN": functions[0],
        "ERROR_CODE": f"{WORD}_ERROR",
        "ERROR_MESSAGE": f"see https://{WORD}.example/{DIGITS}",
    }
    claims: list[dict[str, Any]] = [
        *({"MessageBody": json.dumps(failed)} for failed in records),
        {"MessageBody": "{}", "MessageAttributes": {name: text(value) for name, value in origins.items()}},
        {"MessageBody": wrapped.notification(WORD, TopicArn=f"arn:aws:sns:{home}:{WORD}")},
    ]
    app.send(dlq, claims)
    run = app.redrive(dlq)
    assert run.report["counts"]["skipped"] == len(claims)
    assert run.report["sample"]["sampled"] == len(claims)
    check(app, run, reports)


def check(app: App, run: Run, reports: Any) -> None:
    """Check that nothing of a message is in what anybody gets to see."""
    found = shown(app, run, reports).lower()
    assert found.count(run.report["runId"].lower()) > 10
    for mark in (WORD, DIGITS[:8]):
        at = found.find(mark)
        assert at < 0, found[max(0, at - 200) : at + 100]
