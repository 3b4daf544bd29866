"""`redrive runs` and `redrive report`: how they show records, and what they show without one."""

import json
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from redrive.adapters import stack_runs
from redrive.adapters.account import Account
from redrive.adapters.latest_runs import LatestRuns
from redrive.adapters.run_records import RunRecords
from redrive.adapters.stack import find_stack
from redrive.adapters.stack_runs import StackRuns
from redrive.command.main import run
from redrive.command.output import Output
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.rate_over_time import RatePoint
from redrive.domain.runs.record import RunRecord, final_record, running_record
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from tests.support import factories
from tests.support.moto_stack import MotoStack, denied
from tests.support.reports import report, state_error
from tests.support.shell import words

pytestmark = pytest.mark.usefixtures("operator")

NOW = datetime.now(UTC)
ANN = "arn:aws:sts::123456789012:assumed-role/Operator/ann"
POINTS = (RatePoint(seconds=5), *(RatePoint(seconds=5 + n, rate=float(n), redriven=n) for n in range(1, 9)))


@pytest.fixture
def stack(cloud) -> MotoStack:
    return MotoStack(cloud, RecordDays="60")


@pytest.fixture
def records(stack) -> RunRecords:
    assert stack
    return RunRecords("runs")


def plan(name: str, *, minutes_ago: int = 0, dlq: str = "orders-dlq", because: str | None = "INC-42") -> RunPlan:
    started = NOW - timedelta(minutes=minutes_ago)
    return factories.plan(
        run_id=name,
        execution_arn=f"arn:aws:states:us-east-1:123456789012:execution:redrive:{name}",
        started_at=int(started.timestamp() * 1000),
        dlq=factories.queue(dlq),
        because=because,
        started_by=ANN,
    )


def kept(records: RunRecords, made: RunPlan, **counts: int) -> tuple[RunRecord, Report]:
    """Store the record of a run that has ended; return it with its report."""
    tally = factories.tally(drained=True, seconds=1.0, **counts).model_copy(update={"rate_over_time": POINTS})
    ended = report(plan=made, tally=tally, now=made.started + timedelta(minutes=1))
    record = final_record(ended, made, tally, given={"dlq": made.dlq.name, "because": made.request.because})
    records.keep(record)
    return record, ended


def rejected(records: RunRecords, given: dict[str, Any]) -> RunRecord:
    error = state_error("RejectedError", "dlq: there is no such queue.")
    execution = factories.execution("refused").model_copy(update={"started_at": NOW})
    record = final_record(report(given=given, execution=execution, plan=None, error=error), None, None, given=given)
    records.keep(record)
    return record


def rows(capsys: Any) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


# runs


def test_the_runs_of_a_queue_come_newest_first(records, capsys):
    for number in range(3):
        kept(records, plan(f"run-{number}", minutes_ago=10 - number), redriven=number)
    kept(records, plan("another", dlq="b-dlq"), redriven=7)
    for queue in ("orders-dlq", factories.queue("orders-dlq").arn, factories.queue("orders-dlq").url):
        assert run(["runs", queue]) == 0
        assert [(row[2], row[3], row[4]) for row in rows(capsys)] == [
            ("run-2", "SUCCEEDED", "2"),
            ("run-1", "SUCCEEDED", "1"),
            ("run-0", "SUCCEEDED", "0"),
        ]
    assert run(["runs", "orders-dlq", "--limit", "1"]) == 0
    found = capsys.readouterr()
    assert len(found.out.splitlines()) == 2
    assert "redrive report run-2" in found.err
    assert "There may be more" in found.err


def test_the_runs_of_a_stack_are_those_of_all_queues_and_days(records, capsys):
    kept(records, plan("today"), redriven=1)
    kept(records, plan("yesterday", minutes_ago=24 * 60, dlq="b-dlq"), redriven=1)
    kept(records, plan("last-month", minutes_ago=40 * 24 * 60), redriven=1)
    assert run(["runs"]) == 0
    assert [row[2:4] for row in rows(capsys)] == [
        ["orders-dlq", "today"],
        ["b-dlq", "yesterday"],
        ["orders-dlq", "last-month"],
    ]
    day = f"{NOW - timedelta(days=1):%Y-%m-%d}"
    assert run(["runs", "--day", day]) == 0
    assert [row[3] for row in rows(capsys)] == ["yesterday"]
    assert run(["runs", "orders-dlq", "--day", day]) == 0
    assert f"There is no record of a run on orders-dlq that started on {day} (UTC)." in capsys.readouterr().err


