"""Messages that are broken or hostile: each is recognized, none is lost or bent, none holds up the others."""

import json

from tests.support import factories
from tests.support.app import App

NESTED_MEGABYTE = "[" * 524_000 + "]" * 524_000
UNREADABLE = {
    "text": "hello",
    "blank": " ",
    "a mebibyte of nested arrays": NESTED_MEGABYTE,
    "200 levels": "[" * 200 + "1" + "]" * 200,
    "NaN": factories.store_event().replace("false", "NaN"),
    "half of a surrogate pair": factories.store_event(name="x").replace('"x"', r'"\ud800"'),
}
# One key twice: the last one counts, as for the consumer.
TWICE = factories.store_event(event_id="twice-1").replace("{", '{"event_id": "", ', 1)


def test_a_contract_refuses_them_each_with_its_reason(app: App):
    pair = app.store_events
    messages = [{"MessageBody": body, "MessageAttributes": factories.store_id()} for body in UNREADABLE.values()]
    app.send(pair.dlq, [*messages, {"MessageBody": TWICE, "MessageAttributes": factories.store_id()}])
    report = app.redrive(pair.dlq).report
    assert (report["status"], report["counts"]["redriven"]) == ("SUCCEEDED", 1)
    assert report["quarantineReasons"] == {"invalid-body": 3, "not-json": 3}
    app.until_processed({"twice-1"})
    quarantined = app.take(app.quarantine)
    assert {message["Body"] for message in quarantined} == set(UNREADABLE.values())


def test_without_a_contract_they_go_back_byte_for_byte(app: App):
    pair = app.pair("anything")
    app.bury(pair, [{"MessageBody": body} for body in [*UNREADABLE.values(), TWICE]])
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == len(UNREADABLE) + 1
    assert {message["Body"] for message in app.take(pair.source)} == {*UNREADABLE.values(), TWICE}


def invocation(**changes) -> dict:
    context = {
        "requestId": "r",
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:nobodys",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    envelope = {"version": "1.0", "timestamp": "2026-01-01T00:00:00Z", "requestContext": context | changes}
    return envelope | {"requestPayload": {"order": 1}, "responsePayload": {"errorType": "DownError"}}


def without(content: dict, *path: str) -> dict:
    *above, last = path
    found = content
    for step in above:
        found = found[step]
    del found[last]
    return content


def test_a_record_that_lacks_a_field_goes_to_the_quarantine_and_not_to_the_destination(app: App):
    dlq, named = app.queue("failures"), app.queue("named")
    records = [
        without(invocation(), "requestContext", "functionArn"),
        without(invocation(), "requestContext", "condition"),
        without(invocation(), "version"),
    ]
    app.send(dlq, [{"MessageBody": json.dumps(record)} for record in records])
    report = app.redrive(dlq, destination=named.name).report
    assert report["quarantineReasons"] == {"unreadable-record": 3}
    assert app.take(named) == []
    assert sorted(message["Body"] for message in app.take(app.quarantine)) == sorted(map(json.dumps, records))


def test_a_notification_that_lacks_a_field_is_taken_for_what_it_is_a_raw_message(app: App):
    dlq, named = app.queue("failures"), app.queue("named")
    record = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:t", "MessageId": "m"}
    app.send(dlq, [{"MessageBody": json.dumps(record)}])
    report = app.redrive(dlq, destination=named.name).report
    assert [group["envelope"] for group in report["sample"]["groups"]] == ["none"]
    (message,) = app.take(named)
    assert json.loads(message["Body"]) == record


def test_what_holds_nothing_to_redrive_goes_to_the_quarantine(app: App):
    dlq = app.queue("failures")
    dropped = without(invocation(), "requestPayload")
    pointer = dropped | {"KinesisBatchInfo": {"shardId": "shard-0", "batchSize": 7}}
    truncated = {"SCHEDULE_ARN": "arn:s", "TARGET_ARN": dlq.arn, "IS_PAYLOAD_TRUNCATED": "true"}
    attributes = {name: factories.string(value) for name, value in truncated.items()}
    messages = [
        {"MessageBody": json.dumps(invocation(condition="Success"))},
        {"MessageBody": json.dumps(dropped)},
        {"MessageBody": json.dumps(pointer)},
        {"MessageBody": '{"order": ', "MessageAttributes": attributes},
    ]
    app.send(dlq, messages)
    report = app.redrive(dlq).report
    assert report["quarantineReasons"] == {"no-payload": 2, "payload-truncated": 1, "succeeded": 1}
    assert sorted(group["events"] or 0 for group in report["sample"]["groups"]) == [0, 0, 1, 7]
    assert {message["Body"] for message in app.take(app.quarantine)} == {message["MessageBody"] for message in messages}


def test_a_function_of_another_account_is_never_invoked(app: App):
    dlq = app.queue("failures")
    foreign = "arn:aws:lambda:us-east-1:999999999999:function:on-order"
    app.send(dlq, [{"MessageBody": json.dumps(invocation(functionArn=foreign))}])
    report = app.redrive(dlq).report
    assert report["skipReasons"] == {"destination-not-allowed": 1}
    assert app.visible(dlq) == 1


def notification(message: str) -> str:
    envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:t"}
    return json.dumps(envelope | {"Message": message})


def test_an_envelope_in_an_envelope_in_an_envelope_is_judged_by_what_is_in_it(app: App):
    app.put_contract("order", {"required": ["id"]})
    pair = app.pair("by-parameter")
    good, bad = (notification(notification(notification(body))) for body in ('{"id": 1}', "{}"))
    app.bury(pair, [{"MessageBody": good}, {"MessageBody": bad}])
    report = app.redrive(pair.dlq).report
    assert report["quarantineReasons"] == {"invalid-body": 1}
    (message,) = app.take(pair.source)
    assert message["Body"] == good
    app.take(app.quarantine)
