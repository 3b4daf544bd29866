"""The SNS message of a report: JSON for programs, text for mail, and a form that SNS accepts whatever the run."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.moving.results import Counts
from redrive.domain.runs.notification import notification_of
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample, SampleGroup, Sizes
from tests.support import factories
from tests.support.reports import report, state_error


def mail_of(made: Report) -> str:
    return json.loads(notification_of(made).message)["email"]


def test_programs_read_the_report_and_people_read_a_text():
    tally = Tally(counts=Counts(redriven=90, quarantined=4), quarantine_reasons={"missing-attribute": 4})
    made = report(tally=tally)
    message = json.loads(notification_of(made).message)
    assert json.loads(message["default"]) == made.model_dump(mode="json")
    assert "redriven     90" in message["email"]
    assert "  missing-attribute        4" in message["email"]


@pytest.mark.parametrize(
    ("made", "subject"),
    [
        (
            report(tally=Tally(counts=Counts(redriven=90, quarantined=4), drained=True)),
            "Redrive SUCCEEDED: orders-dlq, 90 redriven, 4 quarantined, 0 ",
        ),
        (
            report(plan=factories.plan(dry_run=True), in_queue=40),
            "Redrive DRY_RUN: orders-dlq, 10 sampled, 40 in the queue",
        ),
        (report(error=state_error("RejectedError")), "Redrive REJECTED: orders-dlq, nothing was moved"),
        (report(plan=None, given=5), "Redrive SUCCEEDED: no queue, 0 redriven, 0 quarantined, 0 "),
    ],
)
def test_the_subject_shows_the_outcome_at_a_glance(made, subject):
    assert notification_of(made).subject.startswith(subject)


def test_subscribers_can_filter_by_status_and_queue():
    attributes = notification_of(report()).message_attributes
    assert attributes == {"status": factories.string("SUCCEEDED"), "dlq": factories.string("orders-dlq")}


@given(st.text())
@example("orders\nBcc: somebody@example.com")
@example("bestellungen-süd-\U0001f4ee")
@example("q" * 300)
@settings(deadline=None)
def test_sns_accepts_the_subject_and_the_attributes_whatever_the_queue_is_called(name):
    notification = notification_of(report(given={"dlq": name}, plan=None))
    for text in (notification.subject, notification.message_attributes["dlq"]["StringValue"]):
        assert 1 <= len(text) <= 100
        assert text.isascii()
        assert text.isprintable()


def test_sns_accepts_the_message_however_long_the_reason_is():
    made = report(given={"dlq": "q" * 200_000}, error=state_error("RejectedError", "x" * 200_000), plan=None)
    # SNS developer guide, "Message size": 256 KiB with the attributes.
    assert len(notification_of(made).message.encode()) < 250 * 1024


# The mail


def test_the_mail_has_the_requested_rate_and_the_one_that_the_receiving_queues_allow():
    mail = mail_of(report(plan=factories.plan(rate=40, max_rate=40, request=factories.request(rate=500))))
    assert "500" in next(line for line in mail.splitlines() if "40" in line)


def test_the_mail_has_the_address_of_the_page_on_a_line_of_its_own():
    page = "https://us-east-1.console.aws.amazon.com/s3/object/pages?prefix=runs/a.html"
    assert page in mail_of(report().model_copy(update={"page": page})).splitlines()
    assert "page" not in mail_of(report())


def test_the_mail_has_the_messages_that_may_have_been_delivered_twice():
    assert "Possibly delivered twice: 7" in mail_of(report(tally=Tally(duplicates_possible=7)))


def test_the_mail_has_the_messages_without_a_contract():
    assert "no contract is set: 7" in mail_of(report(tally=Tally(without_contract=7)))


def test_the_mail_has_the_reason():
    assert "Reason: name a queue" in mail_of(report(error=state_error("RejectedError", "name a queue")))


def sampled(**changes) -> str:
    group = SampleGroup(
        verdict="quarantined",
        reason="invalid-body",
        destination="orders",
        envelope="sns-notification",
        origin="on-order",
        error_type="KeyError",
        contract=None,
        repaired=True,
        messages=9,
        events=1_200,
        share=0.9,
        share_low=0.6,
        share_high=0.98,
    )
    sizes = Sizes(smallest=1, median=5, p90=8, largest=9)
    values = {"sampled": 10, "groups": (group,), "other_groups": 1, "in_other_groups": 1, "sizes": sizes}
    return mail_of(report(sample=Sample(**values | changes)))


def test_the_mail_has_the_groups_of_a_sample_with_the_bounds_of_their_shares():
    mail = sampled(near_expiry=3)
    assert "A sample of 10 messages:" in mail
    line = next(line for line in mail.splitlines() if "invalid-body" in line)
    assert line.split()[:5] == ["9", "90%", "(60%", "to", "98%)"]
    assert line.endswith(
        "quarantined, invalid-body; envelope sns-notification; from on-order; to orders; failed with KeyError; "
        "repaired; events 1,200; no contract"
    )
    assert "1  in 1 smaller groups" in mail
    assert "Sizes in bytes: 1 to 9, median 5, 90th percentile 8" in mail
    assert "3 of them within a day" in mail


def test_the_mail_of_a_full_scan_has_shares_without_bounds():
    mail = sampled(complete=True)
    assert "All 10 messages:" in mail
    assert "(60%" not in mail


def test_the_mail_of_an_empty_sample_has_no_groups():
    assert "messages:" not in mail_of(report(sample=Sample()))
