"""JSON Patch (RFC 6902) for parsed bodies.

`redrive.domain.rules.repair` imports it only if a run has a patch, because few do and the import slows down every cold
start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from jsonpatch import CopyOperation, JsonPatch, JsonPatchConflict, JsonPatchException
from jsonpointer import JsonPointer, JsonPointerException

from redrive.domain.messages.json_text import ExactNumber, least_size
from redrive.domain.messages.message import MAX_BYTES

# What each operation needs besides its name (RFC 6902, section 4).
_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}


class DoesNotFitError(ValueError):
    """The patch can't be applied to this body: a path doesn't exist, or a test fails."""


def check_operation(operation: Mapping[str, Any]) -> None:
    """Refuse what isn't an operation of JSON Patch.

    Raises
    ------
    ValueError
        Says what is wrong, without any value.
    """
    name = operation.get("op")
    needed = _MEMBERS.get(name) if isinstance(name, str) else None
    if needed is None:
        raise ValueError(f"expected an op, one of {', '.join(_MEMBERS)}, found none of them")
    if operation.keys() - {"op", *needed}:
        # RFC 6902 ignores them, and then a misspelled one would go unnoticed.
        raise ValueError(f"{name} takes {', '.join(('op', *needed))}, found another member")
    for member in needed:
        if member not in operation:
            raise ValueError(f"{name} needs {member}, found none")
        if member != "value" and not _is_pointer(operation[member]):
            raise ValueError(f"expected {member} to be a JSON Pointer such as /items/0")


def _is_pointer(text: Any) -> bool:
    try:
        return isinstance(text, str) and JsonPointer(text) is not None
    except JsonPointerException:
        return False


class _BoundedCopy(CopyOperation):
    """Refuses copies of copies that no message can hold: each can double the body."""

    def apply(self, obj: Any) -> Any:
        found = super().apply(obj)
        if least_size(found) > MAX_BYTES:
            raise JsonPatchConflict("larger than any message")
        return found


class _BoundedPatch(JsonPatch):
    operations: ClassVar = MappingProxyType({**JsonPatch.operations, "copy": _BoundedCopy})


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
        for operation in operations:
            check_operation(operation)
        self._patch = _BoundedPatch(_exact(list(operations)))

    def __call__(self, content: Any) -> Any:
        """Return a patched copy of parsed JSON.

        Raises
        ------
        DoesNotFitError
            If the patch can't be applied.
        """
        try:
            return self._patch.apply(content)
        except (JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError, ArithmeticError) as error:
            raise DoesNotFitError(type(error).__name__) from None


def _exact(value: Any) -> Any:
    """Return JSON whose decimals compare equal to those of messages: as a float, 0.1 is a little more."""
    if isinstance(value, float):
        return ExactNumber(repr(value))
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    return [_exact(item) for item in value] if isinstance(value, list) else value
