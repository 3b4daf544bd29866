"""The report: how a run ended, why, and what it counts."""

from datetime import UTC, datetime

import pytest

from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts
from redrive.domain.runs.ending import StateError, Status, error_text
from redrive.domain.runs.notification import notification_of
from redrive.domain.runs.tally import Tally
from tests.support import factories
from tests.support.reports import NOW, report, state_error

# How it ended


@pytest.mark.parametrize(
    ("plan", "tally", "error", "status"),
    [
        (factories.plan(), Tally(counts=Counts(redriven=3), drained=True), None, Status.SUCCEEDED),
        (factories.plan(), Tally(stopped=True), None, Status.STOPPED),
        (factories.plan(dry_run=True), Tally(), None, Status.DRY_RUN),
        (factories.plan(), Tally(failure="orders is gone"), None, Status.FAILED),
        (factories.plan(), Tally(failure="orders is gone", stopped=True), None, Status.FAILED),
        (None, None, state_error("RejectedError"), Status.REJECTED),
        (factories.plan(), Tally(), state_error("RejectedError"), Status.REJECTED),
        (factories.plan(), Tally(counts=Counts(redriven=1)), state_error("RejectedError"), Status.FAILED),
        (factories.plan(), Tally(unaccounted=1), state_error("RejectedError"), Status.FAILED),
        (factories.plan(dry_run=True), Tally(), state_error("ClientError"), Status.FAILED),
        (factories.plan(), Tally(stopped=True), state_error("LockLostError"), Status.FAILED),
        (factories.plan(), Tally(), state_error("States.Timeout"), Status.FAILED),
    ],
)
def test_the_status_is_how_the_run_ended(plan, tally, error, status):
    assert report(plan=plan, tally=tally, error=error).status is status


# Why


@pytest.mark.parametrize("error", ["RejectedError", "LockLostError"])
def test_the_text_of_this_apps_own_errors_is_the_reason(error):
    assert error_text(state_error(error, "name another queue")) == "name another queue"


@pytest.mark.parametrize(
    "error",
    ["ValidationError", "ClientError", "States.TaskFailed", "Lambda.Unknown", "annotations", "__doc__"],
)
def test_only_the_name_of_a_foreign_error_is_reported_because_its_text_may_quote_a_message(error):
    reason = error_text(state_error(error))
    assert reason.startswith(f"{error}: see the logs")
    assert "secret" not in reason


@pytest.mark.parametrize("cause", ["", "no json", "[]", "7", '{"other": 1}'])
def test_an_own_error_whose_text_cannot_be_read_is_reported_by_name(cause):
    assert error_text(StateError.model_validate({"Error": "RejectedError", "Cause": cause})) == "RejectedError"


def test_nothing_of_a_foreign_error_is_in_the_report_or_its_message():
    made = report(error=state_error("ClientError"))
    assert "secret" not in made.model_dump_json() + notification_of(made).model_dump_json()


def test_why_a_lane_could_not_continue_is_the_reason_of_the_run():
    assert report(tally=Tally(failure="orders is gone")).reason == "orders is gone"


def test_what_ended_the_workflow_takes_precedence_over_what_ended_a_lane():
    made = report(tally=Tally(failure="orders is gone"), error=state_error("LockLostError", "another run has it"))
    assert made.reason == "another run has it"


# What it counts


def test_the_report_has_the_totals_of_the_tally_and_what_was_sampled_and_remains():
    tally = Tally(
        counts=Counts(redriven=90, repaired=60, quarantined=4, skipped=4, bounced=3, failed=2),
        skip_reasons={"came-back": 3, "arrived-after-start": 1},
        quarantine_reasons={"missing-attribute": 4},
        failure_codes={"InternalError": 2},
        without_contract=8,
        duplicates_possible=1,
        seconds=30,
        drained=True,
    )
    made = report(tally=tally, in_queue=50)
    assert made.counts.model_dump() == {
        "sampled": 10,
        "seen": 100,
        "redriven": 90,
        "repaired": 60,
        "quarantined": 4,
        "foreign": 0,
        "skipped": 4,
        "bounced": 3,
        "failed": 2,
        "released": 0,
        "remaining": 6,
    }
    assert (made.quarantine_reasons, made.failure_codes) == ({"missing-attribute": 4}, {"InternalError": 2})
    assert made.skip_reasons == {"came-back": 3, "arrived-after-start": 1}
    assert (made.without_contract, made.duplicates_possible) == (8, 1)
    assert (made.rate.requested, made.rate.measured) == (50, 3.0)


