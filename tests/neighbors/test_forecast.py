"""A dry run's forecast: exact where everything was seen, and otherwise bounds that hold.

The oracle solves the inequality that defines Wilson's interval by bisection, and draws samples from queues it knows.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.contracts.json_schema import SchemaContract
from redrive.domain.messages.queues import QueueCounts, QueueRef
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.sampling.sample import Sample
from tests.support import factories
from tests.support.peeking import PeekedQueues, sampled
from tests.support.reports import report

KINDS = ("redriven", "quarantined:invalid-body", "quarantined:not-json", "skipped:not-selected", "skipped:came-back")


def forecast(found: Counter[str], *, in_queue: int, complete: bool) -> Forecast:
    def of(verdict: str) -> dict[str, int]:
        return {kind.partition(":")[2]: number for kind, number in found.items() if kind.startswith(verdict) and number}

    sample = Sample(
        sampled=found.total(),
        complete=complete,
        redrivable=found["redriven"],
        quarantined=of("quarantined"),
        skipped=of("skipped"),
    )
    made = report(plan=factories.plan(dry_run=True), sample=sample, queue=QueueCounts(visible=in_queue))
    assert made.forecast is not None
    assert made.counts.quarantined == 0
    return made.forecast


def by_kind(made: Forecast) -> dict[str, Expected]:
    kinds = {"redriven": made.redriven}
    kinds |= {f"quarantined:{reason}": number for reason, number in made.quarantine_reasons.items()}
    return kinds | {f"skipped:{reason}": number for reason, number in made.skip_reasons.items()}


def crossing(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return where a condition stops to hold between two shares."""
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def bounds(found: int, of: int) -> tuple[float, float]:
    """Return the shares that a sample doesn't contradict: within 1.96 standard errors of what was found."""
    share = found / of

    def holds(truth: float) -> bool:
        return abs(share - truth) <= 1.96 * math.sqrt(truth * (1 - truth) / of) + 1e-12

    return crossing(holds, share, 0.0), crossing(holds, share, 1.0)


found = st.builds(
    lambda numbers: Counter(dict(zip(KINDS, numbers, strict=True))),
    st.lists(st.sampled_from([0, 0, 1, 2, 7, 10, 40]), min_size=5, max_size=5).filter(any),
)


@given(found, st.integers(0, 300_000), st.booleans())
@example(Counter({"quarantined:invalid-body": 40}), 40, True)
@example(Counter({"quarantined:invalid-body": 10}), 40, False)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_the_expected_numbers_add_up_and_have_the_bounds_of_the_sample(found, in_queue, complete):
    made, sampled = forecast(found, in_queue=in_queue, complete=complete), found.total()
    messages = sampled if complete else max(sampled, in_queue)
    kinds = by_kind(made)
    assert made.messages == messages
    assert sum(number.expected for number in kinds.values()) == messages
    assert made.redriven.expected + made.quarantined.expected + made.skipped.expected == messages
    for kind, number in found.items():
        if not number and kind != "redriven":
            assert kind not in kinds
            continue
        expected = kinds[kind]
        assert abs(expected.expected - number / sampled * messages) < 2
        assert number <= expected.low <= expected.expected <= expected.high <= messages - (sampled - number)
        if messages == sampled:
            assert expected.low == expected.high == number
            continue
        low, high = bounds(number, sampled)
        assert expected.low == pytest.approx(max(number, low * messages), abs=2)
        assert expected.high == pytest.approx(min(messages - (sampled - number), high * messages), abs=2)


@pytest.mark.parametrize("sampled", [1, 10, 40, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.97, 1.0])
def test_the_truth_is_within_the_bounds_of_most_samples(sampled, share):
    chance, messages = random.Random(f"{sampled} {share}"), 5_000
    bad = round(share * messages)
    queue = ["quarantined:invalid-body"] * bad + ["redriven"] * (messages - bad)
    within = 0
    for _ in range(100):
        made = forecast(Counter(chance.sample(queue, sampled)), in_queue=messages, complete=False)
        within += made.quarantined.low <= bad <= made.quarantined.high
    assert within >= 85


def test_forty_messages_that_all_break_their_contract_are_forecast_as_quarantined():
    made = forecast(Counter({"quarantined:invalid-body": 40}), in_queue=40, complete=True)
    forty = Expected(expected=40, low=40, high=40)
    assert (made.quarantined, made.quarantine_reasons) == (forty, {"invalid-body": forty})
    of_ten = forecast(Counter({"quarantined:invalid-body": 10}), in_queue=40, complete=False)
    assert (of_ten.quarantined.expected, of_ten.quarantined.high, of_ten.redriven.expected) == (40, 40, 0)
    assert 10 < of_ten.quarantined.low < 40


