"""The parts of a JSON Schema: which subschemas it applies, what its references refer to, how much work a value takes.

Used by `redrive.contracts.json_schema` when a contract is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from redrive.contracts.schema_costs import Cost, highest, own_cost, times, total

# Steps that one value may take. Contracts that real queues have take 5 to 500.
MAX_STEPS = 100_000
_UNEVALUATED_FACTOR = 3

# Keywords that contain subschemas: by name, in a list, or one. The first three groups apply to the same value.
SAME_MAPS = ("dependentSchemas", "dependencies")
SAME_LISTS = ("allOf", "anyOf", "oneOf")
SAME = ("not", "if", "then", "else")
MEMBER_MAPS = ("properties", "patternProperties")
MEMBERS = ("additionalProperties", "unevaluatedProperties", "propertyNames")
ITEMS = ("additionalItems", "unevaluatedItems", "contains", "items")
DEFINITIONS = ("$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

DIALECTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}


class InvalidSchemaError(ValueError):
    """A document isn't a usable JSON Schema; the text says where and why."""


@dataclass(slots=True, eq=False)
class Part:
    """A subschema and where it is."""

    schema: dict[str, Any]
    #: JSON pointer from the top of the document.
    pointer: str
    #: Its base URI, which references are relative to.
    base: str
    #: Parts that apply to the same value.
    same: list[Part] = field(default_factory=list)
    #: Parts of which at most one applies to a member or an item, by position or name.
    one_of_below: list[Part] = field(default_factory=list)
    #: Other parts that apply to members.
    members: list[Part] = field(default_factory=list)
    #: Other parts that apply to items.
    items: list[Part] = field(default_factory=list)
    #: It has a $ref, and nothing next to it counts: up to draft 7.
    only_refers: bool = False
    #: Upper bound of the steps for one value.
    cost: Cost | None = None
    #: A reference leads back to it, so the library checks it once for each value.
    recursive: bool = False


