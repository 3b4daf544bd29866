"""Finds out what a JSONata expression refers to, so that a misspelled name doesn't pass as "undefined".

Used by the test of the state machine definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jsonata import Jsonata  # type: ignore[import-untyped]


@dataclass
class Reading:
    """What an expression refers to.

    Attributes
    ----------
    paths : set[tuple[str, ...]]
        Variables that it does not bind itself, each with the names after it: `$plan.dlq.name` is
        ("plan", "dlq", "name").
    functions : set[str]
        Functions that it calls.
    """

    paths: set[tuple[str, ...]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


def expressions(found: Any, *, below: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return every JSONata expression in a part of a definition, with the keys that lead to it."""
    if isinstance(found, str) and found.startswith("{%") and found.endswith("%}"):
        yield below, found[2:-2].strip()
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from expressions(value, below=(*below, key))
    elif isinstance(found, list):
        for value in found:
            yield from expressions(value, below=below)


def read(expression: str) -> Reading:
    """Return what an expression refers to; it raises if the expression can't be parsed."""
    reading, bound = Reading(), set()
    for node in _nodes(Jsonata(expression).ast):
        match node.type:
            case "bind":
                bound.add(node.lhs.value)
            case "function":
                reading.functions.add(node.procedure.value)
            case "path":
                names = [step.value for step in node.steps if step.type in {"variable", "name"}]
                if node.steps[0].type == "variable":
                    reading.paths.add(tuple(names))
            case "variable":
                reading.paths.add((node.value,))
    called = {(name,) for name in reading.functions}
    reading.paths = {path for path in reading.paths if path[0] not in bound and path not in called}
    return reading


def _nodes(found: Any, seen: set[int] | None = None) -> Iterator[Any]:
    seen = set() if seen is None else seen
    if id(found) in seen:
        return
    seen.add(id(found))
    if isinstance(found, (list, tuple)):
        for part in found:
            yield from _nodes(part, seen)
    elif hasattr(found, "type") and hasattr(found, "__dict__"):
        yield found
        for name, part in vars(found).items():
            if not name.startswith("_outer"):
                yield from _nodes(part, seen)
