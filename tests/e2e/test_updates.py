"""A new version is deployed while a run is on."""

import io
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from local.cloud import STACK_NAME
from redrive.domain.plan.run_plan import FORMAT
from tests.e2e.conftest import PARAMETERS
from tests.support.app import App, Pair
from tests.support.eventually import eventually

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


@contextmanager
def next_format(app: App) -> Iterator[None]:
    """Give the functions of a run, as an update of the stack does, code whose runs have another format."""
    client, before = app.cloud.client("lambda"), {}
    for function in map(app.resource, ("CoordinatorFunction", "SamplerFunction", "MoverFunction")):
        location = client.get_function(FunctionName=function)["Code"]["Location"]
        with urllib.request.urlopen(location) as answer:
            before[function] = answer.read()
        client.update_function_code(FunctionName=function, ZipFile=with_next_format(before[function]))
    try:
        yield
    finally:
        for function, package in before.items():
            client.update_function_code(FunctionName=function, ZipFile=package)


def with_next_format(package: bytes) -> bytes:
    """Return a deployment package whose runs have the next format."""
    changed, line = io.BytesIO(), f"\nFORMAT = {FORMAT}\n".encode()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("domain/plan/run_plan.py"):
                assert line in content
                content = content.replace(line, f"\nFORMAT = {NEXT}\n".encode())
            new.writestr(old.getinfo(name), content)
    return changed.getvalue()


def test_a_run_finishes_although_the_stack_is_updated(app: App):
    pair, execution = running(app, 60)
    changed = PARAMETERS | {"SliceSeconds": "6"}
    app.cloud.deploy(STACK_NAME, changed)
    run = app.ended(execution)
    assert (run.report["status"], run.report["counts"]["redriven"]) == ("SUCCEEDED", 60)
    check_delivered(app, pair, 60, run.report["duplicatesPossible"])


def test_a_run_ends_with_one_sentence_if_a_version_with_another_format_is_deployed(app: App):
    pair, execution = running(app, 100)
    with next_format(app):
        run = app.ended(execution)
        assert (run.report["status"], run.report["reason"]) == ("FAILED", SENTENCE)
        moved = run.report["counts"]["redriven"]
        assert 0 < moved < 100
        assert app.visible(pair.dlq) == app.depth(pair.dlq) == 100 - moved
        # The new version moves the rest.
        rest = app.redrive(pair.dlq, rate=500).report
        assert (rest["status"], rest["counts"]["redriven"]) == ("SUCCEEDED", 100 - moved)
    check_delivered(app, pair, 100, run.report["duplicatesPossible"] + rest["duplicatesPossible"])
