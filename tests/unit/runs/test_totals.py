"""Totals: every number adds up, whichever field it is in and whichever field is added later."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.model import DisplayName
from redrive.domain.moving.results import Counts, SliceResult, Totals
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally

numbers = st.integers(0, 1_000_000)
codes = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 1000))
counts = st.builds(Counts, **dict.fromkeys(Counts.model_fields, numbers))


def of_any(model: type[Totals], **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return instances with a drawn value in every field that `Totals` has, those that don't exist yet included."""
    by_type: dict[Any, st.SearchStrategy[Any]] = {int: numbers, dict[DisplayName, int]: codes, Counts: counts}
    drawn = {name: by_type[field.annotation] for name, field in Totals.model_fields.items()}
    return st.builds(model, **drawn, **others)


slices = of_any(SliceResult, calls=codes, seconds=st.integers(0, 1000).map(float), drained=st.booleans())


def added(one: Any, other: Any) -> Any:
    """Return the sum, by code if there are codes."""
    if isinstance(one, dict):
        return {code: one.get(code, 0) + other.get(code, 0) for code in one.keys() | other.keys()}
    return one + other


@given(counts, counts)
@settings(deadline=None)
def test_every_count_adds_up(one, other):
    total = one + other
    for name in Counts.model_fields:
        assert getattr(total, name) == getattr(one, name) + getattr(other, name)


@given(of_any(Totals), of_any(Totals))
@settings(deadline=None)
def test_every_field_of_totals_adds_up(one, other):
    total = one.plus(other)
    for name in Totals.model_fields:
        assert getattr(total, name) == added(getattr(one, name), getattr(other, name)), name


@given(of_any(Tally, rounds=numbers, drained=st.booleans()), slices)
@settings(deadline=None)
def test_adding_a_slice_leaves_what_only_a_tally_has(tally, result):
    total = tally.plus(result)
    assert isinstance(total, Tally)
    kept = Tally.model_fields.keys() - Totals.model_fields.keys()
    assert total.model_dump(include=kept) == tally.model_dump(include=kept)


@given(slices, slices)
@settings(deadline=None)
def test_a_slice_after_an_interrupted_attempt_counts_both_and_ends_as_the_later_one(result, before):
    total = result.after(before)
    # What the earlier attempt gave back was in reach of the later one.
    before = before.model_copy(update={"counts": before.counts.model_copy(update={"released": 0})})
    for name in (*Totals.model_fields, "calls", "seconds"):
        assert getattr(total, name) == added(getattr(result, name), getattr(before, name)), name
    assert (total.drained, total.stopped, total.failure) == (result.drained, result.stopped, result.failure)


@given(st.lists(slices, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_it_does_not_matter_which_lane_did_what(results, chance: random.Random):
    shuffled = chance.sample(results, len(results))
    one, other = Tally(), Tally()
    for result, another in zip(results, shuffled, strict=True):
        one, other = one.plus(result), other.plus(another)
    assert one == other


@pytest.mark.parametrize("model", [SliceResult, Tally, Report])
def test_slice_tally_and_report_have_the_fields_of_totals_and_no_count_of_their_own(model):
    assert Totals.model_fields.keys() <= model.model_fields.keys()
    assert not Counts.model_fields.keys() & model.model_fields.keys()


def test_what_was_moved_and_what_stayed_do_not_count_a_message_twice():
    total = Counts(redriven=5, repaired=3, quarantined=2, skipped=4, bounced=1, failed=1)
    assert (total.moved, total.stayed) == (7, 5)
