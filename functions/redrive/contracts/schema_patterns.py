"""Patterns of JSON Schemas: each text is matched within a bound on work.

Most patterns are matched in time linear to the text. Those with look-around or backreferences can backtrack without
end, and those that count far, such as `(a|b){5000}`, take long for each character. Used by
`redrive.contracts.json_schema`, which leaves such patterns to this module.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jsonschema_rs import (
    FancyRegexOptions,
    RegexOptions,
    ValidationError,
    ValidationErrorKind,
    Validator,
    validator_for,
)

from redrive.contracts.schema_counts import one_each, only_rust, states
from redrive.contracts.schema_parts import InvalidSchemaError
from redrive.contracts.work import TooMuchWorkError, Work

# Bytes of a compiled pattern. Matching it takes at most some microseconds for each character.
_LIGHT_BYTES = 256 * 1024
_HEAVY_BYTES = 10 * 1024 * 1024
# Steps for each character, and for each place of the pattern that the text can be at: 40 to 160 ns, and 20 ns.
_CHARACTER = 20
_PLACE = 4
# Characters that one backtracking step may look at for the price of one.
_LOOK_AHEAD = 256
_FIRST_LIMIT = 64
_LIMIT_GROWTH = 4
# ECMA-262, "CharacterClassEscape": digits, white space with line terminators, and characters of words.
_RANGES = {
    "d": [(0x30, 0x39)],
    "s": [
        *((0x9, 0xD), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
        *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
    ],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
}
_WORD = "[0-9A-Za-z_]"
_OUTSIDE = {
    ".": r"[^\n\r\x{2028}\x{2029}]",
    r"\b": f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))",
    r"\B": f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))",
}
_PARTS = re.compile(r"\\.|.", re.DOTALL)
_BOUNDARY = re.compile(r"(?:[^\\]|\\[^bB])*\\[bB]", re.DOTALL)


def ecma_262(pattern: str) -> str:
    r"""Return a pattern for the library with `.`, `\d`, `\w`, `\s`, and `\b` as ECMA-262 has them.

    The library translates them itself, except `\b` and those of patterns with look-around or backreferences. There,
    `\d` would also be a digit of any other script.
    """
    found, in_class = [], False
    for part in _PARTS.findall(pattern):
        escaped = part[1:] if part[0] == "\\" else ""
        if escaped.lower() in _RANGES:
            ranges = _RANGES[escaped.lower()]
            ranges = _others(ranges) if escaped.isupper() else ranges
            text = "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in ranges)
            found.append(text if in_class else f"[{text}]")
        elif not in_class:
            found.append(_OUTSIDE.get(part, part))
        else:
            found.append(part)
        if part in "[]":
            in_class = part == "["
    return "".join(found)


def _others(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    firsts = [0, *(last + 1 for _, last in ranges)]
    lasts = [*(first - 1 for first, _ in ranges), sys.maxunicode]
    return list(zip(firsts, lasts, strict=True))


class Pattern:
    """A pattern that can take more work than a text's length.

    Parameters
    ----------
    text : str
        The pattern, as ECMA-262 has it.
    """

    def __init__(self, text: str) -> None:
        self._schema = {"pattern": text}
        # Whether it is linear, but heavy.
        self._linear = _compiled(self._schema, RegexOptions(size_limit=_HEAVY_BYTES))
        places = states(text)
        self._per_character = 4 * _LIGHT_BYTES // 1024 if places is None else 2 * (_CHARACTER + _PLACE * places)
        self._limited: dict[int, Validator] = {}

    def matches(self, text: str, work: Work) -> bool:
        """Return whether the pattern is found in a text.

        Raises
        ------
        TooMuchWorkError
            If finding out needs more work than is left.
        """
        if self._linear is not None:
            # For each character, at most as many states as there were characters, or as there are in the pattern.
            work.take(len(text) * min(len(text), self._per_character, 4 * _LIGHT_BYTES // 1024) // 2 + 1)
            return self._linear.is_valid(text)
        limit = _FIRST_LIMIT
        while True:
            # It isn't known how many steps a match took, only that the limit was enough.
            work.take(limit * (1 + len(text) // _LOOK_AHEAD))
            found = self._within(limit, text)
            if found is not None:
                return found
            limit *= _LIMIT_GROWTH

    def _within(self, limit: int, text: str) -> bool | None:
        if limit not in self._limited:
            self._limited[limit] = validator_for(
                self._schema, pattern_options=FancyRegexOptions(backtrack_limit=limit), offline=True
            )
        validator = self._limited[limit]
        if validator.is_valid(text):
            return True
        try:
            validator.validate(text)
        except ValidationError as error:
            failed = (ValidationErrorKind.BacktrackLimitExceeded, ValidationErrorKind.RegexEngineFailure)
            return None if isinstance(error.kind, failed) else False
        return True


def is_light(pattern: str, where: str) -> bool:
    """Return whether matching a pattern takes little more than reading the text; `where` is its place in the schema.

    Raises
    ------
    InvalidSchemaError
        If it isn't a regular expression of ECMA-262, or isn't supported, or is too large.
    """
    schema = {"pattern": pattern}
    if (wrong := only_rust(pattern)) is not None:
        raise InvalidSchemaError(f"not a JSON Schema: {where}: {pattern!r}: {wrong}")
    if _compiled(schema, RegexOptions(size_limit=_LIGHT_BYTES)) is not None and not _BOUNDARY.match(pattern):
        return True
    options = FancyRegexOptions(size_limit=_HEAVY_BYTES)
    if _compiled(schema, options) is None:
        single = one_each(pattern)
        if single is not None and single != pattern and _compiled({"pattern": single}, options) is not None:
            raise InvalidSchemaError(
                f"{where}: {pattern!r} is too large: its counts take more than {_HEAVY_BYTES // 2**20} MB; use smaller "
                "ones, or * and maxLength"
            )
        raise InvalidSchemaError(
            f"{where}: {pattern!r} is not a regular expression of ECMA-262, or has something that isn't supported: "
            r"\k<name>, [^], [], \0, [\b], or a surrogate pair"
        )
    return False


class Matcher:
    """Matches texts with the patterns of one contract and remembers whether that took too much work.

    Parameters
    ----------
    work : Work
        The work on one message.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._patterns: dict[str, Pattern] = {}
        #: A match of this message wasn't decided: what the library returned means nothing.
        self.gave_up = False

    def matches(self, pattern: str, text: str) -> bool:
        """Return whether a pattern is found in a text; False with `gave_up` if that takes too much work."""
        if pattern not in self._patterns:
            self._patterns[pattern] = Pattern(pattern)
        if not self.gave_up:
            try:
                return self._patterns[pattern].matches(text, self._work)
            except TooMuchWorkError:
                self.gave_up = True
        return False

    def keyword(self) -> type[Any]:
        """Return a keyword for the library whose value is a pattern."""
        matches: Callable[[str, str], bool] = self.matches

        class BoundedPattern:
            def __init__(self, _parent: Any, value: Any, _path: Any) -> None:
                self._pattern = str(value)

            def validate(self, instance: Any) -> None:
                if isinstance(instance, str) and not matches(self._pattern, instance):
                    raise ValueError

        return BoundedPattern


def _compiled(schema: dict[str, Any], options: RegexOptions | FancyRegexOptions) -> Validator | None:
    try:
        return validator_for(schema, pattern_options=options, offline=True)
    except ValidationError:
        return None
