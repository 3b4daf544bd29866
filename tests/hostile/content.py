"""JSON as a tree that can hold what a dict can't: duplicate names, raw text, and JSON or base64 inside a string.

A place is a path into the tree. Every part of a message has one: names, values, items, and what is nested in strings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

type Content = Any
type Path = tuple[int | str, ...]


@dataclass(frozen=True)
class Members:
    """An object: its members in order, names possibly twice."""

    pairs: tuple[tuple[Content, Content], ...]


@dataclass(frozen=True)
class Items:
    """An array."""

    items: tuple[Content, ...]


@dataclass(frozen=True)
class Raw:
    """Text that stands where a value would, whether it is JSON or not."""

    text: str


@dataclass(frozen=True)
class Several:
    """No value in place of one, or two: a name that an object has twice, two items."""

    contents: tuple[Content, ...] = ()


@dataclass(frozen=True)
class Inside:
    """A string that holds JSON, in base64 or as it is."""

    content: Content
    base64: bool = False


def read(text: str) -> Content:
    """Return the tree of a JSON text; ValueError if it isn't one."""
    return _tree(json.loads(text, object_pairs_hook=lambda pairs: Members(tuple(pairs)), parse_float=Raw))


def _tree(value: Any) -> Content:
    if isinstance(value, Members):
        return Members(tuple((name, _tree(member)) for name, member in value.pairs))
    if isinstance(value, list):
        return Items(tuple(map(_tree, value)))
    if isinstance(value, str):
        for coded in (False, True):
            try:
                text = base64.b64decode(value, validate=True).decode() if coded else value
                inner = read(text) if text[:1] in {"{", "["} else value
            except ValueError:
                continue
            if inner is not value:
                return Inside(inner, base64=coded)
    return value


def write(content: Content) -> str:
    """Return the tree as text."""
    match content:
        case Members(pairs):
            return "{" + ",".join(f"{write(name)}:{write(member)}" for name, member in pairs) + "}"
        case Items(items):
            return "[" + ",".join(map(write, items)) + "]"
        case Raw(text):
            return text
        case Several(contents):
            return "".join(map(write, contents))
        case Inside(inner, base64=coded):
            text = write(inner)
            return json.dumps(
                base64.b64encode(text.encode(errors="surrogatepass")).decode() if coded else text, ensure_ascii=False
            )
    return json.dumps(content, ensure_ascii=False)


def places(content: Content, path: Path = ()) -> Iterator[Path]:
    """Yield every place in a tree; the name of a member is at `name` after the member's own place."""
    yield path
    match content:
        case Members(pairs):
            for number, (_, member) in enumerate(pairs):
                yield (*path, number, "name")
                yield from places(member, (*path, number))
        case Items(items):
            for number, item in enumerate(items):
                yield from places(item, (*path, number))
        case Inside(inner):
            yield from places(inner, (*path, "inside"))


def put(content: Content, path: Path, change: Callable[[Content], Content]) -> Content:
    """Return the tree with what is at a place replaced by `change(content)`."""
    if not path:
        return change(content)
    step, rest = path[0], path[1:]
    match content:
        case Members(pairs):
            assert isinstance(step, int)
            name, member = pairs[step]
            renamed = rest == ("name",)
            members = (member,) if renamed else _instead(put(member, rest, change))
            name = change(name) if renamed else name
            return Members((*pairs[:step], *((name, new) for new in members), *pairs[step + 1 :]))
        case Items(items):
            assert isinstance(step, int)
            return Items((*items[:step], *_instead(put(items[step], rest, change)), *items[step + 1 :]))
        case Inside(inner, base64=coded):
            return Inside(put(inner, rest, change), coded)
    raise AssertionError(path)


def _instead(new: Content) -> tuple[Content, ...]:
    return new.contents if isinstance(new, Several) else (new,)
