"""Which values of a valid message its contract marks as safe to show: those that matched a part which has the mark.

Used by contracts, and by the sample through `MessageContract.marks`. A contract can offer alternatives (`anyOf`,
`oneOf`, `if`), and the same field can be safe in one of them only. So a value is followed from the top of the message
through the parts that it matched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, RootModel

from redrive.contracts.contract import schema_of
from redrive.contracts.schema_parts import InvalidSchemaError, Part, Parts

_SAFE, _PERSONAL = "x-safe", "x-personal"
# What pydantic's JSON Schemas call the types that parsed values can have. Values of other types may be of any.
_TYPES: Mapping[type, frozenset[str]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}
_PYDANTIC_DRAFT = 2020

#: Whether a part applies to a value; None if that isn't known.
type Holds = Callable[[Part, Any], bool | None]


class _All(tuple["_Matched", ...]):
    """What a value matched all of."""

    __slots__ = ()


class _Each(tuple["_Matched", ...]):
    """The alternatives that a value matched, each of which could be the one that was meant."""

    __slots__ = ()


type _Matched = Part | _All | _Each

# Stands for an alternative that the value may have matched: nothing in it is safe.
_UNMARKED = _Each()


@dataclass(frozen=True, slots=True)
class _Schema:
    parts: Parts
    draft: int
    holds: Holds


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one value of a valid message."""

    _schema: _Schema
    _matched: _Matched
    #: All parts that are about the value, matched or not, each with the schema that it is in.
    _about: tuple[tuple[Parts, Part], ...]
    #: The value as the contract parsed it.
    _value: Any

    def allow(self, content: Any) -> bool:
        """Return whether the value, which is `content` in the message, may be shown."""
        # A validator that changed a text didn't check what is in the message.
        same = not isinstance(self._value, str) or self._value == content
        return same and not self._personal and _is_safe(self._matched)

    @property
    def _personal(self) -> bool:
        """Whether any part says that the value and what is in it are personal, even one that it didn't match."""
        return any(part.schema.get(_PERSONAL) is True for _, part in self._about)

    def below(self, step: str | int) -> Marks | None:
        """Return the marks of a member or an item, or None if the contract says nothing about it."""
        found, value = _value_at(self._value, step)
        if not found or self._personal:
            return None
        about = tuple(
            (parts, one)
            for parts, part in self._about
            if (below := _part_at(parts, part, step)) is not None
            for one in _closure(below)
        )
        if isinstance(value, BaseModel):
            # The model that pydantic chose, whatever the alternatives were.
            return _marks_of_model(value, about)
        matched = _matched_at(self._schema, self._matched, step, value)
        return None if matched is None else Marks(self._schema, matched, about, value)


def marks_of_json(parts: Parts, draft: int, holds: Holds, value: Any) -> Marks:
    """Return the marks of a JSON value that satisfies a JSON Schema.

    Parameters
    ----------
    parts, draft : Parts, int
        The schema.
    holds : Holds
        Whether a value satisfies a part.
    value : Any
        The value.
    """
    schema = _Schema(parts, draft, holds)
    about = tuple((parts, part) for part in _closure(parts.root))
    return Marks(schema, _applied(schema, parts.root, value), about, value)


def marks_of_model(parsed: BaseModel) -> Marks | None:
    """Return the marks of what pydantic parsed, or None if its model has no usable JSON Schema."""
    return _marks_of_model(parsed, ())


# Models


def _marks_of_model(parsed: BaseModel, about: tuple[tuple[Parts, Part], ...]) -> Marks | None:
    schema = _schema_of_model(type(parsed))
    if schema is None:
        return None
    value = parsed.root if isinstance(parsed, RootModel) else parsed
    parts = schema.parts
    about = (*about, *((parts, part) for part in _closure(parts.root)))
    if isinstance(value, BaseModel) and value is not parsed:
        return _marks_of_model(value, about)
    return Marks(schema, _applied(schema, parts.root, value), about, value)


