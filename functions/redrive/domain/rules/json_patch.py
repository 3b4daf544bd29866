"""JSON Patch (RFC 6902) for parsed bodies.

`redrive.domain.rules.repair` imports it only if a run has a patch, because few do and the import slows down every cold
start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from redrive.domain.messages.json_text import ExactNumber


class DoesNotFitError(ValueError):
    """The patch can't be applied to this body: a path doesn't exist, or a test fails."""


class Patch:
    """A JSON Patch.

    Parameters
    ----------
    operations : Sequence[Any]
        The patch's operations.

    Raises
    ------
    ValueError
        If the operations aren't a JSON Patch; the text says why.
    """

    def __init__(self, operations: Sequence[Any]) -> None:
        try:
            self._patch = JsonPatch(_exact(list(operations)))
        except (JsonPatchException, JsonPointerException, KeyError, TypeError) as error:
            raise ValueError(f"not a JSON Patch: {error}") from None

    def __call__(self, content: Any) -> Any:
        """Return a patched copy of parsed JSON.

        Raises
        ------
        DoesNotFitError
            If the patch can't be applied.
        """
        try:
            return self._patch.apply(content)
        except (JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError) as error:
            raise DoesNotFitError(type(error).__name__) from None


def _exact(value: Any) -> Any:
    """Return JSON whose decimals compare equal to those of messages: as a float, 0.1 is a little more."""
    if isinstance(value, float):
        return ExactNumber(repr(value))
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    return [_exact(item) for item in value] if isinstance(value, list) else value
