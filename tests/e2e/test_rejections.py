"""What is refused before anything moves, and how it is reported."""

import json

import pytest

from tests.support.app import App
from tests.support.eventually import eventually


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"dlq": "team-no-such-queue"}, "there is no queue team-no-such-queue"),
        ({"dlq": "team-no-such-queue", "rate": 0}, "rate: expected a number from 0.1 to 10000, found 0"),
        ({"dlq": "team-no-such-queue", "rate": -5}, "rate: expected a number from 0.1 to 10000, found -5"),
        (
            {"dlq": "team-no-such-queue", "rate": "fast"},
            "rate: expected a number from 0.1 to 10000, found a string",
        ),
        ({"dlq": "team-no-such-queue", "dry_run": True}, "dry_run: unknown key; did you mean dryRun?"),
        (
            {"dlq": "team-no-such-queue", "select": {"errorType": "Timeout*"}},
            'select.errorType: expected a list of patterns such as ["Timeout*"], found a string',
        ),
        (
            {"dlq": "team-no-such-queue", "speed": 5},
            "speed: unknown key (expected one of dlq, destination",
        ),
        ({}, "dlq: expected the name, ARN, or URL of a queue, found nothing"),
        *(
            (given, "The input is invalid. the input: expected a JSON object")
            for given in (["a list"], [], "x", 5, None)
        ),
        (
            {"continuation": {"plan": {}, "sample": {}, "tally": {"lanes": []}}},
            "continuation: expected a run that continues in this execution, found none",
        ),
        ({"continuation": {"run": "night-shift"}}, "continuation: expected a run that continues in this execution"),
        ({"continuation": None}, "continuation: expected a run that continues in this execution"),
    ],
)
def test_an_invalid_input_is_refused_with_what_is_wrong(app: App, given, reason):
    run = app.ended(app.start(given))
    assert run.execution["status"] == "FAILED"
    assert run.execution["error"] == "Redrive.Rejected"
    assert run.report["status"] == "REJECTED"
    assert reason in run.report["reason"]


def test_a_refusal_is_reported_to_sns_too(app: App):
    reports = app.subscribed()
    run = app.ended(app.start({"dlq": "team-nowhere"}))
    bodies = [json.loads(json.loads(message["Body"])["Message"]) for message in app.take(reports)]
    assert run.report in bodies


def test_a_queue_that_is_no_dead_letter_queue_needs_a_destination(app: App):
    queue, destination = app.queue(), app.queue()
    app.send(queue, [{"MessageBody": "x"}])
    refused = app.redrive(queue)
    assert "is not the dead-letter queue of any queue" in refused.report["reason"]
    assert app.visible(queue) == 1
    assert app.redrive(queue, destination=destination.name).report["counts"]["redriven"] == 1


def test_fifo_messages_do_not_go_to_a_standard_queue(app: App):
    pair, standard = app.pair(fifo=True), app.queue()
    run = app.redrive(pair.dlq, destination=standard.name)
    assert run.report["status"] == "REJECTED"
    assert "is a FIFO queue, but the destination" in run.report["reason"]


def test_a_dead_letter_queue_with_a_redrive_policy_of_its_own_is_refused_unless_allowed(app: App):
    last = app.queue("last")
    policy = json.dumps({"deadLetterTargetArn": last.arn, "maxReceiveCount": 5})
    pair = app.pair(dlq=app.queue("middle", RedrivePolicy=policy))
    app.bury(pair, [{"MessageBody": "x"}])
    assert "allowNestedDlq" in app.redrive(pair.dlq).report["reason"]
    assert app.redrive(pair.dlq, allowNestedDlq=True).report["counts"]["redriven"] == 1


def test_a_source_queue_is_refused_with_the_name_of_its_dead_letter_queue(app: App):
    pair = app.pair()
    app.send(pair.source, [{"MessageBody": "x"}])
    reason = app.redrive(pair.source).report["reason"]
    assert f"{pair.source.name} is a source queue; its dead-letter queue is {pair.dlq.name}" in reason
    assert "allowNestedDlq" not in reason
    assert app.visible(pair.source) == 1


@pytest.mark.parametrize("host", ["sqs.eu-west-1.api.aws", "sqs-fips.eu-west-1.amazonaws.com", "example.com"])
def test_a_queue_url_of_another_place_moves_nothing(app: App, host):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "x"}])
    account = pair.dlq.arn.split(":")[4]
    run = app.ended(app.start({"dlq": f"https://{host}/{account}/{pair.dlq.name}"}))
    assert run.report["status"] == "REJECTED"
    assert app.visible(pair.dlq) == 1


def test_the_url_that_the_emulator_gives_a_queue_is_read(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "x"}])
    run = app.ended(app.start({"dlq": pair.dlq.url}))
    assert run.report["counts"]["redriven"] == 1


def test_a_second_run_on_the_same_queue_is_refused_and_names_the_first_which_can_be_stopped(app: App):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": str(number)} for number in range(80)])
    first = app.start({"dlq": pair.dlq.name, "rate": 2})

    def moving() -> bool:
        return app.depth(pair.source) > 0

    eventually(moving)
    second = app.redrive(pair.dlq)
    assert second.report["status"] == "REJECTED"
    assert first in second.report["reason"]
    assert app.invoke("StopFunction", {"dlq": pair.dlq.name})["runId"] == first.rsplit(":", 1)[1]
    stopped = app.ended(first)
    assert stopped.execution["status"] == "SUCCEEDED"
    assert stopped.report["status"] == "STOPPED"
    redriven = stopped.report["counts"]["redriven"]
    assert 0 < redriven < 80
    assert app.depth(pair.source) == redriven
    assert app.visible(pair.dlq) == 80 - redriven
    third = app.redrive(pair.dlq, rate=500)
    assert third.report["counts"]["redriven"] == 80 - redriven


def test_a_stop_where_nothing_runs_says_so(app: App):
    pair = app.pair()
    answer = app.invoke("StopFunction", {"dlq": pair.dlq.name})
    assert answer["errorType"] == "RejectedError"
    assert answer["errorMessage"].startswith(
        f"No run is moving messages of {pair.dlq.name}, so there is nothing to stop."
    )
    assert "stackTrace" not in answer


def test_a_stop_with_a_wrong_key_says_which_key_there_is(app: App):
    answer = app.invoke("StopFunction", {"queue": "orders-dlq"})
    assert "queue: unknown key (expected one of dlq)" in answer["errorMessage"]
    assert "stackTrace" not in answer