def test_the_report_has_the_requested_rate_and_the_one_that_the_receiving_queues_allow():
    made = report(plan=factories.plan(rate=40, max_rate=40, request=factories.request(rate=500)))
    assert made.model_dump(mode="json")["rate"] == {"asked": 500, "ceiling": 40, "measured": None}


@pytest.mark.parametrize(
    ("tally", "in_queue", "remaining"),
    [
        # SQS's count lags behind what the lanes saw.
        (Tally(drained=True), 40, 0),
        (Tally(drained=True, counts=Counts(failed=2, skipped=1)), 0, 3),
        (Tally(stopped=True), 40, 40),
        (Tally(stopped=True, counts=Counts(failed=2)), 0, 2),
        (Tally(stopped=True, counts=Counts(failed=2, released=3)), 0, 5),
        (Tally(counts=Counts(failed=2)), None, 2),
    ],
)
def test_remaining_is_what_the_lanes_know_or_else_what_sqs_counts(tally, in_queue, remaining):
    queue = None if in_queue is None else QueueCounts(visible=in_queue)
    assert report(tally=tally, queue=queue).counts.remaining == remaining


def test_a_run_that_never_moved_anything_has_no_measured_rate():
    assert report().rate.measured is None


def test_a_dry_run_reports_what_is_in_the_queue():
    made = report(plan=factories.plan(dry_run=True), in_queue=230_000)
    assert (made.counts.sampled, made.counts.remaining) == (10, 230_000)


def test_a_run_that_was_refused_is_reported_by_what_was_requested():
    made = report(given={"dlq": "nowhere", "destination": "orders"}, plan=None, sample=None, tally=None)
    assert (made.run_id, made.dlq, made.destination) == ("run-1", "nowhere", "orders")
    assert made.started_at == factories.execution().started_at


@pytest.mark.parametrize(
    "given",
    [
        None,
        5,
        "orders-dlq",
        [],
        {},
        {"dlq": 5},
        {"dlq": {"a": 1}, "destination": []},
        {"dlq": "ada@example.com", "destination": "x" * 81},
        {"dlq": "https://user:secret@sqs.us-east-1.amazonaws.com/123456789012/orders-dlq"},
    ],
)
def test_an_input_of_any_form_can_be_reported(given):
    made = report(given=given, plan=None, sample=None, tally=None, error=state_error("RejectedError", "no"))
    assert (made.status, made.dlq, made.destination) == (Status.REJECTED, None, None)


@pytest.mark.parametrize(
    ("plan", "destination"),
    [
        (factories.plan(destination=factories.queue("attic")), "attic"),
        (factories.plan(sources=(factories.queue("b"), factories.queue("a"))), "a, b"),
        (factories.plan(sources=()), None),
    ],
)
def test_the_destination_is_the_runs_or_else_the_sources_of_the_queue(plan, destination):
    assert report(plan=plan).destination == destination


def test_keys_are_in_camel_case_and_times_in_iso_8601():
    written = report().model_dump(mode="json")
    assert {"runId", "startedAt", "finishedAt", "quarantineReasons", "duplicatesPossible"} <= written.keys()
    assert datetime.fromisoformat(written["finishedAt"]) == NOW
    assert datetime.fromisoformat(written["startedAt"]) == datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"dlq": "nowhere", "rate": 2.5}, 2.5),
        ({"dlq": "nowhere"}, 50),
        ({"dlq": "nowhere", "rate": "fast"}, None),
        ({"rate": 5}, None),
        ("nowhere", None),
    ],
)
def test_a_run_that_was_refused_while_it_was_planned_has_the_rate_that_was_requested(given, rate):
    assert report(given=given, plan=None, sample=None, tally=None).rate.requested == rate


@pytest.mark.parametrize(("destination", "text"), [("orders", "orders"), (None, "where each message came from")])
def test_the_destination_is_a_text_for_people(destination, text):
    made = report().model_copy(update={"destination": destination})
    assert f"Destination  {text}\n" in notification_of(made).message.replace("\\n", "\n")
