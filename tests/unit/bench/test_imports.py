"""The comparison of import times is the same on a machine whose speed changes all the time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.imports import compared

FACTORS = {"light": 1.2, "heavy": 2.0}


def measured(slowness: Iterable[float], rounds: int) -> dict[str, float]:
    """Return what is found on a machine that is so many times as slow at each measurement."""
    now = iter(slowness)
    return compared(tuple(FACTORS), lambda name: FACTORS[name] * next(now), lambda: next(now), rounds)


@given(st.floats(0.5, 2.0), st.floats(-0.02, 0.02))
def test_a_machine_that_becomes_faster_or_slower_changes_nothing(at_first: float, change: float) -> None:
    slowness = (at_first * (1 + change) ** step for step in itertools.count())
    assert measured(slowness, 5) == pytest.approx(FACTORS, rel=0.001)


@given(st.lists(st.floats(1.0, 3.0), min_size=30, max_size=30))
def test_rounds_in_which_the_machine_is_busy_change_nothing(busy: list[float]) -> None:
    # A round has five measurements, so these are 6 of 15 rounds.
    assert measured(itertools.chain(busy, itertools.repeat(1.0)), 15) == pytest.approx(FACTORS)
