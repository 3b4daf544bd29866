"""A pytest plugin for `tools.mutation`: the quick tests run first, and property tests repeat and don't shrink."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

# The first example that fails is enough to kill a mutant, and the same mutants are killed each time.
settings.register_profile("mutation", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put property tests last; within each kind, the order stays."""
    items.sort(key=_is_property)


def _is_property(item: pytest.Item) -> bool:
    test = getattr(item, "obj", None)
    return bool(getattr(test, "is_hypothesis_test", False))
