"""Puts patches in place, if the installed ministack is the one that they were written for.

``local.ministack_compat.apply`` checks the version first, and each module replaces what it patches by :func:`replace`.
So another ministack fails at start with a clear message instead of somewhere in a test.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

PINNED_VERSION = "1.5.33"


class MinistackMisfitError(RuntimeError):
    """The installed ministack lacks what the patches rely on."""

    def __init__(self, version: str, expected: str) -> None:
        super().__init__(
            f"ministack {version} does not fit: expected {expected}; "
            f"pin {PINNED_VERSION} (requirements/cloud.in) or revise local/ministack_compat/"
        )


def installed_version() -> str:
    """Return the version of the installed ministack distribution, ``(none)`` when there is none."""
    try:
        return importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        return "(none)"


def check_version() -> None:
    """Raise MinistackMisfitError if another version is installed."""
    version = installed_version()
    if version != PINNED_VERSION:
        raise MinistackMisfitError(version, f"version {PINNED_VERSION}")


def replace(owner: Any, **patches: Any) -> None:
    """Replace attributes of a module or a class; raise MinistackMisfitError if it lacks one of them."""
    for name, patch in patches.items():
        if not hasattr(owner, name):
            raise MinistackMisfitError(installed_version(), f"{owner.__name__} to have {name}")
        setattr(owner, name, patch)
