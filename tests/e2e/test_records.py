"""Records of runs: however a run of the deployed app ends, the table has all that an auditor asks about it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from redrive.domain.runs.record import RunRecord
from tests.support.app import App, Pair, Run
from tests.support.eventually import eventually
from tests.support.terminal import in_pipe


def messages(count: int) -> list[dict[str, str]]:
    return [{"MessageBody": f"message {number}"} for number in range(count)]


@pytest.fixture
def pair(app: App) -> Pair:
    found = app.pair()
    app.send(found.dlq, messages(60))
    return found


def record_of(app: App, run: Run) -> RunRecord:
    """Return the record of a run that has ended, after checking that it says what the execution says."""
    record = app.records.find(run.report["runId"])
    assert record is not None
    assert record.report == run.report
    assert record.execution_arn == run.execution["executionArn"]
    assert (record.status, record.cut) == (run.report["status"], ())
    assert record.counts.model_dump() == run.report["counts"]
    assert record.started_at == datetime.fromisoformat(run.report["startedAt"])
    return record


def test_however_a_run_ends_its_record_is_whole_and_found_by_queue_and_by_day(app: App, pair: Pair):
    given = {"dlq": pair.dlq.url, "destination": pair.source.url, "because": "INC-42: fixed", "startedBy": "ann"}
    dry = app.ended(app.start(given | {"dryRun": True}))
    rejected = app.ended(app.start(given | {"rate": 0}))
    execution = app.start(given | {"rate": 5})

    def running() -> RunRecord | None:
        found = app.records.find(execution.rsplit(":", 1)[1])
        return found if found and found.rounds else None

    during = eventually(running)
    assert (during.status, during.because) == (None, "INC-42: fixed")
    assert during.counts.seen == during.counts.redriven > 0
    app.invoke("StopFunction", {"dlq": pair.dlq.name})
    stopped = app.ended(execution)
    moved = app.ended(app.start(given | {"rate": 500}))

    found = {run.report["status"]: record_of(app, run) for run in (dry, rejected, stopped, moved)}
    assert found.keys() == {"DRY_RUN", "REJECTED", "STOPPED", "SUCCEEDED"}
    for record in found.values():
        assert (record.because, record.started_by, record.input["dlq"]) == ("INC-42: fixed", "ann", pair.dlq.url)
    assert found["REJECTED"].input == given | {"rate": 0}
    assert found["REJECTED"].plan is None
    for status in ("STOPPED", "SUCCEEDED"):
        points = found[status].rate_over_time
        assert len(points) >= 2
        assert (points[0].redriven, points[-1].redriven) == (0, found[status].counts.redriven)
    assert found["STOPPED"].counts.redriven + found["SUCCEEDED"].counts.redriven == 60

    newest_first = [found[status] for status in ("SUCCEEDED", "STOPPED", "REJECTED", "DRY_RUN")]
    assert app.records.of_queue(pair.dlq.name, 10) == newest_first
    today = datetime.now(UTC).date()
    by_day = [record for day in (today, today - timedelta(days=1)) for record in app.records.of_day(day, 1000)]
    assert [record for record in by_day if record.dlq == pair.dlq.name] == newest_first

    listed = in_pipe(app, "runs", pair.dlq.name)
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[3] for line in listed.stdout.splitlines()[1:]] == [str(one.status) for one in newest_first]
    assert listed.stdout.count("INC-42: fixed") == 4
    of_all = json.loads(in_pipe(app, "runs", "--json", "--limit", "1000").stdout)["runs"]
    assert [one["run"] for one in of_all if one["dlq"] == pair.dlq.name] == [one.run_id for one in newest_first]
    shown = in_pipe(app, "report", stopped.execution["executionArn"])
    assert shown.returncode == 0, shown.stderr
    assert f"Redrive of {pair.dlq.name}: STOPPED" in shown.stdout
    assert "Started by   ann (according to its input)" in shown.stdout
    document = json.loads(in_pipe(app, "report", moved.report["runId"], "--json").stdout)
    assert document["report"] == moved.report
