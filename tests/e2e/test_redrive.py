"""Runs of the deployed workflow, from the dead-letter queue to the report: what is redriven, and what stays."""

import json

import pytest

from tests.support import factories
from tests.support.app import TRACE, App
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


def test_the_name_of_the_queue_is_enough_and_every_message_goes_back_as_it_was(app: App):
    pair = app.pair()
    app.bury(pair, [faithful(f'not json, body {number} "ü"', f"tenant-{number % 3}") for number in range(24)])
    run = app.redrive(pair.dlq)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.report["status"] == "SUCCEEDED"
    assert run.report["counts"] == {
        "sampled": 10,
        "seen": 24,
        "redriven": 24,
        "repaired": 0,
        "quarantined": 0,
        "foreign": 0,
        "skipped": 0,
        "bounced": 0,
        "failed": 0,
        "released": 0,
        "remaining": 0,
    }
    back = app.take(pair.source)
    assert {message["Body"] for message in back} == {f'not json, body {number} "ü"' for number in range(24)}
    for message in back:
        provenance = json.loads(message["MessageAttributes"].pop("redrive")["StringValue"])
        assert (provenance["run"], provenance["count"]) == (run.report["runId"], 1)
        assert message["MessageAttributes"] == EVERY_KIND_OF_ATTRIBUTE
        assert message["Attributes"]["AWSTraceHeader"] == TRACE
        assert message["Attributes"]["MessageGroupId"].startswith("tenant-")
    assert app.depth(pair.dlq) == 0


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


def test_messages_of_a_shared_dead_letter_queue_go_back_each_to_its_own_source(app: App):
    one = app.pair()
    other = app.pair(dlq=one.dlq)
    app.bury(one, [{"MessageBody": f"one {number}"} for number in range(4)])
    app.bury(other, [{"MessageBody": f"other {number}"} for number in range(6)])
    assert app.redrive(one.dlq).report["counts"]["redriven"] == 10
    assert {message["Body"][:3] for message in app.take(one.source)} == {"one"}
    assert len(app.take(other.source)) == 6


def test_messages_that_were_sent_straight_to_the_queue_go_to_its_only_source(app: App):
    pair = app.pair()
    app.send(pair.dlq, [{"MessageBody": "straight"}])
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == 1
    assert [message["Body"] for message in app.take(pair.source)] == ["straight"]


def test_messages_that_do_not_tell_their_source_stay_where_several_queues_share_the_dlq_and_the_others_go(app: App):
    pair = app.pair()
    app.pair(dlq=pair.dlq)
    app.bury(pair, [{"MessageBody": "mine"}])
    app.send(pair.dlq, [{"MessageBody": "whose?"}])
    report = app.redrive(pair.dlq).report
    assert (report["status"], report["counts"]["redriven"]) == ("INCOMPLETE", 1)
    assert report["skipReasons"] == {"no-destination": 1}
    assert "start a run with a destination" in report["reason"]
    assert app.visible(pair.dlq) == 1


def test_all_messages_go_to_the_destination_that_the_run_names(app: App):
    pair, elsewhere = app.pair(), app.queue("elsewhere")
    app.bury(pair, [{"MessageBody": "go"}])
    run = app.redrive(pair.dlq, destination=elsewhere.url)
    assert run.report["destination"] == elsewhere.name
    assert len(app.take(elsewhere)) == 1


def test_an_empty_queue_is_a_success_with_zeros(app: App):
    run = app.redrive(app.pair().dlq)
    assert run.report["status"] == "SUCCEEDED"
    assert set(run.report["counts"].values()) == {0}


def test_a_dry_run_tells_what_it_would_do_and_leaves_every_message_visible(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": str(number)} for number in range(15)])
    run = app.redrive(pair.dlq, dryRun=True)
    assert run.report["status"] == "DRY_RUN"
    assert run.report["counts"]["sampled"] == 10
    assert run.report["counts"]["remaining"] == 15
    assert [group["verdict"] for group in run.report["sample"]["groups"]] == ["redrivable"]
    assert app.visible(pair.dlq) == 15


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


def test_what_was_quarantined_goes_back_to_where_it_came_from_once_it_is_redriven_from_there(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "worn out"}])
    app.redrive(pair.dlq)
    app.let_die(pair, 1)
    run = app.redrive(pair.dlq, maxRedrives=1)
    assert run.report["quarantineReasons"] == {"redriven-too-often": 1}
    quarantine = app.quarantine
    back = app.ended(app.start({"dlq": quarantine.url, "maxRedrives": 2}))
    assert back.report["counts"]["redriven"] == 1
    assert [message["Body"] for message in app.take(pair.source)] == ["worn out"]


def test_messages_that_arrive_during_the_run_are_skipped_and_visible_afterwards(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": str(number)} for number in range(12)])
    execution = app.start({"dlq": pair.dlq.name, "rate": 4})
    app.send(pair.dlq, [{"MessageBody": "late"}])
    report = app.ended(execution).report
    assert report["counts"]["redriven"] == 12
    assert report["skipReasons"] == {"arrived-after-start": 1}
    assert report["counts"]["remaining"] == app.visible(pair.dlq) == 1


@pytest.mark.parametrize("rate", [50, 2000], ids=["one lane", "four lanes"])
def test_max_messages_is_exact(app: App, rate: int):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": str(number)} for number in range(60)])
    run = app.redrive(pair.dlq, maxMessages=37, rate=rate)
    assert run.report["counts"]["redriven"] == 37
    assert run.report["counts"]["remaining"] == app.visible(pair.dlq) == 23
    assert app.depth(pair.source) == 37


def test_fifo_groups_keep_their_order(app: App):
    pair = app.pair(fifo=True)
    sent = [
        {
            "MessageBody": f"{number % 3}/{number}",
            "MessageGroupId": str(number % 3),
            "MessageDeduplicationId": f"id-{number}",
        }
        for number in range(24)
    ]
    app.send(pair.dlq, sent)
    report = app.redrive(pair.dlq, rate=200).report
    assert report["counts"]["redriven"] == 24
    assert app.depth(pair.dlq) == 0
    order: dict[str, list[int]] = {}
    for message in app.take(pair.source):
        group, number = message["Body"].split("/")
        order.setdefault(group, []).append(int(number))
    assert order == {str(group): list(range(group, 24, 3)) for group in range(3)}


def test_messages_at_the_limits_of_sqs_go_back_whole(app: App):
    pair = app.pair()
    ten = {f"attribute-{number}": factories.string("x") for number in range(10)}
    entries = [
        {"MessageBody": "x" * 1_048_576},
        *({"MessageBody": f"{number}" + "y" * 200 * 1024} for number in range(10)),
        {"MessageBody": "ten attributes", "MessageAttributes": ten},
    ]
    app.bury(pair, entries)
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == 12
    back = app.take(pair.source)
    assert {message["Body"] for message in back} == {entry["MessageBody"] for entry in entries}
    [full] = [message for message in back if message["Body"] == "ten attributes"]
    assert full["MessageAttributes"] == ten
