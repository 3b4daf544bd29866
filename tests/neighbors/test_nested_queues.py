"""Looking moves nothing: queues with a redrive policy of their own are refused, or what went on is counted.

The oracle is a small queue that counts receives by itself and moves messages on as SQS does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts
from redrive.domain.plan.planning import plan_run
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.run_plan import NextQueue, RunPlan
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories
from tests.support.fakes import FakeQueues
from tests.support.reports import report

ORDERS, DLQ, PARKING = factories.queue("orders"), factories.queue("orders-dlq"), factories.queue("parking")
QUARANTINE = factories.queue("quarantine")


@dataclass
class Nested:
    """A dead-letter queue whose own redrive policy allows some receives, and the queue behind it."""

    receives_allowed: int
    received: list[int]
    parked: int = 0
    redriven: int = 0
    parked_for_others: int = field(default=0)

    def look(self, messages: int) -> int:
        """Receive some messages and make them visible again; return how many came."""
        came, before = 0, self.received
        self.received = []
        for number in before:
            if came >= messages:
                self.received.append(number)
            elif number >= self.receives_allowed:
                # SQS moves a message that has been received that often instead of returning it.
                self.parked += 1
            else:
                came += 1
                self.received.append(number + 1)
        return came

    def move(self, messages: int) -> None:
        """Receive some messages once more and delete them."""
        came = self.look(messages)
        self.redriven += came
        del self.received[:came]


def planned(nested: Nested, **changes: Any) -> RunPlan:
    parking = NextQueue(name="parking", queue=PARKING, messages=nested.parked)
    return factories.plan(waiting=len(nested.received), next_queue=parking, allow_nested_dlq=True, **changes)


def ended(plan: RunPlan, nested: Nested, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "plan": plan,
        "sample": Sample(sampled=1),
        "tally": Tally(counts=Counts(redriven=nested.redriven), drained=not plan.request.dry_run),
        "queue": QueueCounts(visible=len(nested.received)),
        "in_next_queue": nested.parked + nested.parked_for_others,
    }
    return report(**(values | changes))


receives = st.lists(st.integers(0, 4), max_size=60)


@given(receives, st.integers(1, 4), st.integers(1, 100), st.integers(1, 3))
@example([1] * 40, 1, 100, 1)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_what_dry_runs_push_on_is_counted_and_said(received, allowed, size, looks):
    nested = Nested(allowed, received)
    for _ in range(looks):
        plan, before = planned(nested, dry_run=True), nested.parked
        nested.look(size)
        made = ended(plan, nested)
        assert made.pushed_on == nested.parked - before
        assert ("pushed on to parking" in (made.reason or "")) == bool(made.pushed_on)
        assert made.counts.remaining + made.pushed_on == plan.waiting


@given(receives, st.integers(1, 4), st.integers(0, 100))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_what_a_run_pushes_on_is_not_among_what_it_moved(received, allowed, size):
    nested = Nested(allowed, received)
    plan = planned(nested)
    nested.look(10)
    nested.move(size)
    made = ended(plan, nested, tally=Tally(counts=Counts(redriven=nested.redriven)))
    assert made.pushed_on == nested.parked
    assert made.counts.redriven + made.pushed_on + made.counts.remaining == plan.waiting
    assert made.counts.seen == nested.redriven


@pytest.mark.parametrize("arrived", [0, 5, 60])
@pytest.mark.parametrize("consumed", [0, 3])
def test_new_messages_or_a_consumer_of_the_next_queue_hide_nothing(arrived, consumed):
    nested = Nested(1, [1] * 40)
    plan = planned(nested, dry_run=True)
    nested.look(100)
    nested.received += [0] * (arrived if not consumed else 0)
    nested.parked -= consumed
    assert ended(plan, nested).pushed_on == 40


@pytest.mark.parametrize("unknown", ["before", "after", "queue"])
def test_what_cannot_be_counted_is_unknown_and_said_to_be(unknown):
    plan = factories.plan(
        dry_run=True,
        next_queue=NextQueue(name="parking", queue=PARKING, messages=None if unknown == "before" else 0),
    )
    made = report(
        plan=plan,
        in_next_queue=None if unknown == "after" else 4,
        queue=None if unknown == "queue" else QueueCounts(visible=3),
    )
    assert made.pushed_on is None
    assert "isn't known" in (made.reason or "")
    assert "parking" in (made.reason or "")


def test_a_queue_without_a_redrive_policy_pushes_nothing_on():
    made = report(in_next_queue=None)
    assert (made.pushed_on, made.reason) == (0, None)


# Before anything is looked at


def directory(**facts: Any) -> FakeQueues:
    queues = FakeQueues()
    queues.add(ORDERS, factories.facts(has_redrive_policy=True), dlq="orders-dlq")
    queues.add(DLQ, factories.facts(has_redrive_policy=True, dead_letter_queue=PARKING.arn, **facts))
    queues.add(PARKING, factories.facts(waiting=7))
    queues.add(QUARANTINE, factories.facts())
    return queues


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("full_scan", [True, False])
@pytest.mark.parametrize("destination", [None, "orders"])
@pytest.mark.parametrize("sample_size", [1, 10, 1000])
@pytest.mark.parametrize("by", ["name", "arn", "url"])
def test_nothing_looks_into_such_a_queue_unless_allowed(dry_run, full_scan, destination, sample_size, by):
    given = {"dlq": getattr(DLQ, by), "dryRun": dry_run, "fullScan": full_scan, "sampleSize": sample_size}
    given |= {"destination": destination} if destination else {}
    execution = factories.execution()
    with pytest.raises(RejectedError, match="parking"):
        plan_run(parse_request(given), execution, directory(), QUARANTINE.arn)
    plan = plan_run(parse_request(given | {"allowNestedDlq": True}), execution, directory(delay=60), QUARANTINE.arn)
    assert plan.next_queue == NextQueue(name="parking", queue=PARKING, messages=7)
    assert (plan.waiting, plan.delay) == (100, 60)


def test_a_run_goes_on_if_the_next_queue_is_gone():
    queues = directory()
    del queues.known["parking"]
    request = parse_request({"dlq": "orders-dlq", "allowNestedDlq": True})
    plan = plan_run(request, factories.execution(), queues, QUARANTINE.arn)
    assert plan.next_queue == NextQueue(name="parking", queue=None, messages=None)


def test_a_run_goes_on_if_it_may_not_read_the_next_queue(monkeypatch):
    queues = directory()
    find = queues.find

    def denied(given: str) -> Any:
        if given == PARKING.arn:
            raise RejectedError("no permission")
        return find(given)

    monkeypatch.setattr(queues, "find", denied)
    request = parse_request({"dlq": "orders-dlq", "allowNestedDlq": True})
    plan = plan_run(request, factories.execution(), queues, QUARANTINE.arn)
    assert plan.next_queue == NextQueue(name="parking", queue=None, messages=None)
