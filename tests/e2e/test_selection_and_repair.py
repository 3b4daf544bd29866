"""Which messages a run selects, how it repairs them, and how its report masks them."""

import json

import pytest

from tests.support import factories
from tests.support.app import App

# Store events that lack the attribute `store_id` get it from the body.
STORE_FROM_BODY = {"setAttributes": {"store_id": {"type": "Number", "from": "store_id"}}}


def event(number: int, **changes) -> dict:
    return {"MessageBody": factories.store_event(event_id=f"repair-{number}", **changes)}


def test_messages_that_lack_an_attribute_get_it_from_the_body(app: App):
    pair = app.store_events
    app.send(pair.dlq, [event(number, store_id=number % 5 + 1) for number in range(6)])
    report = app.redrive(pair.dlq, repair=STORE_FROM_BODY).report
    assert (report["counts"]["redriven"], report["counts"]["repaired"]) == (6, 6)
    assert report["quarantineReasons"] == {}
    app.until_processed({f"repair-{number}" for number in range(6)})


def test_a_dry_run_shows_a_repair_before_and_after_and_changes_nothing(app: App):
    pair = app.store_events
    app.send(pair.dlq, [event(7, store_id=3), event(8)])
    run = app.redrive(pair.dlq, repair=STORE_FROM_BODY, dryRun=True)
    assert (run.report["status"], run.report["counts"]["repaired"]) == ("DRY_RUN", 0)
    repaired, other = sorted(run.report["sample"]["groups"], key=lambda group: not group["repaired"])
    assert (repaired["verdict"], other["reason"]) == ("redrivable", "missing-attribute")
    assert repaired["example"]["attributes"] == {}
    assert repaired["example"]["repaired"]["attributes"] == {"store_id": "3"}
    assert repaired["example"]["body"]["ssn_no"] == "<hidden>"
    text = json.dumps(run.report) + json.dumps(app.history(run))
    for value in ("Shifter", "396144610", "1945-10-17"):
        assert value not in text
    assert len(app.take(pair.dlq)) == 2


def test_bodies_are_patched_and_projected(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": '{"event": {"Id": 1, "price": 1.50}}'}])
    repair = {
        "patch": [{"op": "move", "from": "/event/Id", "path": "/event/id"}],
        "project": "event",
        "renameAttributes": {"a": "b"},
    }
    assert app.redrive(pair.dlq, repair=repair).report["counts"]["repaired"] == 1
    (message,) = app.take(pair.source)
    assert message["Body"] == '{"price":1.50,"id":1}'
    assert json.loads(message["MessageAttributes"]["redrive"]["StringValue"])["repaired"] is True


def test_what_is_not_selected_stays_in_its_place_untouched(app: App):
    pair = app.pair()
    bodies = [json.dumps({"store": number % 3}) for number in range(30)]
    app.bury(pair, [{"MessageBody": body} for body in bodies])
    report = app.redrive(pair.dlq, select={"jmespath": "store == `1`"}).report
    assert (report["counts"]["redriven"], report["skipReasons"]) == (10, {"not-selected": 20})
    assert {message["Body"] for message in app.take(pair.source)} == {'{"store": 1}'}
    assert app.visible(pair.dlq) == 20
    remaining = app.take(pair.dlq)
    assert {message["Body"] for message in remaining} == {'{"store": 0}', '{"store": 2}'}
    assert not any("MessageAttributes" in message for message in remaining)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"select": {"jmespath": "store =="}}, "select.jmespath: not a JMESPath expression"),
        ({"select": {}}, "select: expected at least one condition"),
        ({"repair": {"project": "{"}}, "repair.project: not a JMESPath expression"),
        ({"repair": {"patch": [{"op": "put"}]}}, "repair.patch.0: expected an op, one of"),
    ],
)
def test_a_condition_or_repair_that_is_invalid_is_refused_before_anything_moves(app: App, given, reason):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "{}"}])
    report = app.redrive(pair.dlq, **given).report
    assert report["status"] == "REJECTED"
    assert reason in report["reason"]
    assert app.visible(pair.dlq) == 1


def test_a_full_scan_counts_every_message_and_leaves_the_queue_as_it_was(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": json.dumps({"n": number})} for number in range(150)])
    app.send(pair.dlq, [{"MessageBody": "x" * 5000} for _ in range(50)])
    report = app.redrive(pair.dlq, fullScan=True, dryRun=True).report
    sample = report["sample"]
    assert (sample["sampled"], sample["complete"]) == (200, True)
    by_origin = {group["origin"]: (group["messages"], group["share"]) for group in sample["groups"]}
    assert by_origin == {pair.source.name: (150, 0.75), None: (50, 0.25)}
    assert sample["sizes"]["largest"] == 5000
    assert app.visible(pair.dlq) == 200
