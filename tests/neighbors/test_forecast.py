"""A dry run's forecast: exact where everything was seen, and otherwise bounds that hold.

The oracle solves the inequality that defines Wilson's interval by bisection, and draws samples from queues it knows.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.messages.queues import QueueCounts
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.sampling.sample import Sample
from tests.support import factories
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


def test_an_empty_queue_has_a_forecast_of_nothing_and_an_unread_one_has_none():
    dry = factories.plan(dry_run=True)
    empty = report(plan=dry, sample=Sample(complete=True), in_queue=0).forecast
    assert empty is not None
    assert (empty.messages, empty.redriven.high) == (0, 0)
    assert report(plan=dry, sample=Sample(), in_queue=9).forecast is None


def test_a_run_that_moves_messages_has_no_forecast():
    assert report().forecast is None
