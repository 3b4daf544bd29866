"""Counts the steps that checking one message takes, place by place.

Used by `redrive.contracts.json_schema` where the cost of any value, times the number of values, is too coarse: of a
union of 800 events, only one is applied to the lines of an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from redrive.contracts.schema_costs import CHARACTERS, Cost, deep_cost, is_short, of_number, own_cost, times, total
from redrive.contracts.schema_parts import Part, Parts, again, cost_of
from redrive.contracts.work import TooMuchWorkError

# Steps that looking at one part or property takes here.
_LOOK = 100
# Parts and properties that are remembered from earlier messages.
_REMEMBERED = 200_000
# Of members that tell alternatives apart. Each also stands for those of its type that no alternative names.
_OTHER = (str, int)


class _Below(NamedTuple):
    """What a part applies, by keyword."""

    #: To the same value: always, or depending on what a member of it is, with the values that the member must have.
    always: list[Part]
    name: str | None
    depending: list[tuple[Part, frozenset[Any]]]
    #: To members and items.
    properties: dict[str, Part]
    additional: Part | None
    names: Part | None
    patterns: int
    first_items: dict[int, Part]


@dataclass(slots=True, eq=False)
class _View:
    """What is applied to values that are alike in the members which tell alternatives apart."""

    cost: Cost
    #: For all that is inside the value.
    deep: Cost
    #: How often each part is applied.
    applied: list[tuple[Part, int]]
    #: Parts and properties that were looked at.
    looks: int
    #: Steps for each member, and patterns for its name.
    member: int = 0
    name_patterns: int = 0
    #: The parts that have a property of that name.
    named: dict[str, list[tuple[Part, int]]] = field(default_factory=dict)
    #: Items that have a part of their own.
    first: int = 0
    #: What is inside, by name or position; None for any other.
    members: dict[str | None, _State | None] = field(default_factory=dict)
    items: dict[int | None, _State | None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _State:
    """The parts that are applied to a value, each with how often."""

    parts: Mapping[Part, int]
    deep: Cost
    #: Members that tell alternatives apart, with the values that the alternatives name.
    discriminators: dict[str, frozenset[Any]]
    looks: int
    views: dict[Hashable, _View] = field(default_factory=dict)


class Steps:
    """Counts the steps that a schema takes for a value.

    An alternative of `anyOf` or `oneOf` counts only if the value may satisfy it: the library compares the members that
    must be one of some strings, or one of some integers, before it looks into any alternative. A `then` counts only
    if the value may satisfy the `if`.

    Parameters
    ----------
    parts : Parts
        The schema's parts.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._below = cache(self._below_of)
        self._wanted = cache(self._wanted_of)
        self._states: dict[Hashable, _State | None] = {}
        self._remembered = 0

    def count(self, content: Any, allowed: int) -> int:
        """Return the steps that a value takes at most.

        Counting takes time for each value, and for each part that is looked at, which counts as steps.

        Raises
        ------
        TooMuchWorkError
            If they are more than the allowed steps.
        """
        if self._remembered > _REMEMBERED:
            self._states.clear()
            self._remembered = 0
        steps = 0
        seen: set[int] = set()
        root = self._state({self._parts.root: 1}, Cost())
        pending = [] if root is None else [(content, root)]
        while pending:
            value, state = pending.pop()
            view = self._view(state, value)
            if id(view) not in seen:
                seen.add(id(view))
                steps += _LOOK * (view.looks + state.looks)
            steps += view.cost.value
            if isinstance(value, dict):
                steps += len(value) * view.member
                if view.name_patterns:
                    steps += sum(map(len, value)) * view.name_patterns // CHARACTERS
                pending += self._members(view, value)
            elif isinstance(value, list):
                pending += self._items(view, value)
            else:
                steps += _scalar_steps(view.cost, value)
            if steps > allowed:
                raise TooMuchWorkError
        return steps

    # What is applied where

    def _members(self, view: _View, value: dict[str, Any]) -> Iterator[tuple[Any, _State]]:
        for name, one in value.items():
            key = name if name in view.named else None
            if key not in view.members:
                view.members[key] = self._state(self._on_member(view, key), view.deep)
            if (state := view.members[key]) is not None:
                yield one, state

    def _items(self, view: _View, value: list[Any]) -> Iterator[tuple[Any, _State]]:
        for index, one in enumerate(value):
            key = index if index < view.first else None
            if key not in view.items:
                view.items[key] = self._state(self._on_item(view, key), view.deep)
            if (state := view.items[key]) is not None:
                yield one, state

    def _on_member(self, view: _View, name: str | None) -> Counter[Part]:
        found: Counter[Part] = Counter()
        for part, count in view.named[name] if name is not None else ():
            found[part] += count
        for part, count in view.applied:
            below = self._below(part)
            for one in part.members:
                if one is not below.names and not (one is below.additional and name in below.properties):
                    found[one] += count
        return found

    def _on_item(self, view: _View, index: int | None) -> Counter[Part]:
        found: Counter[Part] = Counter()
        for part, count in view.applied:
            first = self._below(part).first_items
            for one in (*part.items, *([first[index]] if index in first else [])):
                found[one] += count
        return found

    def _state(self, parts: Mapping[Part, int], deep: Cost) -> _State | None:
        key = (frozenset(parts.items()), deep)
        if key not in self._states:
            discriminators: dict[str, frozenset[Any]] = {}
            reached = dict.fromkeys(parts)
            pending = list(reached)
            while pending:
                below = self._below(pending.pop())
                if below.name is not None:
                    values = (values for _, values in below.depending)
                    discriminators[below.name] = discriminators.get(below.name, frozenset()).union(*values)
                for part in (*below.always, *(part for part, _ in below.depending)):
                    if part not in reached:
                        reached[part] = None
                        pending.append(part)
            found = _State(parts, deep, discriminators, len(reached)) if parts or any(deep) else None
            self._remembered += len(reached) + 1
            self._states[key] = found
        return self._states[key]

    def _view(self, state: _State, value: Any) -> _View:
        signature: tuple[Any, ...] = ()
        if state.discriminators and isinstance(value, dict):
            signature = tuple(_signature_of(value.get(name), known) for name, known in state.discriminators.items())
        if signature not in state.views:
            view = self._view_of(state, dict(zip(state.discriminators, signature, strict=False)))
            self._remembered += view.looks
            state.views[signature] = view
        return state.views[signature]

    def _view_of(self, state: _State, signature: Mapping[str, Any]) -> _View:
        counts, looks = self._applied(state.parts, signature)
        applied = [(part, count) for part, count in counts.items() if count]
        cost = total([state.deep, *(times(own_cost(part.schema), count) for part, count in applied)])
        deep = total([state.deep, *(times(deep_cost(part.schema), count) for part, count in applied)])
        view = _View(cost, deep, applied, looks)
        for part, count in applied:
            below = self._below(part)
            names = Cost() if below.names is None else cost_of(below.names)
            view.member += count * (1 + below.patterns + names.value)
            view.name_patterns += count * (below.patterns + names.patterns)
            for name, one in below.properties.items():
                view.named.setdefault(name, []).append((one, count))
            view.first = max([view.first, *(index + 1 for index in below.first_items)])
            view.looks += len(below.properties) + len(below.first_items) + len(part.members) + len(part.items)
        return view

    def _applied(self, parts: Mapping[Part, int], signature: Mapping[str, Any]) -> tuple[Counter[Part], int]:
        """Return how often each part is applied to a value, and how many were looked at.

        To know what `unevaluated...` is about, the library applies all that is next to it again, every alternative.
        """
        looks = 0

        def same(node: tuple[Part, bool]) -> list[tuple[tuple[Part, bool], int]]:
            nonlocal looks
            part, chooses = node
            below = self._below(part)
            every = [*below.always, *(one for one, _ in below.depending)]
            looks += 1 + len(every)
            factor = again(part.schema)
            if not chooses:
                return [((one, False), factor) for one in every]
            member = None if below.name is None else signature.get(below.name)
            possible = [*below.always, *(one for one, values in below.depending if _may_be(member, values))]
            repeated = every if factor > 1 else []
            return [((one, True), 1) for one in possible] + [((one, False), factor - 1) for one in repeated]

        edges, order = _sorted([(part, True) for part in parts], same)
        counts = Counter({(part, True): count for part, count in parts.items()})
        found: Counter[Part] = Counter()
        for node in order:
            count = min(counts[node], 1) if node[0].recursive else counts[node]
            found[node[0]] += count
            for one, factor in edges[node]:
                counts[one] += factor * count
        return found, looks

    # Keywords

    def _below_of(self, part: Part) -> _Below:
        schema: Mapping[str, Any] = {} if part.only_refers else part.schema
        alternatives = [self._parts.find(one) for name in ("anyOf", "oneOf") for one in _listed(schema.get(name))]
        guards = [(one, one) for one in alternatives if one is not None]
        condition, then = self._parts.find(schema.get("if")), self._parts.find(schema.get("then"))
        if condition is not None and then is not None:
            guards.append((then, condition))
        # Each part by the strings or integers that members must be for it to apply.
        wanted = {one: self._wanted(guard) for one, guard in guards}
        common = Counter(name for names in wanted.values() for name in names).most_common(1)
        name = common[0][0] if common else ""
        # One that a reference applies, too, always counts.
        once = Counter(part.same)
        depending = [(one, names[name]) for one, names in wanted.items() if name in names and once[one] == 1]
        dependent = {one for one, _ in depending}
        first = schema.get("prefixItems", schema.get("items"))
        return _Below(
            always=[one for one in part.same if one not in dependent],
            name=name if depending else None,
            depending=depending,
            properties=self._named(schema),
            additional=self._parts.find(schema.get("additionalProperties")),
            names=self._parts.find(schema.get("propertyNames")),
            patterns=len(schema.get("patternProperties") or ()),
            first_items=dict(self._found(enumerate(_listed(first)))),
        )

    def _wanted_of(self, part: Part) -> dict[str, frozenset[Any]]:
        """Return the strings or integers that members must be if they are there, by name."""
        schema: Mapping[str, Any] = {} if part.only_refers else part.schema
        found: dict[str, frozenset[Any]] = {}
        for required in (self._referred(part), *map(self._parts.find, _listed(schema.get("allOf")))):
            found |= {} if required is None else self._wanted(required)
        strings = ((name, self._strings_or_integers(below)) for name, below in self._named(schema).items())
        return found | {name: values for name, values in strings if values}

    def _strings_or_integers(self, part: Part) -> frozenset[Any]:
        schema = part.schema
        if not part.only_refers and ("const" in schema or "enum" in schema):
            values = [schema["const"]] if "const" in schema else _listed(schema["enum"])
            return frozenset(values) if set(map(type, values)) in ({str}, {int}) else frozenset()
        target = self._referred(part)
        return frozenset() if target is None else self._strings_or_integers(target)

    def _referred(self, part: Part) -> Part | None:
        reference = part.schema.get("$ref")
        target = self._parts.target(part, reference) if isinstance(reference, str) else None
        return target if isinstance(target, Part) else None

    def _named(self, schema: Mapping[str, Any]) -> dict[str, Part]:
        properties = schema.get("properties")
        return dict(self._found(properties.items() if isinstance(properties, dict) else ()))

    def _found[T](self, schemas: Iterable[tuple[T, Any]]) -> Iterator[tuple[T, Part]]:
        for key, schema in schemas:
            if (part := self._parts.find(schema)) is not None:
                yield key, part


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _signature_of(member: Any, known: frozenset[Any]) -> Any:
    """Return what a member tells about alternatives that name the known values."""
    kind = type(member)
    if kind not in _OTHER:
        return None
    return member if member in known else kind


def _may_be(member: Any, values: frozenset[Any]) -> bool:
    """Return whether a member may be one of the values, which are all strings or all integers."""
    kind = member if member in _OTHER else type(member)
    return member is None or member in values or not isinstance(next(iter(values)), kind)


def _scalar_steps(cost: Cost, value: Any) -> int:
    if isinstance(value, str):
        return len(value) * cost.patterns // CHARACTERS
    if is_short(value):
        return cost.integer
    return cost.decimal * of_number(value) if cost.decimal and isinstance(value, (int, Decimal)) else 0


def _sorted[T](starts: Iterable[T], below: Any) -> tuple[dict[T, list[tuple[T, int]]], list[T]]:
    """Return what is below each node, and the nodes in an order in which each comes before those below it."""
    edges: dict[T, list[tuple[T, int]]] = {}
    order: list[T] = []
    pending: list[tuple[T, bool]] = [(node, False) for node in starts]
    while pending:
        node, done = pending.pop()
        if done:
            order.append(node)
        elif node not in edges:
            edges[node] = below(node)
            pending.append((node, True))
            pending += [(one, False) for one, _ in edges[node]]
    return edges, order[::-1]
