"""What a run says at its end: its status, what it left and why, and what a dry run forecasts."""

import json

from tests.support.app import App


def messages(number: int) -> list[dict]:
    return [{"MessageBody": json.dumps({"n": place})} for place in range(number)]


def test_a_run_whose_messages_are_all_refused_is_incomplete_and_says_what_was_refused(app: App):
    pair = app.pair()
    app.bury(pair, messages(10))
    # A FIFO queue can't be named for a standard one, so the destination refuses by size.
    small = app.queue("small", MaximumMessageSize="1024")
    app.send(pair.dlq, [{"MessageBody": "x" * 2000}] * 3)
    run = app.redrive(pair.dlq, destination=small.name)
    report = run.report
    assert run.execution["status"] == "SUCCEEDED"
    assert (report["status"], report["counts"]["redriven"], report["counts"]["remaining"]) == ("INCOMPLETE", 10, 3)
    assert report["reason"].startswith(f"3 messages are left in {pair.dlq.name}: 3 ")
    counts = report["counts"]
    assert counts["seen"] == 13 == counts["redriven"] + counts["skipped"] + counts["failed"]


def test_a_selection_that_matches_none_of_the_messages_is_incomplete(app: App):
    pair = app.pair()
    app.bury(pair, messages(37))
    report = app.redrive(pair.dlq, select={"source": ["another-queue"]}).report
    assert report["status"] == "INCOMPLETE"
    assert "select matched none of 37 messages" in report["reason"]
    assert (report["counts"]["seen"], report["counts"]["remaining"]) == (37, 37)


def test_a_run_that_reached_its_maximum_says_how_many_are_left(app: App):
    pair = app.pair()
    app.bury(pair, messages(30))
    report = app.redrive(pair.dlq, maxMessages=20).report
    assert report["status"] == "SUCCEEDED"
    assert "maxMessages (20), and about 10 messages are left" in report["reason"]


def test_a_dry_run_forecasts_that_forty_invalid_messages_are_quarantined(app: App):
    pair = app.store_events
    app.send(pair.dlq, messages(40))
    report = app.redrive(pair.dlq, dryRun=True, fullScan=True).report
    assert (report["status"], report["counts"]["quarantined"]) == ("DRY_RUN", 0)
    assert report["forecast"]["quarantined"] == {"expected": 40, "low": 40, "high": 40}
    assert report["forecast"]["redriven"]["high"] == 0
    assert len(app.take(pair.dlq)) == 40


def test_what_dry_runs_push_on_to_the_next_queue_is_counted(app: App):
    parking = app.queue("parking")
    policy = json.dumps({"deadLetterTargetArn": parking.arn, "maxReceiveCount": 1})
    pair = app.pair(dlq=app.queue("nested", RedrivePolicy=policy))
    app.send(pair.dlq, messages(8))
    refused = app.redrive(pair.dlq, dryRun=True)
    assert refused.report["status"] == "REJECTED"
    assert app.depth(pair.dlq) == 8
    runs = [app.redrive(pair.dlq, dryRun=True, allowNestedDlq=True).report for _ in range(2)]
    assert [report["status"] for report in runs] == ["DRY_RUN", "DRY_RUN"]
    assert sum(report["pushedOn"] for report in runs) == app.depth(parking) > 0
    assert any(f"pushed on to {parking.name}" in (report["reason"] or "") for report in runs)
    assert runs[-1]["counts"]["remaining"] == app.depth(pair.dlq) == 8 - app.depth(parking)
