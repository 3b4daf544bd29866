"""What cfn-lint finds in a template, and knows of Regions.

It is imported when a test wants it: each worker of pytest-xdist collects all tests, and importing it takes a second.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def linted(template: Path | str, ignored: Sequence[str] = ()) -> list[str]:
    """Return what cfn-lint finds wrong with a template, given as a file or as text: the rule, and what breaks it."""
    from cfnlint.api import lint, lint_file
    from cfnlint.config import ManualArgs

    config = ManualArgs(regions=["us-east-1"], ignore_checks=list(ignored))
    found = lint_file(template, config) if isinstance(template, Path) else lint(template, config=config)
    return [f"{match.rule.id}: {match.message}" for match in found]


def regions() -> list[str]:
    """Return the Regions that cfn-lint knows."""
    from cfnlint.helpers import REGIONS

    return list(REGIONS)


def resource_types(region: str) -> set[str]:
    """Return the types of resources that a Region has."""
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    return set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))
