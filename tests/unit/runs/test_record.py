"""The record of a run: complete, consistent with its report, and small whatever the input is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import RunIdentity
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.rate_over_time import RatePoint
from redrive.domain.runs.record import RunRecord, final_record, running_record
from redrive.domain.runs.report import Report, make_report
from redrive.domain.runs.tally import Tally, first_tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories

GIVEN = {"dlq": "orders-dlq", "rate": 50, "because": "INC-42", "startedBy": "ann"}
PLAN = factories.plan(because="INC-42", started_by="ann")
NOW = PLAN.started + timedelta(minutes=2)
# DynamoDB developer guide, "Quotas and limits": 400 KB with the names of attributes, which are far below 1 KB.
ITEM = 400 * 1024 - 1024
LONG = st.sampled_from(["x", "é", "🦊", "\ud800", "\x00", '"']).flatmap(
    lambda sign: st.integers(0, 60_000).map(lambda length: sign * length)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | LONG,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([field.alias for field in RedriveRequest.model_fields.values()]) | LONG, inner
        )
    ),
    max_leaves=6,
)


def report(given_input: Any, tally: Tally | None = None, *, plan: Any = PLAN, **changes: Any) -> Report:
    rejected = StateError(Error="RejectedError", Cause=json.dumps({"errorMessage": "No."}))
    values: dict[str, Any] = {
        "given": given_input,
        "execution": factories.execution(),
        "plan": plan,
        "sample": None,
        "tally": tally,
        "error": None if plan else rejected,
        "queue": None,
        "in_next_queue": None,
        "now": NOW,
    }
    return make_report(**(values | changes))


def size(record: RunRecord) -> int:
    """Return how many bytes its values take in an item."""
    return len(record.model_dump_json(exclude={"input"})) + len(json.dumps(record.input))


def test_a_run_that_begins_says_what_was_asked_by_whom_and_why():
    record = running_record(PLAN, first_tally(PLAN), given=GIVEN, now=NOW)
    assert (record.run_id, record.dlq, record.status, record.report) == ("run-1", "orders-dlq", None, None)
    assert (record.because, record.started_by, record.input) == ("INC-42", "ann", GIVEN)
    assert record.plan is not None
    assert record.plan["request"]["sampleSize"] == 10
    assert (record.lanes, record.counts.remaining, record.cut) == (1, PLAN.waiting, ())


def test_a_run_that_ended_has_its_whole_report_with_the_same_counts():
    tally = factories.tally(redriven=90, quarantined=7, skip_reasons={"not-selected": 3}, rounds=2)
    made = report(GIVEN, tally)
    record = final_record(made, PLAN, tally, given=GIVEN)
    assert record.report == made.model_dump(mode="json")
    assert (record.status, record.counts) == (made.status, made.counts)
    assert record.counts.seen == record.counts.redriven + record.counts.quarantined + record.counts.skipped == 100
    assert Report.model_validate(record.report) == made


def test_a_continued_run_has_the_input_that_it_began_with_and_not_that_of_its_last_execution():
    continuation = {"continuation": {"run": "run-1"}}
    record = final_record(report(continuation), PLAN, Tally(), given=continuation)
    assert record.input == {"dlq": "orders-dlq", "because": "INC-42", "startedBy": "ann"}


def test_a_rejected_run_has_a_record_with_the_input_that_was_refused():
    arn = "arn:aws:sqs:us-east-1:123456789012:orders-dlq"
    refused = {"dlq": arn, "rate": 0, "because": "x" * 600, "startedBy": 7}
    record = final_record(report(refused, plan=None), None, None, given=refused)
    assert (record.status, record.dlq, record.plan) == ("REJECTED", "orders-dlq", None)
    assert (record.because, record.started_by, record.input) == ("x" * 500, None, refused)
    assert record.report is not None
    assert record.report["reason"] == "No."


def test_a_run_that_another_version_began_has_a_record_without_a_plan():
    identity = RunIdentity.model_validate(PLAN.model_dump())
    record = final_record(report(GIVEN), identity, Tally(), given=GIVEN)
    assert (record.run_id, record.dlq, record.plan) == ("run-1", "orders-dlq", None)


def test_what_an_interrupted_round_moved_is_the_last_point():
    before = (RatePoint(seconds=5), RatePoint(seconds=65, rate=1.0, redriven=60))
    tally = factories.tally(redriven=90).model_copy(update={"rate_over_time": before})
    record = final_record(report(GIVEN, tally), PLAN, tally, given=GIVEN)
    assert record.rate_over_time == (*before, RatePoint(seconds=120.0, rate=0.55, redriven=90))
    again = tally.model_copy(update={"rate_over_time": record.rate_over_time})
    assert final_record(report(GIVEN, again), PLAN, again, given=GIVEN).rate_over_time == record.rate_over_time


@given(JSON, st.booleans())
def test_whatever_the_input_the_record_fits_an_item_and_says_what_it_lacks(given_input, planned):
    plan = PLAN if planned else None
    record = final_record(report(given_input, plan=plan), plan, None, given=given_input)
    assert size(record) < ITEM
    if not record.cut and not planned:
        assert record.input == given_input
    if isinstance(record.input, dict) and not planned:
        assert record.input.items() <= given_input.items()
        lost = given_input.keys() - record.input.keys()
        assert bool(lost) == bool(record.cut)
    assert all(len(name) < 40 for name in record.cut)


def test_a_plan_and_a_sample_that_are_too_large_are_left_out():
    sources = tuple(factories.queue(f"{'q' * 70}-{number}") for number in range(400))
    plan = factories.plan(sources=sources)
    sample = Sample(explanations=tuple("e" * 1000 for _ in range(250)))
    made = report(GIVEN, Tally(), plan=plan, sample=sample)
    record = final_record(made, plan, Tally(), given=GIVEN)
    assert record.cut == ("plan", "report.sample")
    assert record.plan is None
    assert record.report is not None
    assert record.report["reason"] == made.reason
    assert size(record) < ITEM


def test_a_record_whose_parts_are_all_as_large_as_they_may_be_fits_an_item():
    given_input = GIVEN | {"repair": {"project": "x" * 250_000}}
    plan = factories.plan(sources=tuple(factories.queue(f"{'q' * 70}-{number}") for number in range(150)))
    made = report(GIVEN, Tally(), plan=plan, sample=Sample(explanations=tuple("e" * 1000 for _ in range(180))))
    record = final_record(made, plan, Tally(), given=given_input)
    assert record.cut == ("input.repair",)
    assert record.input == GIVEN
    assert record.plan is not None
    assert record.report is not None
    assert size(record) < ITEM


def test_the_time_of_a_record_is_in_utc():
    record = running_record(PLAN, Tally(), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert record.started_at.utcoffset() == timedelta(0)
