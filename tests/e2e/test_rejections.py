"""What is refused before anything moves, and how it is reported. tests/e2e/test_verify.py has more."""

import json

import pytest

from tests.support.app import App


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"dlq": "team-no-such-queue", "rate": -5}, "rate: expected a number from 0.1 to 10000, found -5"),
        (
            {"dlq": "team-no-such-queue", "rate": "fast"},
            "rate: expected a number from 0.1 to 10000, found a string",
        ),
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


def test_a_dead_letter_queue_with_a_redrive_policy_of_its_own_is_refused_unless_allowed(app: App):
    last = app.queue("last")
    policy = json.dumps({"deadLetterTargetArn": last.arn, "maxReceiveCount": 5})
    pair = app.pair(dlq=app.queue("middle", RedrivePolicy=policy))
    app.bury(pair, [{"MessageBody": "x"}])
    assert "allowNestedDlq" in app.redrive(pair.dlq).report["reason"]
    assert app.redrive(pair.dlq, allowNestedDlq=True).report["counts"]["redriven"] == 1


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
