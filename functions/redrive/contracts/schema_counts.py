r"""What patterns count, as in `^[^<>]{0,4000}$`, and what in a pattern isn't of ECMA-262.

Used by `redrive.contracts.schema_patterns`.
"""

from __future__ import annotations

import re

_ATOM = r"(?>\\[pP]\{[^{}]*\}|\\u\{[0-9A-Fa-f]+\}|\\.|\[\^?(?:\\.|[^\]\\])*\]|[^\\\[\](){}|*+?^$])"
_TIMES = r"\{\d+(?:,\d*)?\}|[*+?]"
_FLAT = re.compile(rf"\^(?:(?:{_ATOM})(?:(?:{_TIMES})\??)?)*+\$?", re.DOTALL)
_ITEM = re.compile(rf"({_ATOM})({_TIMES})?", re.DOTALL)
_COUNT = re.compile(r"\{(\d{1,9})(?:(,)(\d{0,9}))?\}")
# A step of a pattern: what is escaped, a class, how often, or a character.
_STEP = re.compile(rf"\\[pPuxk]\{{[^{{}}]*\}}|\\.|\[\^?(?:\\.|[^\]\\])*\]|{_TIMES}|\(\?|.", re.DOTALL)
# Rust has these flags for the rest of the pattern. Those of a group, as in (?i:a), are ECMA-262.
_FLAGS = re.compile(r"\?[a-zA-Z]*-?[a-zA-Z]*\)")
_ONLY_RUST = {r"\A": "^", r"\z": "$", r"\Z": "$"}


def states(pattern: str) -> int | None:
    """Return how many places of a pattern a text can be at, at any character; None if it has groups or alternatives.

    A count that only one place leads to, and whose start is known, is at one place: how many characters there were.
    """
    if not _FLAT.fullmatch(pattern):
        return None
    places, starts = 1, 1
    for match in _ITEM.finditer(pattern.removeprefix("^").removesuffix("$")):
        least, most = _counts(match[2])
        places += min(least + 1 if most is None else most, starts)
        # An item that takes several lengths makes what follows begin at as many places; without end, at any.
        starts = len(pattern) * 10**6 if most is None else starts + most - least
    return places


def one_each(pattern: str) -> str | None:
    """Return a pattern without its counts, or None if one of them ends before it begins."""
    if any(match[3] and int(match[3]) < int(match[1]) for match in _COUNT.finditer(pattern)):
        return None
    return _COUNT.sub("{1}", pattern)


def only_rust(pattern: str) -> str | None:
    """Return what is wrong with a pattern that the library takes, but that isn't of ECMA-262, or None."""
    before = ""
    for match in _STEP.finditer(pattern):
        step = match[0]
        if step in _ONLY_RUST:
            return f"{step} isn't of ECMA-262; use {_ONLY_RUST[step]}"
        if step == "(?" and (flags := _FLAGS.match(pattern, match.end() - 1)):
            return f"({flags[0]} isn't of ECMA-262; write what it means, such as [Aa]"
        if step == "+" and re.fullmatch(_TIMES, before):
            return f"{before}+ isn't of ECMA-262; use {before}"
        before = step
    return None


def _counts(times: str | None) -> tuple[int, int | None]:
    """Return the least and the most that an item is repeated; None for no end."""
    if times is None:
        return 1, 1
    if times in ("?", "*", "+"):
        return int(times == "+"), 1 if times == "?" else None
    least, *rest = times.strip("{}").split(",")
    return int(least), int(least) if not rest else int(rest[0]) if rest[0] else None