def test_a_run_without_a_report_is_what_step_functions_says(stack, records, capsys):
    for name in ("on", "aborted"):
        stack.begin(name, dlq="orders-dlq")
    stack.end("aborted", None, "ABORTED")
    for name in ("on", "aborted", "gone"):
        made = plan(name)
        records.keep(running_record(made, factories.tally(redriven=4), given={"dlq": "orders-dlq"}, now=NOW))
    assert run(["runs", "orders-dlq"]) == 0
    assert {row[2]: row[3] for row in rows(capsys)} == {"on": "RUNNING", "aborted": "ABORTED", "gone": "UNKNOWN"}
    stack.cloud.answers["stepfunctions.DescribeExecution"] = denied("DescribeExecution")
    assert run(["runs", "orders-dlq"]) == 0
    assert capsys.readouterr().out.count("UNKNOWN") == 3


def test_runs_as_json_say_who_why_when_and_what(records, capsys):
    record, _ = kept(records, plan("run-1"), redriven=5)
    assert run(["runs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    [found] = document["runs"]
    assert (found["run"], found["status"], found["dlq"]) == ("run-1", "SUCCEEDED", "orders-dlq")
    assert (found["because"], found["startedBy"]) == ("INC-42", ANN)
    assert found["counts"]["redriven"] == 5
    assert datetime.fromisoformat(found["startedAt"]) == record.started_at


@pytest.mark.parametrize("arguments", [["--day", "yesterday"], ["--limit", "0"], ["--day", "2026-13-01"]])
def test_a_day_or_a_limit_that_is_none_is_wrong_usage(arguments, capsys):
    assert run(["runs", *arguments]) == 2
    assert "Error: " in capsys.readouterr().err


def test_without_records_it_says_so(records, capsys):
    assert records.of_queue("orders-dlq", 1) == []
    assert run(["runs"]) == 0
    found = capsys.readouterr()
    assert found.out == ""
    assert "There is no record of a run in the stack sqs-redrive from the last 60 days." in found.err


def test_records_that_are_kept_for_years_are_not_all_looked_through_and_it_says_so(cloud, capsys):
    MotoStack(cloud, RecordDays="3650")
    assert run(["runs"]) == 0
    assert "from the last 92 days" in capsys.readouterr().err
    assert run(["runs", "orders-dlq"]) == 0
    assert "from the last 3650 days" in capsys.readouterr().err
    kept(RunRecords("runs"), plan("run-1"), redriven=1)
    assert run(["runs"]) == 0
    assert "Pass a --day or a queue for earlier ones." in capsys.readouterr().err


def test_times_of_runs_have_the_zone_that_was_in_force(records, capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for name, month in (("summer", 7), ("winter", 1)):
            made = plan(name).model_copy(
                update={"started_at": int(datetime(2026, month, 15, 12, tzinfo=UTC).timestamp() * 1000)}
            )
            kept(records, made, redriven=1)
        assert run(["runs", "orders-dlq"]) == 0
        shown = capsys.readouterr().out
        assert "2026-07-15 14:00 CEST" in shown
        assert "2026-01-15 13:00 CET" in shown
        assert run(["runs", "orders-dlq", "--day", "2026-07-15"]) == 0
        assert capsys.readouterr().out.startswith("STARTED (CEST)")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_runs_fit_a_terminal(records, monkeypatch, width):
    kept(records, plan("orders-after-incident-42", because="b" * 500), redriven=229_412)
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    monkeypatch.setattr(Output, "console", console)
    for arguments in (["runs"], ["report", "orders-after-incident-42"]):
        with console.capture() as capture:
            assert run(arguments) == 0
        shown = capture.get()
        assert max(map(len, shown.splitlines())) <= width
        assert ("b" * 10 in shown) == (width >= 100 or arguments[0] == "report")


# queues


def test_queues_show_which_run_is_on_and_the_latest_one(stack, records, capsys):
    for name in ("a", "b", "c", "d"):
        stack.cloud.queue(name, dlq=stack.cloud.queue(f"{name}-dlq"))
    kept(records, plan("before", minutes_ago=600, dlq="a-dlq"), redriven=1)
    kept(records, plan("after", minutes_ago=450, dlq="a-dlq"), redriven=1)
    for name, dlq in (("on", "b-dlq"), ("aborted", "c-dlq")):
        stack.begin(name, dlq=dlq)
        records.keep(running_record(plan(name, dlq=dlq), factories.tally(), now=NOW))
    stack.end("aborted", None, "ABORTED")
    rejected(records, {"dlq": "a-dlq"})
    stack.cloud.calls.clear()
    assert run(["queues", "--no-peek"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "SUCCEEDED, started 7 h ago" in lines["a-dlq"]
    assert lines["b-dlq"].split()[2:4] == ["on", "RUNNING,"]
    assert "not ended, started" in lines["c-dlq"]
    assert "started" not in lines["d-dlq"]
    of_runs = [call for call in stack.cloud.calls if call.startswith(("dynamodb", "states", "cloudformation"))]
    assert sorted(of_runs) == ["cloudformation:DescribeStacks", "dynamodb:Query", "states:ListExecutions"]
    assert run(["queues", "--no-peek", "--json"]) == 0
    found = {queue["name"]: queue for queue in json.loads(capsys.readouterr().out)["queues"]}
    assert [found[f"{name}-dlq"]["runningRun"] for name in "abcd"] == [None, "on", None, None]
    assert (found["a-dlq"]["lastRun"]["run"], found["a-dlq"]["lastRun"]["status"]) == ("after", "SUCCEEDED")
    assert (found["c-dlq"]["lastRun"]["status"], found["d-dlq"]["lastRun"]) == (None, None)


@pytest.mark.parametrize("denies", ["stepfunctions.ListExecutions", "dynamodb.Query", "cloudformation.DescribeStacks"])
def test_queues_are_listed_although_runs_are_denied(stack, records, capsys, denies):
    stack.cloud.queue("orders", dlq=stack.cloud.queue("orders-dlq"))
    records.keep(running_record(plan("run-1"), factories.tally(), now=NOW))
    stack.cloud.answers[denies] = denied(denies.split(".")[1])
    assert run(["queues", "--no-peek"]) == 0
    found = capsys.readouterr()
    assert "orders-dlq" in found.out
    assert ("not ended" in found.out) == (denies == "stepfunctions.ListExecutions")
    assert ("Runs aren't shown: " in found.err) == (denies != "stepfunctions.ListExecutions")


@given(st.permutations(range(3)), st.lists(st.integers(0, 2), max_size=2))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_whatever_order_records_are_written_the_latest_run_is_the_one_that_began_last(records, order, again):
    made = [plan(f"run-{number}", minutes_ago=30 - number) for number in range(3)]
    for number in [*order, *again]:
        records.keep(running_record(made[number], factories.tally(), now=NOW))
        records.keep(
            final_record(report(plan=made[number], tally=factories.tally(drained=True)), made[number], None, given={})
        )
    latest = LatestRuns("runs", boto3.client("dynamodb")).all()["orders-dlq"]
    assert (latest.run_id, latest.status) == ("run-2", "SUCCEEDED")


# report


def test_a_report_says_who_why_what_and_how_fast(records, capsys):
    _, ended = kept(records, plan("run-1"), redriven=8)
    for name in ("run-1", ended.execution_arn):
        assert run(["report", name]) == 0
        shown = capsys.readouterr().out
        assert "Redrive of orders-dlq: SUCCEEDED" in shown
        assert "Because      INC-42" in shown
        assert f"Started by   {ANN} (according to its input)" in shown
        assert 'Input        {"dlq": "orders-dlq", "because": "INC-42"}' in shown
        assert "▁▂▃▄▅▆▇█ up to 8 per second, one bar per 1 s" in shown
        assert ["8", "redriven"] in [line.split() for line in shown.splitlines()]


def test_a_report_as_json_has_the_record_and_the_report_word_for_word(records, capsys):
    record, ended = kept(records, plan("run-1"), redriven=8)
    assert run(["report", "run-1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["report"] == ended.model_dump(mode="json")
    assert RunRecord.from_json_object(document["record"]) == record
    assert document["execution"] is None


def test_a_page_of_a_run_is_written(records, capsys, tmp_path):
    kept(records, plan("run-1"), redriven=8)
    assert run(["report", "run-1", "--html", str(tmp_path / "run.html")]) == 0
    page = (tmp_path / "run.html").read_text()
    assert "INC-42" in page
    assert "<svg" in page
    assert run(["report", "run-1", "--html", str(tmp_path / "run.html")]) == 2
    assert "exists. Pass another name" in capsys.readouterr().err
    assert (tmp_path / "run.html").read_text() == page


def test_a_rejected_run_has_a_report(records, capsys):
    rejected(records, {"dlq": "nowhere", "because": "to try"})
    assert run(["report", "refused"]) == 0
    shown = capsys.readouterr().out
    assert "Redrive of nowhere: REJECTED" in shown
    assert "Because      to try" in shown


def test_a_run_that_is_on_shows_how_far_it_is(stack, records, capsys):
    stack.begin("run-1", dlq="orders-dlq")
    records.keep(running_record(plan("run-1"), factories.tally(redriven=4), now=NOW))
    assert run(["report", "run-1"]) == 0
    found = capsys.readouterr()
    assert "Redrive of orders-dlq: RUNNING" in found.out
    assert "4 redriven" in found.out
    assert "redrive watch run-1" in found.err
    assert run(["report", "run-1", "--html", "x.html"]) == 1
    assert "has no report" in capsys.readouterr().err


def test_a_run_that_was_aborted_says_so_and_what_to_do(stack, records, capsys):
    stack.begin("run-1", dlq="orders-dlq")
    records.keep(running_record(plan("run-1"), factories.tally(redriven=4), now=NOW))
    stack.end("run-1", None, "ABORTED")
    assert run(["report", "run-1"]) == 0
    found = capsys.readouterr()
    assert "ended without a report (ABORTED)" in found.out
    assert "redrive start orders-dlq" in found.err


def test_a_record_without_a_report_gets_that_of_its_execution(stack, records, capsys):
    made = plan("run-1")
    stack.begin("run-1", dlq="orders-dlq")
    records.keep(running_record(made, Tally(), now=NOW))
    stack.end("run-1", report(plan=made, tally=factories.tally(redriven=9, drained=True)))
    assert run(["report", "run-1"]) == 0
    found = capsys.readouterr()
    assert ["9", "redriven"] in [line.split() for line in found.out.splitlines()]
    assert "Because      INC-42" in found.out
    assert "The record of this run has no report" in found.err


def test_without_a_record_the_report_is_that_of_step_functions_and_it_says_so(stack, capsys):
    ended = report(plan=plan("run-1"), tally=factories.tally(redriven=9, drained=True))
    stack.begin("run-1", dlq="orders-dlq")
    stack.end("run-1", ended)
    for name in ("run-1", stack.arn("run-1")):
        assert run(["report", name]) == 0
        found = capsys.readouterr()
        assert ["9", "redriven"] in [line.split() for line in found.out.splitlines()]
        assert "There is no record of this run, perhaps because it is older than 60 days" in found.err
    assert run(["report", "run-1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["record"], document["execution"]) == (None, "SUCCEEDED")
    assert document["report"] == ended.model_dump(mode="json")


def test_the_execution_that_a_run_continued_in_leads_to_the_run(stack, records, capsys):
    stack.begin("run-1-0123456789abcdef", continuation={"run": "run-1"})
    kept(records, plan("run-1"), redriven=3)
    assert run(["report", stack.arn("run-1-0123456789abcdef")]) == 0
    assert "Run          run-1\n" in capsys.readouterr().out


def test_an_execution_without_a_record_or_a_report_is_said(stack, capsys):
    stack.begin("run-1", dlq="orders-dlq")
    assert run(["report", "run-1"]) == 1
    assert "redrive watch run-1" in capsys.readouterr().err
    stack.end("run-1", None, "TIMED_OUT")
    assert run(["report", "run-1"]) == 1
    assert "ended without a report: TIMED_OUT" in capsys.readouterr().err


def test_a_queue_stands_for_its_latest_run(records, capsys):
    for number in range(2):
        kept(records, plan(f"run-{number}", minutes_ago=10 - number), redriven=number)
    for queue in ("orders-dlq", factories.queue("orders-dlq").arn, factories.queue("orders-dlq").url):
        assert run(["report", queue]) == 0
        assert "Run          run-1\n" in capsys.readouterr().out


def test_what_is_misspelled_gets_similar_names(records, capsys):
    kept(records, plan("orders-after-incident-42", dlq="orders-dlq"), redriven=1)
    kept(records, plan("payouts", dlq="billing-dlq"), redriven=1)
    assert run(["report", "order-after-incident-42"]) == 1
    assert "Did you mean orders-after-incident-42? List runs: redrive runs" in capsys.readouterr().err
    assert run(["report", "ordres-dlq"]) == 1
    assert "Did you mean orders-dlq" in capsys.readouterr().err
    assert run(["runs", "biling-dlq"]) == 0
    assert "Did you mean billing-dlq" in capsys.readouterr().err


@pytest.mark.parametrize("denies", ["sqs.ListQueues", "dynamodb.Query"])
def test_names_that_may_not_be_listed_hide_no_answer(stack, records, dlq, capsys, denies):
    kept(records, plan("run-1"), redriven=1)
    stack.cloud.answers[denies] = denied(denies.split(".")[1])
    assert dlq
    assert run(["look", "ordres-dlq"]) == 4
    assert "There is no queue ordres-dlq" in capsys.readouterr().err
    assert StackRuns(Account(), find_stack(Account(), "sqs-redrive")).names() == (
        set() if denies == "dynamodb.Query" else {"run-1", "orders-dlq"}
    )


@pytest.mark.parametrize("continuation", [None, "run-1", {"run": 1}, {"run": "first"}, {"run": "second"}, {"run": "x"}])
def test_an_execution_that_claims_to_continue_a_run_is_only_said(stack, capsys, continuation):
    stack.begin("first", continuation=continuation)
    stack.begin("second", continuation={"run": "first"})
    stack.end("first", None, "FAILED")
    stack.end("second", None, "FAILED")
    for arguments in product(("report", "watch"), ("first", "second")):
        assert run(list(arguments)) == 1
        assert "ended without a report: FAILED" in capsys.readouterr().err


def test_a_run_whose_id_is_a_hash_is_followed_by_its_arn(stack, records, dlq, capsys):
    name = "retry(2)'s"
    stack.begin(name, dlq="orders-dlq")
    made = stack.plan(name, dlq)
    records.keep(running_record(made, factories.tally(redriven=4), now=NOW))
    for what in (name, "orders-dlq"):
        assert run(["report", what]) == 0
        found = capsys.readouterr()
        assert "RUNNING" in found.out
        advice = found.err.strip().removeprefix("Watch it: ")
        assert words(advice) == ["redrive", "watch", stack.arn(name)]
    assert run(["runs", "orders-dlq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["status"] == "RUNNING"


def test_a_run_with_the_name_of_its_queue_is_found_without_a_pointer_to_its_record(records, capsys):
    kept(records, plan("orders-dlq"), redriven=1)
    boto3.client("dynamodb").delete_item(TableName="runs", Key={"pk": {"S": "run#orders-dlq"}, "sk": {"S": "record"}})
    assert run(["report", "orders-dlq"]) == 0
    assert "Run          orders-dlq\n" in capsys.readouterr().out


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            ["startedAt", "updatedAt", "runId", "dlq", "counts", "report", "rateOverTime", "status", "cut"]
        ),
        st.sampled_from([{"S": "nonsense"}, {"S": "[1]"}, {"S": "-1e99"}, {"N": "5"}, {"M": {}}, {"BOOL": True}]),
    )
)
@example({"startedAt": {"S": "nonsense"}})
def test_what_another_version_has_written_is_listed_and_shown_as_far_as_it_is_readable(
    records, dlq, capsys, monkeypatch, written
):
    assert records
    assert dlq
    # Each day is a query.
    monkeypatch.setattr(stack_runs, "DAYS", 3)
    client = boto3.client("dynamodb")
    key = {"pk": {"S": "runs#orders-dlq"}, "sk": {"S": f"{NOW:%Y-%m-%d}T00:00:00.000Z#another"}}
    client.put_item(TableName="runs", Item=key | written | {"day": {"S": f"{NOW:%Y-%m-%d}"}})
    client.put_item(TableName="runs", Item={"pk": {"S": "runs#(latest)"}, "sk": {"S": "orders-dlq"}})
    for arguments in (["runs"], ["runs", "orders-dlq"], ["queues", "--no-peek"]):
        assert run([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
        assert run(arguments) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(
    "name", ["nothing", "a b", "x" * 300, "arn:aws:states:us-east-1:123456789012:execution:redrive:no"]
)
def test_an_unknown_run_is_said_with_how_to_list_runs(name, capsys):
    assert run(["report", name]) == 1
    error = capsys.readouterr().err
    assert "has no run " in error
    assert "redrive runs" in error
    assert len(error.splitlines()) == 1


@pytest.mark.usefixtures("records")
def test_an_execution_of_something_else_is_wrong_usage(capsys):
    assert run(["report", "arn:aws:states:us-east-1:123456789012:execution:billing:run-1"]) == 2
    assert "--stack" in capsys.readouterr().err


@pytest.mark.usefixtures("stack")
def test_what_a_rejected_input_says_cannot_act_on_a_terminal(records, capsys):
    hostile = "\x1b[2J\x9b31m\u202e\u2028\ud800zq"
    rejected(records, {"dlq": "orders-dlq", "because": hostile, "startedBy": hostile, "rate": hostile})
    for arguments in (["runs"], ["report", "refused"]):
        assert run(arguments) == 0
        shown = capsys.readouterr()
        signs = [sign for sign in shown.out + shown.err if sign != "\n"]
        assert "zq" in shown.out
        assert not [sign for sign in signs if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert run(["report", "refused", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["input"]["rate"] == hostile


def test_a_run_whose_execution_may_not_be_read_is_shown_as_its_record_says(stack, records, capsys):
    records.keep(running_record(plan("on"), factories.tally(), now=NOW))
    stack.cloud.answers["stepfunctions.DescribeExecution"] = denied("DescribeExecution")
    assert run(["report", "on", "--quiet"]) == 0
    found = capsys.readouterr()
    assert "Redrive of orders-dlq: UNKNOWN" in found.out
    assert "INC-42" in found.out
    assert "ended without a report" not in found.out
    assert "states:DescribeExecution" in found.err


@pytest.mark.parametrize("name", ["on", "orders-dlq"])
def test_the_json_of_a_run_whose_execution_may_not_be_read_has_its_record(stack, records, capsys, name):
    record = running_record(plan("on"), factories.tally(redriven=4), now=NOW)
    records.keep(record)
    stack.cloud.answers["stepfunctions.DescribeExecution"] = denied("DescribeExecution")
    assert run(["report", name, "--json", "--quiet"]) == 0
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert document == {"version": 1, "record": record.as_json(), "report": None, "execution": None}
    [line] = found.err.splitlines()
    assert "states:DescribeExecution" in line


def test_without_a_record_it_says_that_the_execution_may_not_be_read(stack, capsys):
    stack.cloud.answers["stepfunctions.DescribeExecution"] = denied("DescribeExecution")
    assert run(["report", "on", "--json"]) == 1
    found = capsys.readouterr()
    assert (found.out, "DescribeExecution" in found.err) == ("", True)


@pytest.mark.usefixtures("stack")
def test_as_many_runs_are_listed_as_are_wanted_of_more_than_a_page_has(records, capsys):
    record = running_record(plan("run"), factories.tally(), now=NOW)
    records.keep(record)
    table = boto3.resource("dynamodb").Table("runs")
    [item] = [item for item in table.scan()["Items"] if item["pk"] == "runs#orders-dlq"]
    begun = [NOW - timedelta(seconds=number) for number in range(700)]
    with table.batch_writer() as batch:
        for number, time_ in enumerate(begun):
            at = time_.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            more = {"sk": f"{at}#run-{number}", "runId": f"run-{number}", "startedAt": at, "day": f"{time_:%Y-%m-%d}"}
            # A page has 1 MB, which is about 430 of them.
            batch.put_item(Item={**item, **more, "status": "SUCCEEDED", "because": "x" * 450})
    for arguments in (["orders-dlq"], []):
        assert run(["runs", *arguments, "--limit", "600", "--json"]) == 0
        listed = [each["run"] for each in json.loads(capsys.readouterr().out)["runs"]]
        assert [name for name in listed if name != "run"] == [
            f"run-{number}" for number in range(600 - listed.count("run"))
        ]
        assert len(listed) == 600
    assert run(["runs", "--limit", "600"]) == 0
    assert "There may be more." in capsys.readouterr().err


def test_a_report_that_this_version_cannot_read_is_in_the_json_as_it_is(records, capsys):
    record = running_record(plan("run-1"), factories.tally(), now=NOW).model_copy(update={"report": {"status": {}}})
    records.keep(record)
    assert run(["report", "run-1"]) == 1
    assert "--json" in capsys.readouterr().err
    assert run(["report", "run-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == {"status": {}}
