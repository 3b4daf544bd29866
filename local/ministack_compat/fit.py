"""Checks that the installed ministack is the one the patches were written for.

``local.ministack_compat.apply`` calls it before it changes anything, so that another ministack fails at start with a
clear message instead of somewhere in a test.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable

PINNED_VERSION = "1.5.33"


class MinistackMisfitError(RuntimeError):
    """The installed ministack lacks what the patches rely on."""

    def __init__(self, version: str, expected: str) -> None:
        super().__init__(
            f"ministack {version} does not fit: expected {expected}; "
            f"pin {PINNED_VERSION} (requirements/cloud.txt) or revise local/ministack_compat/"
        )


def installed_version() -> str:
    """Return the version of the installed ministack distribution, ``(none)`` when there is none."""
    try:
        return importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        return "(none)"


def check(anchors: Iterable[str]) -> None:
    """Check the version, and that each anchor exists.

    Parameters
    ----------
    anchors
        Dotted names below ``ministack``, such as ``services.sqs:_collect_msgs`` or
        ``core.lambda_runtime:Worker._spawn``.

    Raises
    ------
    MinistackMisfitError
        The version is another one, or an anchor is missing.
    """
    version = installed_version()
    if version != PINNED_VERSION:
        raise MinistackMisfitError(version, f"version {PINNED_VERSION}")
    for anchor in anchors:
        module_name, _, attributes = anchor.partition(":")
        try:
            found = importlib.import_module(f"ministack.{module_name}")
            for attribute in attributes.split("."):
                found = getattr(found, attribute)
        except (ImportError, AttributeError):
            raise MinistackMisfitError(version, f"ministack.{module_name} to have {attributes}") from None
