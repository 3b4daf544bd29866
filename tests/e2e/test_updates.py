"""A new version is deployed while a run is on."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from local.cloud import STACK_NAME
from redrive.domain.plan.run_plan import FORMAT
from tests.e2e.conftest import CONTRACTS, PARAMETERS
from tests.support.app import TEAM, App, Pair
from tests.support.eventually import eventually
from tests.support.packages import with_changed

NEXT = FORMAT + 1
SENTENCE = (
    f"Another version of this app was deployed while the run was on: expected a run of format {NEXT}, found {FORMAT}. "
    "The run ends early, and nothing is lost; start another run to move the rest."
)


def running(app: App, number: int) -> tuple[Pair, str]:
    """Start a run that takes much longer than a slice, and wait until it moves messages."""
    pair = app.pair()
    app.bury(pair, [{"MessageBody": f"message {place}"} for place in range(number)])
    execution = app.start({"dlq": pair.dlq.name, "rate": 5})
    eventually(lambda: app.depth(pair.source) > 0)
    return pair, execution


def check_delivered(app: App, pair: Pair, number: int, duplicates_possible: int) -> None:
    """Check that every message was delivered, and no more of them twice than the reports say."""
    delivered = [message["Body"] for message in app.take(pair.source)]
    assert set(delivered) == {f"message {place}" for place in range(number)}
    assert len(delivered) - number <= duplicates_possible


@dataclass
class Update:
    """Code whose runs have another format, given to functions one by one, as an update of the stack does."""

    app: App
    before: dict[str, bytes] = field(default_factory=dict)

    def functions(self, *logical_ids: str) -> None:
        client = self.app.cloud.client("lambda")
        for function in map(self.app.resource, logical_ids):
            with urllib.request.urlopen(client.get_function(FunctionName=function)["Code"]["Location"]) as answer:
                self.before[function] = answer.read()
            client.update_function_code(FunctionName=function, ZipFile=with_next_format(self.before[function]))

    def undo(self) -> None:
        for function, package in self.before.items():
            self.app.cloud.client("lambda").update_function_code(FunctionName=function, ZipFile=package)


@pytest.fixture
def update(app: App) -> Iterator[Update]:
    made = Update(app)
    yield made
    made.undo()


def with_next_format(package: bytes) -> bytes:
    """Return a deployment package whose runs have the next format."""
    line = f"\nFORMAT = {FORMAT}\n".encode()

    def change(source: bytes) -> bytes:
        assert line in source
        return source.replace(line, f"\nFORMAT = {NEXT}\n".encode())

    return with_changed(package, "redrive/domain/plan/run_plan.py", change)


def test_a_run_finishes_although_the_stack_is_updated(app: App):
    pair, execution = running(app, 60)
    # More contracts, mapped in a document.
    app.put_contract("number", {"type": "number"})
    app.put_contract("mapping", {f"{TEAM}by-mapping-*": f"ssm:/{STACK_NAME}/contracts/number"})
    app.cloud.deploy(STACK_NAME, PARAMETERS | {"QueueContracts": f"{CONTRACTS},@ssm:/{STACK_NAME}/contracts/mapping"})
    run = app.ended(execution)
    report = run.report
    assert report["status"] == "SUCCEEDED"
    # The embedded cloud ends a function that is updated while it runs, which Lambda doesn't.
    redriven = report["counts"]["redriven"]
    assert redriven - report["duplicatesPossible"] <= 60 <= redriven + report["unaccounted"]
    check_delivered(app, pair, 60, report["duplicatesPossible"])

    mapped = app.pair("by-mapping")
    app.bury(mapped, [{"MessageBody": "1"}, {"MessageBody": '"one"'}])
    counts = app.redrive(mapped.dlq).report["counts"]
    assert (counts["redriven"], counts["quarantined"]) == (1, 1)
    app.take(app.quarantine)


def test_a_run_ends_with_one_sentence_if_a_version_with_another_format_is_deployed(app: App, update: Update):
    pair, execution = running(app, 100)
    # The embedded cloud ends a function that is updated while it runs, which Lambda doesn't: the mover comes later.
    update.functions("CoordinatorFunction", "SamplerFunction")
    run = app.ended(execution)
    assert (run.report["status"], run.report["reason"]) == ("FAILED", SENTENCE)
    moved = run.report["counts"]["redriven"]
    assert 0 < moved == app.depth(pair.source) < 100
    assert app.visible(pair.dlq) == 100 - moved
    # The new version moves the rest.
    update.functions("MoverFunction")
    rest = app.redrive(pair.dlq, rate=500).report
    assert (rest["status"], rest["counts"]["redriven"]) == ("SUCCEEDED", 100 - moved)
    check_delivered(app, pair, 100, 0)