class Parts:
    """All parts of a schema that can apply to a value, found from its top by keywords and references.

    Parameters
    ----------
    document : dict[str, Any]
        A schema that its metaschema allows.
    draft : int
        Its draft: 4, 6, 7, 2019, or 2020.

    Raises
    ------
    InvalidSchemaError
        If a reference refers to nothing in the document or back to itself, or if one value could take too much work.
    """

    def __init__(self, document: dict[str, Any], draft: int) -> None:
        self._document = document
        self._draft = draft
        self._parts: dict[int, Part] = {}
        self._anchors: dict[str, dict[str, Any]] = {}
        self._bases: dict[int, str] = {}
        self._dynamic: list[dict[str, Any]] = []
        self._index(document, "")
        self.root = self._part(document, "#", self._bases[id(document)])
        pending = [self.root]
        while pending:
            pending += self._connect(pending.pop())
        self._find_loops()
        self.cost = total(cost_of(part) for part in self if part.recursive or part is self.root)
        if self.cost.value > MAX_STEPS:
            raise InvalidSchemaError(
                f"its references and combinations multiply: one value can take {self.cost.value:,} steps; the limit is "
                f"{MAX_STEPS:,}"
            )

    def __iter__(self) -> Iterator[Part]:
        return iter(list(self._parts.values()))

    def of(self, schema: dict[str, Any]) -> Part:
        """Return the part that a subschema of the document is."""
        return self._parts[id(schema)]

    def renamed(self, part: Part, pattern: str, name: str) -> str:
        """Let a part have another text for one of its patterns of names, and return it."""
        below = part.schema["patternProperties"]
        part.schema["patternProperties"] = {name if one == pattern else one: schema for one, schema in below.items()}
        place = f"{part.pointer}/patternProperties/"
        old, new = place + escaped(pattern), place + escaped(name)
        for one in self:
            if f"{one.pointer}/".startswith(f"{old}/"):
                one.pointer = new + one.pointer.removeprefix(old)
        return name

    def find(self, schema: Any) -> Part | None:
        """Return the part that something in the document is, or None if it is none."""
        return self._parts.get(id(schema))

    def target(self, part: Part, reference: str) -> Part | bool:
        """Return what a `$ref` in a part refers to."""
        found = self._resolved(part, reference)
        return found if isinstance(found, bool) else self._parts[id(found)]

    # Subschemas by keyword and reference

    def _connect(self, part: Part) -> list[Part]:
        schema, new = part.schema, []

        def add(found: Any, pointer: str, to: list[Part]) -> None:
            if isinstance(found, dict):
                known = id(found) in self._parts
                below = self._part(found, pointer, self._bases.get(id(found), part.base))
                to.append(below)
                new.extend([] if known else [below])

        part.only_refers = self._draft <= 7 and isinstance(schema.get("$ref"), str)
        for name in _REFERENCES:
            if isinstance(reference := schema.get(name), str):
                for found in self._targets(part, name, reference):
                    add(found, self._pointers.get(id(found), "#"), part.same)
        for keyword, value in () if part.only_refers else schema.items():
            pointer = f"{part.pointer}/{escaped(keyword)}"
            if isinstance(value, list) and keyword in {*SAME_LISTS, "prefixItems", "items"}:
                for index, found in enumerate(value):
                    add(found, f"{pointer}/{index}", part.same if keyword in SAME_LISTS else part.one_of_below)
            elif isinstance(value, dict) and keyword in {*SAME_MAPS, *MEMBER_MAPS}:
                to = part.one_of_below if keyword == "properties" else part.members
                for name, found in value.items():
                    add(found, f"{pointer}/{escaped(name)}", part.same if keyword in SAME_MAPS else to)
            elif keyword in SAME:
                add(value, pointer, part.same)
            elif keyword in {*MEMBERS, *ITEMS}:
                add(value, pointer, part.members if keyword in MEMBERS else part.items)
        return new

    def _part(self, schema: dict[str, Any], pointer: str, base: str) -> Part:
        return self._parts.setdefault(id(schema), Part(schema, pointer, base))

    # References

    def _index(self, document: dict[str, Any], base: str) -> None:
        """Find the identifiers and anchors of all subschemas, also of those that no keyword applies."""
        pending: list[tuple[Any, str, bool]] = [(document, base, True)]
        while pending:
            found, base, is_schema = pending.pop()
            if isinstance(found, list):
                pending += [(item, base, is_schema) for item in found]
            if not isinstance(found, dict):
                continue
            if is_schema:
                base = self._identified(found, base, top=found is document)
            for keyword, value in found.items():
                if is_schema and keyword in {"enum", "const", "default", "examples"}:
                    continue
                named = is_schema and keyword in {*SAME_MAPS, *MEMBER_MAPS, *DEFINITIONS}
                pending.append((value, base, not named))

    def _identified(self, schema: dict[str, Any], base: str, *, top: bool) -> str:
        name = schema.get("id" if self._draft == 4 else "$id")
        if not isinstance(name, str) or (self._draft <= 7 and isinstance(schema.get("$ref"), str)):
            name = ""
        is_anchor = name.startswith("#")
        if name and not is_anchor:
            base = urldefrag(urljoin(base, name)).url
        if top or (name and not is_anchor):
            self._anchors[base] = schema
        anchors = [schema.get("$anchor"), schema.get("$dynamicAnchor")]
        anchors += [name[1:]] if is_anchor and self._draft <= 7 else []
        for anchor in anchors:
            if isinstance(anchor, str):
                self._anchors[f"{base}#{anchor}"] = schema
        if isinstance(schema.get("$dynamicAnchor"), str) or schema.get("$recursiveAnchor") is True:
            self._dynamic.append(schema)
        self._bases[id(schema)] = base
        return base

    def _targets(self, part: Part, keyword: str, reference: str) -> list[Any]:
        """Return all that a reference can refer to; a dynamic one depends on how the value is reached."""
        found = [self._resolved(part, reference)]
        if keyword == "$dynamicRef":
            name = urldefrag(reference).fragment
            found += [schema for schema in self._dynamic if schema.get("$dynamicAnchor") == name]
        if keyword == "$recursiveRef":
            found += [schema for schema in self._dynamic if schema.get("$recursiveAnchor") is True]
        return [schema for number, schema in enumerate(found) if all(schema is not one for one in found[:number])]

    def _resolved(self, part: Part, reference: str) -> Any:
        url, fragment = urldefrag(urljoin(part.base, reference) if not reference.startswith("#") else reference)
        base = part.base if reference.startswith("#") else url
        found: Any = self._anchors.get(base)
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get(f"{base}#{unquote(fragment)}")
        for step in fragment.split("/")[1:] if fragment.startswith("/") else ():
            found = _below(found, unquote(step).replace("~1", "/").replace("~0", "~"))
        if not isinstance(found, (dict, bool)):
            raise InvalidSchemaError(
                f"the reference {reference!r} refers to nothing in this document; define its target under $defs"
            )
        return found

    @cached_property
    def _pointers(self) -> dict[int, str]:
        """Where each object of the document is, by its identity: for those that only a reference leads to."""
        pointers: dict[int, str] = {}
        pending: list[tuple[Any, str]] = [(self._document, "#")]
        while pending:
            found, pointer = pending.pop()
            if isinstance(found, dict):
                pointers.setdefault(id(found), pointer)
                pending += [(below, f"{pointer}/{escaped(name)}") for name, below in found.items()]
            elif isinstance(found, list):
                pending += [(below, f"{pointer}/{index}") for index, below in enumerate(found)]
        return pointers

    # Work

    def _find_loops(self) -> None:
        """Mark the parts that references lead back to, and refuse those that they lead to for the same value."""
        for same_only in (True, False):
            done: set[int] = set()
            path: set[int] = set()
            # The top comes first, as when the schema is applied.
            pending: list[tuple[Part, Iterator[Part] | None]] = [(part, None) for part in reversed(list(self))]
            while pending:
                part, below = pending.pop()
                if below is None:
                    if id(part) in done:
                        continue
                    path.add(id(part))
                    below = iter(part.same if same_only else _below_all(part))
                for one in below:
                    if id(one) in path:
                        if same_only:
                            raise InvalidSchemaError("a $ref refers back to itself endlessly")
                        one.recursive = True
                    elif id(one) not in done:
                        pending += [(part, below), (one, None)]
                        break
                else:
                    path.discard(id(part))
                    done.add(id(part))


