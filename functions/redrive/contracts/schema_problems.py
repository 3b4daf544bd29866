"""Finds out where and why a value breaks a JSON Schema, without any value in the answer.

Used by `redrive.contracts.json_schema` for messages that the library found invalid. The library's own list of errors
quotes the message, and it grows exponentially with the depth of alternatives; this looks only into parts that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from jsonschema_rs import ValidationError, Validator, ValidatorMap, validator_for

from redrive.contracts.contract import MAX_PROBLEMS, Problem
from redrive.contracts.schema_costs import values_in
from redrive.contracts.schema_parts import Part, Parts, escaped
from redrive.contracts.schema_unique import UNIQUE_ITEMS

# Deeper problems are reported here: what is above is checked once more for each level.
_MAX_DEPTH = 30
# Parts that are looked into. A message that breaks a small contract in 20 places needs some 50.
_MAX_VISITS = 200
# How many values the search may check again: a fixed number, plus some for each value of the message. After that, it
# ends at the next problem.
_CHECKS = 10_000
_CHECKS_PER_VALUE = 5
# Keywords that look at the value alone, so each can be checked on its own.
_ALONE = (
    "type", "const", "enum", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength",
    "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "format",
)  # fmt: skip
# Keywords that are reported themselves, whatever fails inside.
_WHOLE = ("anyOf", "oneOf", "not", "contains", "unevaluatedItems", "unevaluatedProperties")

type Path = tuple[str | int, ...]
# A subschema, its pointer, the value that it applies to, and the value's path.
type Applied = tuple[Any, str, Any, Path]


class Problems:
    """Finds the problems of values that break one schema.

    Parameters
    ----------
    parts : Parts
        The schema's parts.
    draft : int
        Its draft: 4, 6, 7, 2019, or 2020.
    validators : ValidatorMap
        A validator for each part, by JSON pointer.
    bounded : str
        The keyword that stands for patterns which the library doesn't match itself.
    matches : Callable[[str, str], bool]
        Whether such a pattern matches a text.
    """

    def __init__(
        self, parts: Parts, draft: int, validators: ValidatorMap, bounded: str, matches: Callable[[str, str], bool]
    ) -> None:
        self._parts = parts
        self._draft = draft
        self._validators = validators
        self._bounded = bounded
        self._matches = matches
        self._alone = cache(self._validator_alone)
        self._names = cache(self._name_pattern)
        # Parts and paths that were looked into: several ways can lead to them.
        self._seen: set[tuple[int, Path]] = set()
        self._left = 0

    def of(self, content: Any, where: str, known: frozenset[str]) -> list[Problem]:
        """Return the first problems of a value, which is invalid.

        Parameters
        ----------
        content : Any
            The value.
        where : str
            Its place.
        known : frozenset[str]
            Names of the schema. Other names come from the message, so they can contain anything.
        """
        found: dict[Problem, None] = {}
        self._seen.clear()
        self._left = _CHECKS + _CHECKS_PER_VALUE * values_in(content)
        for problem in self._in(self._parts.root, content, ()):
            if problem is None:
                continue
            path, what = problem
            names = [str(step) if isinstance(step, int) or step in known else "*" for step in path]
            found[Problem(".".join([where, *names]), what)] = None
            if len(found) == MAX_PROBLEMS:
                break
        return list(found)

    def _in(self, part: Part, value: Any, path: Path) -> Iterator[tuple[Path, str] | None]:
        """Yield path and keyword of each problem of a value that breaks a part; None for those known already."""
        if (id(part), path) in self._seen or len(self._seen) >= _MAX_VISITS:
            yield None
            return
        self._seen.add((id(part), path))
        schema, nothing = part.schema, True
        for keyword in schema:
            if self._draft <= 7 and "$ref" in schema and keyword != "$ref":
                continue
            for problem in self._of_keyword(part, keyword, value, path):
                nothing = False
                yield problem
                if self._left < 0:
                    return
        if nothing:
            # A keyword that depends on what others found.
            yield path, next((keyword for keyword in (*_WHOLE[::-1], "$dynamicRef") if keyword in schema), "schema")

    def _of_keyword(self, part: Part, keyword: str, value: Any, path: Path) -> Iterator[tuple[Path, str] | None]:
        wanted = part.schema[keyword]
        if keyword == "required":
            if isinstance(value, dict):
                yield from (((*path, name), keyword) for name in wanted if name not in value)
        elif self._fails(part, keyword, value):
            yield path, "pattern" if keyword == self._bounded else keyword
        else:
            for below, pointer, inner, at in self._applied(part, keyword, value, path):
                if below is False:
                    yield at, keyword
                elif isinstance(below, dict) and not self._valid(pointer, inner):
                    if len(at) > _MAX_DEPTH or self._left < 0:
                        yield at, keyword
                    else:
                        yield from self._in(self._parts.of(below), inner, at)

    def _fails(self, part: Part, keyword: str, value: Any) -> bool:
        """Return whether a value breaks a keyword that is reported itself."""
        wanted = part.schema[keyword]
        if keyword in _ALONE:
            return not self._alone(part.pointer, keyword).is_valid(value)
        if keyword == self._bounded:
            return isinstance(value, str) and not self._matches(wanted, value)
        if keyword in {"dependentRequired", "dependencies"}:
            return _lacks(wanted, value)
        return keyword in {"anyOf", "oneOf", "not", "contains"} and self._whole_fails(part, keyword, value)

    def _applied(self, part: Part, keyword: str, value: Any, path: Path) -> Iterator[Applied]:
        """Yield the subschemas that a keyword applies, each with what it applies to."""
        schema = part.schema
        wanted = schema[keyword]
        pointer = f"{part.pointer}/{keyword}"
        if keyword == "$ref":
            target = self._parts.target(part, wanted)
            below, place = (target.schema, target.pointer) if isinstance(target, Part) else (target, pointer)
            yield below, place, value, path
        elif keyword == "allOf":
            yield from ((below, f"{pointer}/{index}", value, path) for index, below in enumerate(wanted))
        elif keyword in {"then", "else"} and "if" in schema:
            if self._holds(schema["if"], f"{part.pointer}/if", value) is (keyword == "then"):
                yield wanted, pointer, value, path
        elif isinstance(value, dict):
            yield from self._applied_to_members(schema, keyword, pointer, value, path)
        elif isinstance(value, list):
            first = _first_other_item(schema, keyword)
            if isinstance(wanted, list) and keyword in {"prefixItems", "items"}:
                for index, (below, item) in enumerate(zip(wanted, value, strict=False)):
                    yield below, f"{pointer}/{index}", item, (*path, index)
            elif keyword == "items" or (keyword == "additionalItems" and first):
                if wanted is False and len(value) > first:
                    yield False, pointer, value, path
                else:
                    for index, item in enumerate(value[first:], first):
                        yield wanted, pointer, item, (*path, index)

    def _applied_to_members(
        self, schema: dict[str, Any], keyword: str, pointer: str, value: dict[str, Any], path: Path
    ) -> Iterator[Applied]:
        wanted = schema[keyword]
        if keyword in {"properties", "dependentSchemas", "dependencies"}:
            for name in wanted:
                if name in value:
                    inside = keyword == "properties"
                    inner, at = (value[name], (*path, name)) if inside else (value, path)
                    yield wanted[name], f"{pointer}/{escaped(name)}", inner, at
        elif keyword == "patternProperties":
            for pattern, below in wanted.items():
                for name, member in value.items():
                    if self._names(pattern).is_valid(name):
                        yield below, f"{pointer}/{escaped(pattern)}", member, (*path, name)
        elif keyword == "additionalProperties":
            patterns = [self._names(pattern) for pattern in schema.get("patternProperties") or ()]
            for name, member in value.items():
                if name not in (schema.get("properties") or {}) and not any(one.is_valid(name) for one in patterns):
                    yield wanted, pointer, member, path if wanted is False else (*path, name)
        elif keyword == "propertyNames":
            yield from ((wanted, pointer, name, path) for name in value)

    def _whole_fails(self, part: Part, keyword: str, value: Any) -> bool:
        schema = part.schema[keyword]
        pointer = f"{part.pointer}/{keyword}"
        if keyword == "not":
            return self._holds(schema, pointer, value)
        if keyword == "contains":
            if not isinstance(value, list):
                return False
            count = sum(self._holds(schema, pointer, item) for item in value)
            least, most = part.schema.get("minContains", 1), part.schema.get("maxContains", len(value))
            return not least <= count <= most
        holding = 0
        for index, one in enumerate(schema):
            holding += self._holds(one, f"{pointer}/{index}", value)
            if self._left < 0:
                # The value breaks this keyword, or another that is about the same value.
                return True
        return holding == 0 if keyword == "anyOf" else holding != 1

    def _holds(self, schema: Any, pointer: str, value: Any) -> bool:
        return schema if isinstance(schema, bool) else self._valid(pointer, value)

    def _valid(self, pointer: str, value: Any) -> bool:
        validator = self._validators.get(pointer)
        self._left -= values_in(value)
        return validator is None or validator.is_valid(value)

    def _validator_alone(self, pointer: str, keyword: str) -> Validator:
        part = next(part for part in self._parts if part.pointer == pointer)
        schema = {"$schema": _DRAFTS[self._draft], keyword: part.schema[keyword]}
        # Up to draft 4, these are flags of another keyword.
        for flag in ("exclusiveMaximum", "exclusiveMinimum") if self._draft == 4 else ():
            if keyword == flag.replace("exclusiveM", "m") and flag in part.schema:
                schema[flag] = part.schema[flag]
        try:
            return validator_for(schema, keywords=UNIQUE_ITEMS, offline=True, validate_formats=True)
        except ValidationError:
            # A flag without its keyword.
            return validator_for({}, offline=True)

    def _name_pattern(self, pattern: str) -> Validator:
        return validator_for({"pattern": pattern}, offline=True)


_DRAFTS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}


def _lacks(wanted: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    lists = [names for name, names in wanted.items() if name in value and isinstance(names, list)]
    return any(name not in value for names in lists for name in names)


def _first_other_item(schema: dict[str, Any], keyword: str) -> int:
    """Return how many items the keyword for the other items leaves to the keyword for the first ones."""
    first = schema.get("prefixItems" if keyword == "items" else "items")
    return len(first) if isinstance(first, list) else 0
