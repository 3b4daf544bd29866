"""Rows that other versions have written: those of version 0.2 are read, those of later formats are refused."""

import json
import zlib
from typing import Any

import pytest

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.run_table import RunTable
from redrive.adapters.table import ROW_FORMAT
from redrive.domain.errors import FormatError
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.plan.run_plan import RunIdentity
from redrive.domain.runs.tally import Tally
from redrive.workflow.clean_up import clean_up
from tests.support import factories
from tests.support.model_table import ModelTable

# What version 0.2 passed on and wrote for a run whose lane was interrupted after it had moved three messages.
PLAN = {
    "runId": "night-shift",
    "executionArn": "arn:aws:states:us-east-1:123456789012:execution:redrive:night-shift",
    "startedAt": 1764000000000,
    "request": {"dlq": "orders-dlq", "rate": 50, "fullScan": False},
    "dlq": {
        "name": "orders-dlq",
        "arn": "arn:aws:sqs:us-east-1:123456789012:orders-dlq",
        "url": "https://sqs.us-east-1.amazonaws.com/123456789012/orders-dlq",
        "fifo": False,
    },
    "rate": 50,
    "maxRate": None,
}
RESULT = {"counts": {"redriven": 3, "skipped": 1}, "calls": {"send": 1}, "drained": False, "ofVersion0.2": 1}
LOCK = {"pk": f"dlq#{PLAN['dlq']['arn']}", "sk": "lock", "runId": "night-shift", "executionArn": PLAN["executionArn"]}  # type: ignore[index]


def packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


def item(**values: Any) -> dict[str, Any]:
    kinds = {str: "S", bytes: "B", int: "N"}
    return {
        name: {kinds[type(value)]: str(value) if isinstance(value, int) else value} for name, value in values.items()
    }


@pytest.fixture
def table() -> Any:
    return ModelTable(lambda _operation, work: work())


def put(table: Any, *rows: dict[str, Any]) -> None:
    for row in rows:
        table.put_item(TableName="runs", Item=item(**row))


class Ports:
    """A queue, shares, and metrics that take note of what is released."""

    def __init__(self) -> None:
        self.released: list[Any] = []

    def release(self, *given: Any) -> int:
        self.released += given
        return 0

    def publish_once(self, *_: Any) -> None:
        pass


def test_a_run_of_version_0_2_is_cleaned_up_and_its_counts_are_kept(table):
    run = "run#night-shift"
    put(
        table,
        LOCK,
        {"pk": run, "sk": "lane#000", "round": 4, "result": json.dumps(RESULT), "inHand": 7},
        {"pk": run, "sk": "held#01#000#0000", "records": packed([["m-1", "handle-1", "not-selected", False]])},
        {"pk": run, "sk": "held#02#000#0000", "records": packed([["m-1", "handle-2", "not-selected", False]])},
        {"pk": run, "sk": "undeleted#000#000003#0000", "ids": packed(["m-7", "m-8"])},
    )
    checkpoints, store, ports = Checkpoints("runs", table), RunTable("runs", table), Ports()
    plan = RunIdentity.from_json_object(PLAN)
    others: Any = {"queues": ports, "shares": ports, "metrics": ports}
    done = clean_up(plan, Tally(rounds=4), store=store, checkpoints=checkpoints, pause=lambda _: None, **others)

    assert ports.released == [plan.dlq, ["handle-2"], "night-shift"]
    assert (done.tally.counts.redriven, done.tally.counts.skipped) == (3, 1)
    assert done.tally.duplicates_possible == 7 + 2
    assert store.holder(plan.dlq.arn) is None
    # The next run deletes what the old one has sent, and doesn't send it again.
    assert checkpoints.undeleted(factories.plan(dlq=factories.queue("orders-dlq"))) == ["m-7", "m-8"]


def test_rows_say_their_format(table):
    Checkpoints("runs", table).record_sent(factories.plan(), factories.work(), ["m-1"])
    assert [row["format"] for row in table.items.values()] == [{"N": str(ROW_FORMAT)}]


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (LOCK, lambda table: RunTable("runs", table).taken_over_from(factories.plan())),
        (
            {"pk": "run#run-1", "sk": "held#01#000#0000", "records": b""},
            lambda table: Checkpoints("runs", table).held("run-1"),
        ),
        (
            {"pk": "sent#m-1", "sk": "provenance", "provenance": "?"},
            lambda table: MessageFacts("runs", table).recall(["m-1"]),
        ),
    ],
)
def test_a_row_of_a_later_format_is_refused_and_not_ignored(table, row, read):
    put(table, {**row, "format": ROW_FORMAT + 1})
    with pytest.raises(FormatError, match="Deploy that version again"):
        read(table)


@pytest.mark.parametrize("broken", [{"counts": 5}, {"counts": {"redriven": "three"}}, {"skipReasons": []}, {}])
def test_what_cant_be_read_of_a_lanes_result_has_its_default(broken):
    given = {**RESULT, "duplicatesPossible": 2, **broken}
    read = SliceResult.as_far_as_readable(given, SliceResult.from_json_object)
    assert read.duplicates_possible == 2
    assert read.counts == (Counts() if "counts" in broken else Counts(redriven=3, skipped=1))