@cache
def _schema_of_model(model: type[BaseModel]) -> _Schema | None:
    try:
        parts = Parts(dict(schema_of(model)), _PYDANTIC_DRAFT)
    except InvalidSchemaError:
        return None

    def holds(part: Part, value: Any) -> bool | None:
        types, names = _TYPES.get(type(value)), part.schema.get("type")
        return None if types is None or not isinstance(names, str) else names in types

    return _Schema(parts, _PYDANTIC_DRAFT, holds)


def _value_at(value: Any, step: str | int) -> tuple[bool, Any]:
    """Return whether a value has a member or an item, and which."""
    if isinstance(value, BaseModel):
        name = _field_names(type(value)).get(str(step))
        return (False, None) if name is None else (True, getattr(value, name))
    if isinstance(value, dict) and isinstance(step, str):
        return step in value, value.get(step)
    if isinstance(value, (list, tuple)) and isinstance(step, int):
        return step < len(value), value[step] if step < len(value) else None
    return False, None


@cache
def _field_names(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the names of a model's fields by their names in JSON."""
    found = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        found[alias if isinstance(alias, str) else field.alias or name] = name
    return found


# Parts


def _is_safe(matched: _Matched) -> bool:
    match matched:
        case _All():
            return any(map(_is_safe, matched))
        case _Each():
            return bool(matched) and all(map(_is_safe, matched))
    return matched.schema.get(_SAFE) is True


def _applied(schema: _Schema, part: Part, value: Any) -> _Matched:
    """Return a part with all that it applies to the same value, as far as the value matched it."""
    of = schema.parts.of
    keywords, found = part.schema, list[_Matched]([part])
    if isinstance(reference := keywords.get("$ref"), str):
        referred = schema.parts.target(part, reference)
        target = _applied(schema, referred, value) if isinstance(referred, Part) else _UNMARKED
        if schema.draft <= 7:
            # Nothing next to a $ref counts.
            return target
        found.append(target)
    found += (_applied(schema, of(one), value) for one in keywords.get("allOf") or () if isinstance(one, dict))
    for keyword in ("anyOf", "oneOf"):
        if isinstance(alternatives := keywords.get(keyword), list):
            matched = (_alternative(schema, one, value) for one in alternatives)
            found.append(_Each(one for one in matched if one is not None))
    if isinstance(condition := keywords.get("if"), dict):
        held = schema.holds(of(condition), value)
        branches = {True: (condition, keywords.get("then")), False: (keywords.get("else"),), None: ()}[held]
        found += (_applied(schema, of(one), value) for one in branches if isinstance(one, dict))
    return _All(found)


def _alternative(schema: _Schema, one: Any, value: Any) -> _Matched | None:
    """Return an alternative if the value matched it; one that can't be followed counts as unmarked."""
    if not isinstance(one, dict):
        return _UNMARKED if one else None
    part = schema.parts.of(one)
    held = schema.holds(part, value)
    if held is None:
        return _UNMARKED
    return _applied(schema, part, value) if held else None


def _matched_at(schema: _Schema, matched: _Matched, step: str | int, value: Any) -> _Matched | None:
    """Return what a member or an item matched, or None if nothing that its parent matched is about it."""
    if isinstance(matched, Part):
        part = _part_at(schema.parts, matched, step)
        return None if part is None else _applied(schema, part, value)
    if matched is _UNMARKED:
        return matched
    below = [one for each in matched if (one := _matched_at(schema, each, step, value)) is not None]
    return type(matched)(below) if below else None


def _part_at(parts: Parts, part: Part, step: str | int) -> Part | None:
    """Return the part about a named member, or about an item."""
    if isinstance(step, str):
        found = (part.schema.get("properties") or {}).get(step)
    else:
        first, others = part.schema.get("prefixItems"), part.schema.get("items")
        if isinstance(others, list):
            first, others = others, None
        in_first = isinstance(first, list) and step < len(first)
        found = first[step] if isinstance(first, list) and in_first else others
    return parts.of(found) if isinstance(found, dict) else None


def _closure(part: Part) -> tuple[Part, ...]:
    """Return a part with all that may apply to the same value."""
    found: dict[int, Part] = {}
    pending = [part]
    while pending:
        one = pending.pop()
        if id(one) not in found:
            found[id(one)] = one
            pending += one.same
    return tuple(found.values())