# FIFO queues, of which SQS returns the first messages of each group only

FIFO = {
    "dlq": factories.queue("orders-dlq.fifo"),
    "sources": (factories.queue("orders.fifo"),),
    "select": {"attributes": {"take": "yes"}},
    "dry_run": True,
}
CONTRACT = SchemaContract("order", {"type": "object"})


def in_group(group: int, kind: str) -> dict[str, Any]:
    """Return a message that would be redriven, quarantined as `not-json`, or left as `not-selected`."""
    body = "text" if kind == "quarantined:not-json" else "{}"
    attributes = {"take": factories.string("no" if kind == "skipped:not-selected" else "yes")}
    return factories.message(body, attributes=attributes, source="orders.fifo", system={"MessageGroupId": f"g{group}"})


def outcome(groups: list[list[str]]) -> Counter[str]:
    """Return what becomes of all messages: what is behind one that stays, stays."""
    made: Counter[str] = Counter()
    for group in groups:
        stays = next((place for place, kind in enumerate(group) if kind == "skipped:not-selected"), len(group))
        made.update(group[: stays + 1])
        made["skipped:group-waits"] += len(group[stays + 1 :])
    return +made


@given(
    groups=st.lists(
        st.lists(
            st.sampled_from(["redriven", "quarantined:not-json", "skipped:not-selected"]), min_size=1, max_size=30
        ),
        min_size=1,
        max_size=4,
    ),
    first=st.sampled_from([1, 3, 10, 30]),
)
@example([["skipped:not-selected"] + ["redriven"] * 29], 10)
@example([["skipped:not-selected"] + ["redriven"] * 29], 1)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_the_forecast_of_a_fifo_queue_knows_what_waits(groups, first):
    seen = [in_group(number, kind) for number, group in enumerate(groups) for kind in group[:first]]
    messages = sum(map(len, groups))
    complete = len(seen) == messages
    sample = sampled(queues=PeekedQueues(*seen, complete=complete), find_contract={"orders.fifo": CONTRACT}.get, **FIFO)
    made = report(plan=factories.plan(**FIFO), sample=sample, queue=QueueCounts(visible=messages)).forecast
    assert made is not None
    kinds, truth = by_kind(made), outcome(groups)
    assert sum(number.expected for number in kinds.values()) == messages
    for kind, number in truth.items():
        if kind in kinds:
            assert kinds[kind].low <= number <= kinds[kind].high
    stays = ["skipped:not-selected" in group[:first] for group in groups]
    if complete or all(stays):
        expected = Counter({kind: number.expected for kind, number in kinds.items()})
        assert +expected == truth


def test_messages_that_go_from_the_quarantine_to_a_fifo_queue_wait_too():
    plan = {"dlq": factories.queue("quarantine"), "sources": (), "select": FIFO["select"], "dry_run": True}

    def quarantined(kind: str, group: str, target: str) -> dict[str, Any]:
        source = {"DeadLetterQueueSourceArn": factories.queue(target).arn, "MessageGroupId": group}
        attributes = {"take": factories.string("no" if kind == "skipped:not-selected" else "yes")}
        return factories.message("{}", attributes=attributes, system=source)

    class Found(PeekedQueues):
        def find(self, given: str) -> QueueRef | None:
            return factories.queue(given.rsplit(":", 1)[1])

        def tags(self, _queue: QueueRef) -> dict[str, str]:
            return {}

    found = Found(
        quarantined("redriven", "a", "orders.fifo"),
        quarantined("skipped:not-selected", "a", "orders.fifo"),
        quarantined("redriven", "a", "orders.fifo"),
        quarantined("redriven", "b", "orders.fifo"),
        quarantined("redriven", "a", "invoices.fifo"),
        quarantined("skipped:not-selected", "a", "orders"),
        quarantined("redriven", "a", "orders"),
    )
    sample = sampled(queues=found, **plan)
    assert (sample.redrivable, sample.skipped) == (4, {"not-selected": 2, "group-waits": 1})
    assert (sample.fifo_groups, sample.waiting_groups) == (0, 0)


def test_an_empty_queue_has_a_forecast_of_nothing_and_an_unread_one_has_none():
    dry = factories.plan(dry_run=True)
    empty = report(plan=dry, sample=Sample(complete=True), in_queue=0).forecast
    assert empty is not None
    assert (empty.messages, empty.redriven.high) == (0, 0)
    assert report(plan=dry, sample=Sample(), in_queue=9).forecast is None


def test_a_run_that_moves_messages_has_no_forecast():
    assert report().forecast is None
