"""A queue with as many messages in flight as SQS allows: empty answers then don't count as an empty queue.

SQS developer guide, "Amazon SQS standard queue quotas" and "Amazon SQS FIFO queue quotas": about 120,000 messages. The
limit is lowered here, in the emulator and in the functions of a cloud of its own.
"""

from collections.abc import Iterator
from itertools import batched
from pathlib import Path
from typing import Any

import pytest

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from local.workspace import ROOT
from tests.support.app import TEAM_QUEUES, App, Queue
from tests.support.eventually import eventually

LIMIT = 40
# Python runs it at the start of each process: those of the functions, and the emulator's own.
LOWER = f"""
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

LOWERED = {{
    "redrive.domain.messages.queues": {{"IN_FLIGHT_LIMIT": {LIMIT}, "_NEAR_THE_LIMIT": {0.95 * LIMIT}}},
    "local.ministack_compat.sqs": {{"MAX_IN_FLIGHT": {LIMIT}}},
}}

class Lower(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in LOWERED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module
        def exec_lowered(module):
            execute(module)
            vars(module).update(LOWERED[name])
        spec.loader.exec_module = exec_lowered
        return spec

sys.meta_path.insert(0, Lower())
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    path: Path = tmp_path_factory.mktemp("lower")
    (path / "sitecustomize.py").write_text(LOWER)
    with EmbeddedCloud.start(wait_scale=0.1, environment={"PYTHONPATH": f"{path}:{ROOT}"}) as cloud:
        yield App(cloud, cloud.deploy(STACK_NAME, {"SliceSeconds": "5", **TEAM_QUEUES}))


def hold(app: App, queue: Queue, number: int) -> list[dict[str, Any]]:
    """Receive messages as another consumer that keeps them."""
    held: list[dict[str, Any]] = []

    def enough() -> bool:
        answer = app.sqs.receive_message(
            QueueUrl=queue.url, MaxNumberOfMessages=min(10, number - len(held)), VisibilityTimeout=600
        )
        held.extend(answer.get("Messages", []))
        return len(held) == number

    eventually(enough)
    return held


def give_back(app: App, queue: Queue, held: list[dict[str, Any]]) -> None:
    for some in batched(held, 10, strict=False):
        entries = [
            {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for place, message in enumerate(some)
        ]
        assert not app.sqs.change_message_visibility_batch(QueueUrl=queue.url, Entries=entries).get("Failed")


def dead(app: App, number: int, *, fifo: bool = False) -> Queue:
    """Return the dead-letter queue of a pair, with messages of different groups."""
    pair = app.pair(fifo=fifo)
    group = [{"MessageGroupId": str(n), "MessageDeduplicationId": str(n)} if fifo else {} for n in range(number)]
    app.send(pair.dlq, [{"MessageBody": str(n), **group[n]} for n in range(number)])
    return pair.dlq


@pytest.mark.parametrize("fifo", [False, True])
def test_a_run_that_gets_nothing_because_others_hold_as_many_as_sqs_allows_does_not_count_as_done(app: App, fifo):
    dlq = dead(app, LIMIT + 20, fifo=fifo)
    hold(app, dlq, LIMIT)
    report = app.redrive(dlq, rate=1000).report
    assert (report["status"], report["counts"]["redriven"], report["counts"]["remaining"]) == ("INCOMPLETE", 0, 60)
    assert f"about {LIMIT} were in flight, and SQS returns no more than about {LIMIT} at a time" in report["reason"]
    assert f"{LIMIT} in flight elsewhere" in report["reason"]


@pytest.mark.parametrize("fifo", [False, True])
def test_a_full_scan_that_gets_nothing_at_the_limit_is_not_complete(app: App, fifo):
    dlq = dead(app, LIMIT + 5, fifo=fifo)
    held = hold(app, dlq, LIMIT)
    report = app.redrive(dlq, dryRun=True, fullScan=True).report
    assert (report["status"], report["sample"]["complete"], report["sample"]["sampled"]) == ("DRY_RUN", False, 0)
    assert report["forecast"] is None
    assert "in flight" in report["reason"]

    give_back(app, dlq, held)
    for message in hold(app, dlq, 15):
        app.sqs.delete_message(QueueUrl=dlq.url, ReceiptHandle=message["ReceiptHandle"])
    report = app.redrive(dlq, dryRun=True, fullScan=True).report
    assert (report["sample"]["complete"], report["sample"]["sampled"], report["reason"]) == (True, 30, None)


def test_a_full_scan_that_reaches_the_limit_by_itself_is_not_complete(app: App):
    dlq = dead(app, LIMIT + 5)
    sample = app.redrive(dlq, dryRun=True, fullScan=True).report["sample"]
    assert (sample["complete"], sample["sampled"]) == (False, LIMIT)
    assert app.visible(dlq) == LIMIT + 5


def test_a_run_that_waits_at_the_limit_goes_on_when_the_others_give_their_messages_back(app: App):
    dlq = dead(app, LIMIT + 20)
    held = hold(app, dlq, LIMIT)
    execution = app.start({"dlq": dlq.name, "rate": 1000})
    history = app.workflow.get_execution_history

    def waits() -> bool:
        events = history(executionArn=execution)["events"]
        return any(event.get("stateEnteredEventDetails", {}).get("name") == "WaitForMessages" for event in events)

    eventually(waits)
    give_back(app, dlq, held)
    report = app.ended(execution).report
    assert (report["status"], report["counts"]["redriven"], report["counts"]["remaining"]) == ("SUCCEEDED", 60, 0)
