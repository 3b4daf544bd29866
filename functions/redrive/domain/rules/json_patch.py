"""JSON Patch (RFC 6902) for parsed bodies.

`redrive.domain.rules.repair` imports it only if a run has a patch, because few do and the import slows down every cold
start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointer, JsonPointerException

from redrive.contracts.work import Work
from redrive.domain.messages.json_text import ExactNumber, least_size, length, same
from redrive.domain.messages.message import MAX_BYTES

# Steps of at most 0.5 µs: of any operation, and of copying an array or an object without what is in it.
_OPERATION = 40
_CONTAINER = 8
# Characters that are compared or counted for the price of one step.
_CHARACTERS = 64
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
        raise ValueError(f"expected {', '.join(('op', *needed))} as the members of {name}, found another; remove it")
    for member in needed:
        if member not in operation:
            raise ValueError(f"expected {name} to have {member}, found none; add it")
        if member != "value" and not _is_pointer(operation[member]):
            raise ValueError(f"expected {member} to be a JSON Pointer such as /items/0, found something else")


def _is_pointer(text: Any) -> bool:
    try:
        return isinstance(text, str) and JsonPointer(text) is not None
    except JsonPointerException:
        return False


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
        self._operations = [_Operation(operation) for operation in _exact(list(operations))]

    def __call__(self, content: Any, work: Work) -> Any:
        """Return a patched copy of parsed JSON.

        Parameters
        ----------
        content : Any
            Parsed JSON, numbers exact.
        work : Work
            Steps that the message has left.

        Raises
        ------
        DoesNotFitError
            If the patch can't be applied, or makes something larger than any message.
        TooMuchWorkError
            If it copies and compares too much.
        """
        try:
            found = _copied(content)
            size = least_size(found)
            for operation in self._operations:
                found, more = operation(found, work)
                size += more
                if more and size > MAX_BYTES:
                    # What it replaced doesn't count.
                    work.take(size // _CHARACTERS)
                    size = least_size(found)
                    if size > MAX_BYTES:
                        raise DoesNotFitError("larger than any message")
        except (JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError, ArithmeticError) as error:
            raise DoesNotFitError(type(error).__name__) from None
        return found


class _Operation:
    """One operation of a patch."""

    def __init__(self, operation: Mapping[str, Any]) -> None:
        self._name = operation["op"]
        self._value = operation.get("value")
        self._pointer = JsonPointer(operation["from" if self._name == "copy" else "path"])
        self._patch = JsonPatch([operation])

    def __call__(self, content: Any, work: Work) -> tuple[Any, int]:
        """Apply it to the content itself; return what becomes of it, and how many characters may have been added."""
        work.take(_OPERATION)
        if self._name == "test":
            # The library's own error has the text of both values.
            found = self._pointer.resolve(content)
            _take(self._value, work)
            if not same(found, self._value):
                raise DoesNotFitError("test")
            return content, 0
        more = 0
        if self._name in {"add", "replace", "copy"}:
            added = self._pointer.resolve(content) if self._name == "copy" else self._value
            more = _take(added, work)
        return self._patch.apply(content, in_place=True), more


def _take(value: Any, work: Work) -> int:
    """Take the steps of copying or comparing a value before it is done; return its size as `least_size` does."""
    size, pending = 0, [value]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            names = sum(map(len, found))
            size += 1 + names
            work.take(_CONTAINER + 2 * len(found) + names // _CHARACTERS)
            pending += found.values()
        elif isinstance(found, list):
            size += 1
            work.take(_CONTAINER + len(found))
            pending += found
        else:
            characters = length(found)
            size += 1 + characters
            work.take(1 + characters // _CHARACTERS)
    return size


def _copied(value: Any) -> Any:
    """Return a copy of parsed JSON: much faster than that of the standard library."""
    if isinstance(value, dict):
        return {name: _copied(member) if isinstance(member, (dict, list)) else member for name, member in value.items()}
    if isinstance(value, list):
        return [_copied(item) if isinstance(item, (dict, list)) else item for item in value]
    return value


def _exact(value: Any) -> Any:
    """Return JSON whose decimals compare equal to those of messages: as a float, 0.1 is a little more."""
    if isinstance(value, float):
        return ExactNumber(repr(value))
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    return [_exact(item) for item in value] if isinstance(value, list) else value
