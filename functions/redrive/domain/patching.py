"""JSON Patch (RFC 6902) on parsed bodies, by the library jsonpatch.

Imported by `redrive.domain.repair` only when a run has a patch: few have, and each cold start would pay for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException


class DoesNotFitError(ValueError):
    """The patch cannot be applied to this body: a path is not there, or a test fails."""


class Patch:
    """A JSON Patch.

    Parameters
    ----------
    operations : Sequence[Any]
        Its operations.

    Raises
    ------
    ValueError
        Where they are no JSON Patch; the text says why.
    """

    def __init__(self, operations: Sequence[Any]) -> None:
        try:
            self._patch = JsonPatch(list(operations))
        except (JsonPatchException, JsonPointerException, KeyError, TypeError) as error:
            raise ValueError(f"not a JSON Patch: {error}") from None

    def __call__(self, content: Any) -> Any:
        """Return a patched copy of parsed JSON.

        Raises
        ------
        DoesNotFitError
            Where the patch cannot be applied.
        """
        try:
            return self._patch.apply(content)
        except (JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError) as error:
            raise DoesNotFitError(type(error).__name__) from None
