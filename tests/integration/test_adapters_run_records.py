"""Records of runs: one item each, found by queue, by day, and by run, and never overwritten by an earlier step."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from redrive.adapters.run_records import BY_DAY, RunRecords
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.record import RunRecord, final_record, running_record
from redrive.domain.runs.report import make_report
from redrive.domain.runs.tally import Tally
from tests.support import factories
from tests.support.moto_cloud import moto_cloud

DAY = datetime(2026, 11, 29, 23, 30, tzinfo=UTC)


@pytest.fixture
def records() -> Iterator[RunRecords]:
    with moto_cloud() as cloud:
        yield RunRecords(cloud.run_table(), days=30)


def plan(run_id: str, *, at: datetime = DAY, dlq: str = "orders-dlq") -> RunPlan:
    return factories.plan(run_id=run_id, started_at=int(at.timestamp() * 1000), dlq=factories.queue(dlq), because="INC")


def running(run: RunPlan, tally: Tally | None = None, given: Any = None) -> RunRecord:
    return running_record(run, tally or Tally(), given=given or {"dlq": run.dlq.name}, now=run.started)


def ended(run: RunPlan, given: Any = None) -> RunRecord:
    report = make_report(
        given=given,
        execution=factories.execution(run.run_id),
        plan=run,
        sample=None,
        tally=Tally(),
        error=None,
        queue=None,
        in_next_queue=None,
        now=run.started + timedelta(minutes=1),
    )
    return final_record(report, run, Tally(), given=given)


def items(records: RunRecords) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = records._client.scan(TableName="redrive-runs")["Items"]
    return found


def test_a_record_comes_back_as_it_was(records):
    for record in (running(plan("run-1")), ended(plan("run-1"), {"dlq": "orders-dlq", "because": "INC"})):
        records.keep(record)
        found = records.find("run-1")
        assert found == record.model_copy(update={"input": {"dlq": "orders-dlq"}})
        assert records.of_queue("orders-dlq", 5) == records.of_day(date(2026, 11, 29), 5) == [found]


def test_runs_of_a_queue_and_of_a_day_come_newest_first_each_with_one_query(records):
    for number in range(5):
        records.keep(running(plan(f"run-{number}", at=DAY + timedelta(minutes=10 * number))))
        records.keep(running(plan(f"other-{number}", at=DAY + timedelta(minutes=10 * number, seconds=1), dlq="b-dlq")))
    assert [one.run_id for one in records.of_queue("orders-dlq", 3)] == ["run-4", "run-3", "run-2"]
    # In UTC, whatever the zone of the process.
    names = [one.run_id for one in records.of_day(date(2026, 11, 29), 10)]
    assert names == ["other-2", "run-2", "other-1", "run-1", "other-0", "run-0"]
    assert len(records.of_day(date(2026, 11, 30), 10)) == 4
    assert records.of_queue("c-dlq", 3) == records.of_day(date(2026, 11, 28), 3) == []


def test_the_index_has_records_and_nothing_else(records):
    records.keep(running(plan("run-1")))
    found = records._client.scan(TableName="redrive-runs", IndexName=BY_DAY)["Items"]
    assert [item["pk"]["S"] for item in found] == ["runs#orders-dlq"]
    assert len(items(records)) == 3


def test_a_late_attempt_at_an_earlier_step_changes_nothing(records):
    run = plan("run-1")
    first, second = running(run), running(run, Tally(rounds=3, counts=factories.totals(redriven=9)["counts"]))
    records.keep(second)
    records.keep(first)
    assert records.find("run-1").counts.redriven == 9
    records.keep(ended(run))
    for late in (first, second):
        records.keep(late)
        assert records.find("run-1").status == "SUCCEEDED"


def test_a_step_that_is_repeated_writes_the_same_record(records):
    for record in (running(plan("run-1")), ended(plan("run-1"))):
        records.keep(record)
        before = items(records)
        records.keep(record)
        assert [without_times(item) for item in items(records)] == [without_times(item) for item in before]


def without_times(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "expiresAt"}


def test_the_input_of_the_first_execution_stays_when_a_run_continues(records):
    run = plan("run-1")
    records.keep(running(run, given={"dlq": "orders-dlq", "rate": 50.0, "because": "INC"}))
    records.keep(ended(run, {"continuation": {"run": "run-1"}}))
    assert records.find("run-1").input == {"dlq": "orders-dlq", "rate": 50.0, "because": "INC"}


def test_a_run_whose_first_record_was_not_kept_has_a_whole_one_at_its_end(records):
    records.keep(ended(plan("run-1"), {"continuation": {"run": "run-1"}}))
    found = records.find("run-1")
    assert (found.input, found.because, found.status) == ({"dlq": "orders-dlq", "because": "INC"}, "INC", "SUCCEEDED")
    assert found.plan["rate"] == 50


def test_two_runs_of_the_same_name_are_both_kept_and_the_later_one_is_found(records):
    # Step Functions accepts a name again 90 days after its execution ended.
    records.keep(ended(plan("nightly")))
    records.keep(running(plan("nightly", at=DAY + timedelta(days=91))))
    assert len(records.of_queue("orders-dlq", 5)) == 2
    assert records.find("nightly").status is None


def test_a_run_that_names_no_queue_has_a_record_all_the_same(records):
    rejected = ended(plan("run-1")).model_copy(update={"dlq": None, "input": {"dlq": "\ud800"}})
    records.keep(rejected)
    assert records.find("run-1") == rejected
    assert records.of_day(date(2026, 11, 29), 1) == [rejected]


def test_records_expire_after_so_many_days(records):
    records.keep(running(plan("run-1")))
    for item in items(records):
        assert int(item["expiresAt"]["N"]) - time.time() == pytest.approx(30 * 24 * 3600, abs=60)


def test_what_a_later_version_writes_is_shown_as_far_as_it_can_be_read(records):
    records.keep(ended(plan("run-1")))
    changes = {
        "format": {"N": "99"},
        "counts": {"S": '{"redriven": 3, "levitated": 1}'},
        "status": {"S": "LEVITATED"},
        "lanes": {"S": '"many"'},
        "aura": {"S": "violet"},
    }
    (item,) = (item for item in items(records) if "day" in item)
    records._client.put_item(TableName="redrive-runs", Item=item | changes)
    found = records.find("run-1")
    assert (found.status, found.counts.redriven, found.lanes, found.because) == ("LEVITATED", 3, 0, "INC")
    records._client.put_item(TableName="redrive-runs", Item={name: item[name] for name in ("pk", "sk", "day")})
    (left,) = records.of_queue("orders-dlq", 5)
    assert (left.run_id, left.started_at) == ("run-1", DAY)
