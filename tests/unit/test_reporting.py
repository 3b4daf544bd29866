"""Reports: how a run ended, what an operator is told, and a message that SNS takes in any case."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.reporting import Failure, make_report, notification_of, reason_of, status_of
from redrive.domain.runs import Sample, Status, Tally
from tests.support import factories

NOW = datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC) + timedelta(minutes=5)


def failed(error: str, text: str = "secret") -> Failure:
    cause = json.dumps({"errorMessage": text, "errorType": error, "stackTrace": [f"raise {error}({text!r})"]})
    return Failure.model_validate({"Error": error, "Cause": cause})


def report(**told):
    known = {
        "given": {"dlq": "orders-dlq"},
        "execution": factories.execution(),
        "plan": factories.plan(),
        "sample": Sample(sampled=10),
        "tally": Tally(),
        "failure": None,
        "in_queue": 0,
        "now": NOW,
    }
    return make_report(**(known | told))


# How it ended


@pytest.mark.parametrize(
    ("plan", "tally", "failure", "status"),
    [
        (factories.plan(), Tally(redriven=3, drained=True), None, Status.SUCCEEDED),
        (factories.plan(), Tally(stopped=True), None, Status.STOPPED),
        (factories.plan(dry_run=True), Tally(), None, Status.DRY_RUN),
        (factories.plan(), Tally(failure="orders is gone"), None, Status.FAILED),
        (factories.plan(), Tally(failure="orders is gone", stopped=True), None, Status.FAILED),
        (None, None, failed("RejectedError"), Status.REJECTED),
        (factories.plan(), Tally(), failed("RejectedError"), Status.REJECTED),
        (factories.plan(dry_run=True), Tally(), failed("ClientError"), Status.FAILED),
        (factories.plan(), Tally(stopped=True), failed("LockLostError"), Status.FAILED),
        (factories.plan(), Tally(), failed("States.Timeout"), Status.FAILED),
    ],
)
def test_the_status_tells_how_the_run_ended(plan, tally, failure, status):
    assert status_of(plan, tally, failure) is status


# What an operator is told


@pytest.mark.parametrize("error", ["RejectedError", "LockLostError"])
def test_the_text_of_this_apps_own_errors_is_told(error):
    assert reason_of(failed(error, "name another queue")) == "name another queue"


@pytest.mark.parametrize(
    "error",
    ["ValidationError", "ClientError", "States.TaskFailed", "Lambda.Unknown", "annotations", "__doc__"],
)
def test_of_a_foreign_error_only_the_name_is_told_since_its_text_may_quote_a_message(error):
    told = reason_of(failed(error))
    assert told.startswith(f"{error}: see the logs")
    assert "secret" not in told


@pytest.mark.parametrize("cause", ["", "no json", "[]", "7", '{"other": 1}'])
def test_an_own_error_whose_text_cannot_be_read_is_told_by_name(cause):
    assert reason_of(Failure.model_validate({"Error": "RejectedError", "Cause": cause})) == "RejectedError"


def test_a_foreign_error_leaves_no_trace_in_the_report_or_its_message():
    made = report(failure=failed("ClientError"))
    assert "secret" not in made.model_dump_json() + notification_of(made).model_dump_json()


def test_why_a_lane_could_not_go_on_is_the_runs_reason():
    assert report(tally=Tally(failure="orders is gone")).reason == "orders is gone"


def test_what_ended_the_workflow_goes_before_what_ended_a_lane():
    made = report(
        tally=Tally(failure="orders is gone"), failure=failed("LockLostError", "another run has it")
    )
    assert made.reason == "another run has it"


# What it counts


def test_the_report_adds_up_what_the_lanes_did():
    tally = Tally(
        redriven=90,
        repaired=60,
        quarantined=4,
        failed=2,
        skipped={"came-back": 3, "arrived-after-start": 1},
        quarantine_reasons={"missing-attribute": 4},
        failure_codes={"InternalError": 2},
        duplicates_possible=1,
        seconds=30,
        drained=True,
    )
    made = report(tally=tally, in_queue=50)
    assert made.counts.model_dump() == {
        "sampled": 10,
        "redriven": 90,
        "repaired": 60,
        "quarantined": 4,
        "skipped": 4,
        "bounced": 3,
        "failed": 2,
        "remaining": 6,
    }
    assert (made.quarantine_reasons, made.failure_codes) == ({"missing-attribute": 4}, {"InternalError": 2})
    assert made.skip_reasons == {"came-back": 3, "arrived-after-start": 1}
    assert (made.rate.asked, made.rate.measured, made.duplicates_possible) == (50, 3.0, 1)


def test_the_report_tells_what_was_asked_for_and_what_the_receiving_queues_allowed():
    made = report(plan=factories.plan(rate=40, asked_rate=500, ceiling=40))
    assert (made.rate.asked, made.rate.ceiling) == (500, 40)
    text = json.loads(notification_of(made).message)["email"]
    assert "(asked: 500.0, ceiling: 40.0)" in text


@pytest.mark.parametrize(
    ("tally", "in_queue", "remaining"),
    [
        (Tally(drained=True), 40, 0),  # SQS's count lags behind what the lanes saw
        (Tally(drained=True, failed=2, skipped={"came-back": 1}), 0, 3),
        (Tally(stopped=True), 40, 40),
        (Tally(stopped=True, failed=2), 0, 2),
        (Tally(failed=2), None, 2),
    ],
)
def test_remaining_is_what_the_lanes_know_or_else_what_sqs_counts(tally, in_queue, remaining):
    assert report(tally=tally, in_queue=in_queue).counts.remaining == remaining


def test_a_run_that_never_moved_has_no_measured_rate():
    assert report().rate.measured is None


def test_a_dry_run_tells_what_is_in_the_queue():
    made = report(plan=factories.plan(dry_run=True), in_queue=230_000)
    assert (made.counts.sampled, made.counts.remaining) == (10, 230_000)


def test_a_run_that_was_refused_is_reported_by_what_was_asked_for():
    made = report(given={"dlq": "nowhere", "destination": "orders"}, plan=None, sample=None, tally=None)
    assert (made.run_id, made.dlq, made.destination) == ("run-1", "nowhere", "orders")
    assert made.started_at == factories.execution().started_at


@pytest.mark.parametrize(
    "given", [None, 5, "orders-dlq", [], {}, {"dlq": 5}, {"dlq": {"a": 1}, "destination": []}]
)
def test_an_input_of_any_form_can_be_reported(given):
    made = report(given=given, plan=None, sample=None, tally=None, failure=failed("RejectedError", "no"))
    assert (made.status, made.dlq, made.destination) == (Status.REJECTED, None, None)


@pytest.mark.parametrize(
    ("plan", "destination"),
    [
        (factories.plan(destination=factories.queue("attic")), "attic"),
        (factories.plan(sources=(factories.queue("b"), factories.queue("a"))), "a, b"),
        (factories.plan(sources=()), None),
    ],
)
def test_the_destination_is_the_runs_or_else_the_queues_that_letters_came_from(plan, destination):
    assert report(plan=plan).destination == destination


# The message


def test_programs_read_the_report_and_mail_programs_a_text():
    made = report(tally=Tally(redriven=90, quarantined=4, quarantine_reasons={"missing-attribute": 4}))
    message = json.loads(notification_of(made).message)
    assert json.loads(message["default"]) == made.model_dump(mode="json")
    assert "redriven     90" in message["email"]
    assert "  missing-attribute        4" in message["email"]


def test_keys_are_in_camel_case_and_times_in_iso_8601():
    told = json.loads(json.loads(notification_of(report()).message)["default"])
    assert {"runId", "startedAt", "finishedAt", "quarantineReasons", "duplicatesPossible"} <= told.keys()
    assert datetime.fromisoformat(told["finishedAt"]) == NOW


@pytest.mark.parametrize(
    ("made", "subject"),
    [
        (
            report(tally=Tally(redriven=90, quarantined=4, drained=True)),
            "Redrive SUCCEEDED: orders-dlq, 90 redriven, 4 quarantined, 0 left",
        ),
        (
            report(plan=factories.plan(dry_run=True), in_queue=40),
            "Redrive DRY_RUN: orders-dlq, 10 sampled, 40 in the queue",
        ),
        (report(failure=failed("RejectedError")), "Redrive REJECTED: orders-dlq, nothing was moved"),
        (report(plan=None, given=5), "Redrive SUCCEEDED: no queue, 0 redriven, 0 quarantined, 0 left"),
    ],
)
def test_the_subject_tells_the_outcome_at_a_glance(made, subject):
    assert notification_of(made).subject == subject


def test_subscribers_can_filter_by_status_and_queue():
    attributes = notification_of(report()).message_attributes
    assert attributes == {"status": factories.string("SUCCEEDED"), "dlq": factories.string("orders-dlq")}


@given(st.text())
@example("orders\nBcc: somebody@example.com")
@example("bestellungen-süd-\U0001f4ee")
@example("q" * 300)
@settings(deadline=None)
def test_sns_takes_the_subject_and_attributes_whatever_the_queue_is_called(name):
    notification = notification_of(report(given={"dlq": name}, plan=None))
    for text in (notification.subject, notification.message_attributes["dlq"]["StringValue"]):
        assert 1 <= len(text) <= 100
        assert text.isascii()
        assert text.isprintable()


def test_sns_takes_the_message_however_long_the_reason_is():
    made = report(given={"dlq": "q" * 200_000}, failure=failed("RejectedError", "x" * 200_000), plan=None)
    # SNS developer guide, "Message size": 256 KiB with the attributes.
    assert len(notification_of(made).message.encode()) < 250 * 1024


def test_letters_that_may_be_doubled_are_told_in_the_mail():
    mail = json.loads(notification_of(report(tally=Tally(duplicates_possible=7))).message)["email"]
    assert "Possibly delivered twice: 7" in mail


def test_the_reason_is_told_in_the_mail():
    mail = json.loads(notification_of(report(failure=failed("RejectedError", "name a queue"))).message)[
        "email"
    ]
    assert "Reason: name a queue" in mail