def _below_all(part: Part) -> list[Part]:
    return [*part.same, *part.one_of_below, *part.members, *part.items]


def cost_of(part: Part) -> Cost:
    """Return an upper bound of the steps for one value that a part applies to.

    Applying a subschema to a value is one step. For a value deep inside, the steps of all values around it count too,
    as a recursive schema can reach it from each of them. A recursive part counts once, where it begins.
    """
    if part.cost is None:
        members, items = (total(map(_cost_below, group)) for group in (part.members, part.items))
        below = [highest(map(_cost_below, part.one_of_below)), highest([members, items])]
        same = times(total(map(_cost_below, part.same)), again(part.schema))
        part.cost = total([own_cost(part.schema), same, *below])
    return part.cost


def again(schema: Mapping[str, Any]) -> int:
    """Return how often the library applies what is next to a schema's keywords, such as `allOf`, to the same value.

    To know what is unevaluated, it applies all of it again, and what is in it too: nested, that multiplies.
    """
    return _UNEVALUATED_FACTOR if "unevaluatedProperties" in schema or "unevaluatedItems" in schema else 1


def _cost_below(part: Part) -> Cost:
    return Cost(1) if part.recursive else cost_of(part)


def _below(found: Any, step: str) -> Any:
    if isinstance(found, dict):
        return found.get(step)
    in_list = isinstance(found, list) and step.isdecimal() and int(step) < len(found)
    return found[int(step)] if in_list else None


def escaped(name: str) -> str:
    """Return a name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
