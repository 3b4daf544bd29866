"""The local table does what DynamoDB does for the adapters of the runs table, and keeps it through a crash."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.local_runs import LivingRun, LocalExecutions, execution_id
from redrive.adapters.local_table import TABLE, LocalTable
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.domain.errors import RejectedError, StateFileError
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Checkpoint
from tests.support import factories
from tests.support.fakes import FakeExecutions
from tests.support.model_table import ModelTable


@pytest.fixture
def table(tmp_path):
    return LocalTable(tmp_path / "state" / "runs.db")


def adapters(client: Any) -> SimpleNamespace:
    """Return all adapters of the runs table, on one client."""
    return SimpleNamespace(
        runs=RunTable("t", client),
        checkpoints=Checkpoints("t", client),
        facts=MessageFacts("t", client),
        shares=RateShares("t", FakeExecutions(set()), client, lambda _: None),
    )


RUNS = st.sampled_from(["a", "b"])
LANES = st.integers(0, 2)
TEXTS = st.text("xyé\u2028\x00'\"", max_size=4)
HELD = st.builds(
    HeldRecord, st.sampled_from("mno"), TEXTS, st.sampled_from(["not-selected", "came-back"]), st.booleans()
)
CALLS = st.one_of(
    st.tuples(st.just("lock"), RUNS, st.sampled_from([None, "a", "b"])),
    st.tuples(st.sampled_from(["unlock", "lost", "taken_over_from", "wants_stop", "progress", "holder"]), RUNS),
    st.tuples(st.just("ask_to_stop")),
    st.tuples(st.just("record"), RUNS, st.integers(1, 4), st.integers(0, 9)),
    st.tuples(st.just("claim_metrics"), RUNS, TEXTS),
    st.tuples(st.just("take"), RUNS, LANES, st.sampled_from(["one", "two"])),
    st.tuples(st.just("checkpoint"), RUNS, LANES, st.sampled_from(["one", "two"]), st.integers(0, 9), st.booleans()),
    st.tuples(st.sampled_from(["fence", "unfinished", "held", "undeleted", "undeleted_uncounted", "blocked"]), RUNS),
    st.tuples(st.just("record_held"), RUNS, LANES, st.lists(HELD, max_size=3)),
    st.tuples(st.just("record_sent"), RUNS, LANES, st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3)),
    st.tuples(st.just("facts"), st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3)),
    st.tuples(st.just("record_blocked"), RUNS, LANES, st.sets(st.tuples(st.none() | TEXTS, TEXTS), max_size=3)),
    st.tuples(st.sampled_from(["reserve", "release"]), RUNS),
)


def play(on: SimpleNamespace, call: tuple[Any, ...]) -> Any:  # noqa: PLR0911, PLR0912
    """Make one call and return its result, or the error that it raised."""
    name, *arguments = call
    plan = factories.plan(run_id=arguments[0]) if arguments and isinstance(arguments[0], str) else factories.plan()
    plan = plan.model_copy(update={"execution_arn": plan.run_id})
    try:
        match name, arguments:
            case "lock", [_, instead_of]:
                return on.runs.lock(plan, instead_of)
            case "holder", _:
                return on.runs.holder(plan.dlq.arn)
            case "progress", [run]:
                return on.runs.progress(run)
            case "ask_to_stop", _:
                return on.runs.ask_to_stop(plan.dlq.arn)
            case "record", [_, rounds, redriven]:
                tally = Tally(rounds=rounds, counts=Counts(redriven=redriven))
                return on.runs.record(RunProgress(plan=plan, sample=Sample(), tally=tally))
            case "claim_metrics", [run, step]:
                return on.runs.claim_metrics(run, step)
            case (("unlock" | "lost" | "taken_over_from" | "wants_stop"), _):
                return getattr(on.runs, name)(plan)
            case "take", [_, lane, attempt]:
                return on.checkpoints.take(plan, factories.work(lane=lane), attempt)
            case "checkpoint", [_, lane, attempt, redriven, finished]:
                reached = Checkpoint(SliceResult(counts=Counts(redriven=redriven)), 3, redriven + 2, finished)
                return on.checkpoints.checkpoint(plan, factories.work(lane=lane), attempt, reached)
            case (("fence" | "unfinished"), _):
                return getattr(on.checkpoints, name)(plan, factories.work().round)
            case "held", [run]:
                return on.checkpoints.held(run)
            case (("undeleted" | "undeleted_uncounted"), _):
                return getattr(on.checkpoints, name)(plan)
            case "record_held", [_, lane, records]:
                return on.checkpoints.record_held(plan, factories.work(lane=lane), records)
            case "record_sent", [_, lane, undeleted, settled]:
                return on.checkpoints.record_sent(plan, factories.work(lane=lane), undeleted, settled)
            case "facts", [known]:
                on.facts.record(known)
                return on.facts.recall([*known, "unknown"])
            case "record_blocked", [_, lane, lines]:
                return on.facts.record_blocked(plan, factories.work(lane=lane), lines)
            case "blocked", _:
                return on.facts.blocked(plan)
            case "reserve", [run]:
                return on.shares.reserve(run, run, plan.sources[0], 6, 10)
            case _:
                return on.shares.release(arguments[0])
    except Exception as error:  # noqa: BLE001
        return type(error).__name__ if isinstance(error, ClientError) else (type(error).__name__, str(error))


@given(calls=st.lists(CALLS, max_size=25))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_adapter_gets_the_answers_that_it_gets_from_dynamodb(tmp_path_factory, calls):
    # A model that other tests compare with DynamoDB's behavior, and that has no line in common with the table.
    file = tmp_path_factory.mktemp("state") / "runs.db"
    ours = LocalTable(file)
    model = ModelTable(lambda _, work: work())
    for number, call in enumerate(calls):
        if number % 7 == 6:
            ours.close()
            ours = LocalTable(file)
        assert play(adapters(ours), call) == play(adapters(model), call)
    ours.close()


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put_item", {"Item": {}, "ConditionExpression": "size(a) > :b"}),
        ("put_item", {"Item": {}, "ConditionExpression": "a = :b AND c = :d"}),
        ("update_item", {"Key": {}, "UpdateExpression": "ADD a :b", "ExpressionAttributeValues": {}}),
        ("update_item", {"Key": {}, "UpdateExpression": "SET a = a + :b", "ExpressionAttributeValues": {}}),
    ],
)
def test_what_the_table_does_not_know_is_refused_instead_of_guessed(table, operation, arguments):
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    arguments = {
        name: key if value == {} and name != "ExpressionAttributeValues" else value for name, value in arguments.items()
    }
    with pytest.raises(NotImplementedError, match="doesn't know"):
        getattr(table, operation)(TableName="t", **arguments)
    assert table.get_item(TableName="t", Key=key, ConsistentRead=True) == {}


def test_a_query_by_an_index_is_refused(table):
    with pytest.raises(NotImplementedError, match="query"):
        list(table.get_paginator("query").paginate(IndexName="days", ExpressionAttributeValues={}))


def test_only_this_user_can_read_the_file(tmp_path):
    file = tmp_path / "a" / "b" / "runs.db"
    LocalTable(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.chmod(0o644)
    LocalTable(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_is_not_a_state_file_stays_as_it_is(tmp_path):
    """`--state` may name the wrong file: a device, whose permissions must not change, or another database."""
    fifo, text, other = tmp_path / "fifo", tmp_path / "notes.txt", tmp_path / "other.db"
    os.mkfifo(fifo)
    text.write_text("notes" * 100)
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE items (pk, sk, item, expires)")
        database.execute("INSERT INTO items VALUES ('a', 'b', 'c', 1)")
        database.execute("PRAGMA journal_mode = WAL")
        database.commit()
    before = [(file.stat().st_mode, file.is_file() and file.read_bytes()) for file in (fifo, text, other)]
    for file in (fifo, text, other, Path("/dev/null")):
        with pytest.raises(StateFileError, match="--state"):
            LocalTable(file)
    assert [(file.stat().st_mode, file.is_file() and file.read_bytes()) for file in (fifo, text, other)] == before
    assert Path("/dev/null").stat().st_mode & 0o777 == 0o666


def test_what_was_written_is_there_after_the_process_was_killed(tmp_path):
    file = tmp_path / "runs.db"
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from redrive.adapters.local_table import LocalTable\n"
        f"table = LocalTable(Path({str(file)!r}))\n"
        "for n in range(5):\n"
        "    table.put_item(TableName='t', Item={'pk': {'S': 'p'}, 'sk': {'S': str(n)}, 'n': {'B': bytes([n])}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": "functions"}, check=False).returncode == -9
    )
    values = {":pk": {"S": "p"}, ":sk": {"S": ""}}
    query = {"KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)", "ExpressionAttributeValues": values}
    [page] = LocalTable(file).get_paginator("query").paginate(**query)
    assert [item["n"]["B"] for item in page["Items"]] == [bytes([n]) for n in range(5)]


def test_each_write_waits_for_the_disk(table):
    pragma = lambda name: table._connection.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: E731
    assert (pragma("synchronous"), pragma("journal_mode")) == (3, "delete")


def test_a_full_disk_is_said_and_changes_nothing(table):
    runs = RunTable(TABLE, table.client)
    plan = factories.plan()
    assert runs.lock(plan) is None
    # SQLite's own limit stands for the disk's.
    pages = table._connection.execute("PRAGMA page_count").fetchone()[0]
    table._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateFileError, match=r"full.*--state"):
        for number in range(100):
            runs.record(RunProgress(plan=plan, sample=Sample(), tally=Tally(rounds=number + 1, failure="x" * 9999)))
    assert not runs.lost(plan)
    table._connection.execute("PRAGMA max_page_count = 9999")
    assert runs.record(RunProgress(plan=plan, sample=Sample(), tally=Tally(rounds=99))).rounds == 99


@pytest.mark.parametrize("make", ["text", "folder", "newer", "file-as-folder"])
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(tmp_path, make):
    file = tmp_path / "runs.db"
    if make == "text":
        file.write_text("not a database at all, " * 100)
    elif make == "folder":
        file.mkdir()
    elif make == "newer":
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        file.write_text("")
        file = file / "runs.db"
    with pytest.raises(StateFileError, match="--state"):
        LocalTable(file)


def test_a_run_is_alive_as_long_as_its_process_is(tmp_path):
    file = tmp_path / "runs.db"
    executions = LocalExecutions(file, "{}")
    arn = execution_id("laptop", "run-1")
    assert not executions.is_running(arn)
    program = (
        "import sys\nfrom pathlib import Path\nfrom redrive.adapters.local_runs import LivingRun\n"
        f"living = LivingRun(Path({str(file)!r}), 'run-1').take()\nprint('taken', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": "functions"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        assert executions.is_running(arn)
        with pytest.raises(RejectedError, match="another terminal"):
            LivingRun(file, "run-1").take()
        other.kill()
        other.wait()
        with suppress(OSError):
            other.communicate()
    assert not executions.is_running(arn)
    mine = LivingRun(file, "run-1").take()
    assert executions.is_running(arn)
    mine.end()
    assert not executions.is_running(arn)
    assert list(tmp_path.iterdir()) == []
