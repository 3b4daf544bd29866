"""JSON as text and as values: parsed once, numbers exact, members cut out character for character.

Used to open envelopes and by selection, repair, and sampling.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from redrive.contracts.work import TooMuchWorkError, check_depth
from redrive.domain.messages.message import NOT_IN_SQS

# Python converts integers in time quadratic to their digits. A number with more digits is kept as text.
MAX_DIGITS = 1_000
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# Only positions matter here: a number of 5,000 digits must not be converted.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


class NotJsonError(ValueError):
    """A text isn't JSON."""


class ExactNumber(Decimal):
    """A number that is written as it was read: 1.50 stays 1.50, and no digit is lost."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the text."""
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            # Its exponent is beyond what decimals hold: whatever compares it or calculates with it raises the same.
            number = super().__new__(cls, "sNaN")
        number.text = text
        return number

    def __str__(self) -> str:
        """Return the number as it was read."""
        return self.text

    def __deepcopy__(self, _memo: Any) -> Self:
        """Copy nothing: a JSON Patch is applied to a copy of the content."""
        return self


# jmespath recognizes types by the name of the class: to its functions this is a number.
ExactNumber.__name__ = "float"


def parse(text: str) -> Any:
    """Return parsed JSON with exact numbers. Half of a surrogate pair is kept: JSON can have it as an escape.

    Raises
    ------
    NotJsonError
        If the text isn't JSON.
    TooMuchWorkError
        If it is nested too deeply.
    """
    try:
        content = json.loads(text, parse_float=ExactNumber, parse_int=_integer, parse_constant=_refuse)
    except ValueError:
        raise NotJsonError from None
    except RecursionError:
        raise TooMuchWorkError from None
    check_depth(text, content)
    return content


def write(value: Any) -> str:
    """Return JSON without spaces, numbers as they were read; characters that SQS doesn't accept are escaped."""
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{write(name)}:{write(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    text = _ENCODER.encode(value)
    return text if text.isascii() else NOT_IN_SQS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def same(left: Any, right: Any) -> bool:
    """Return whether two values are the same JSON: to Python, true is also 1, and false 0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def least_size(value: Any) -> int:
    """Return how many characters a value takes at least as JSON."""
    size, pending = 0, [value]
    while pending:
        found = pending.pop()
        size += 1
        if isinstance(found, dict):
            size += sum(map(len, found))
            pending += found.values()
        elif isinstance(found, list):
            pending += found
        else:
            size += length(found)
    return size


def length(value: Any) -> int:
    """Return how many characters a text, or the digits of a number, take at least; 0 for any other value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, ExactNumber):
        return len(value.text)
    # A digit is 3.33 bits, at most.
    return value.bit_length() * 3 // 10 if isinstance(value, int) else 0


def member_text(text: str, name: str) -> str:
    """Return the JSON text of a member of an object, character for character.

    Parsing and writing it again would alter numbers: 1.0 and 1E0, or more digits than a float holds.

    Raises
    ------
    KeyError
        If the object has no such member. If it has several, the last one counts, as in any JSON parser.
    """
    found: str | None = None
    place = _skip(text, 0) + 1
    while text[(place := _skip(text, place))] == '"':
        key, place = _DECODER.raw_decode(text, place)
        start = _skip(text, _skip(text, place) + 1)
        _, place = _DECODER.raw_decode(text, start)
        if key == name:
            found = text[start:place]
        place = _skip(text, place)
        if text[place] != ",":
            break
        place += 1
    if found is None:
        raise KeyError(name)
    return found


def _integer(text: str) -> Any:
    # As an int, -0 would lose its sign.
    return ExactNumber(text) if text == "-0" or len(text) > MAX_DIGITS else int(text)


def _refuse(constant: str) -> Any:
    raise NotJsonError(f"{constant} is not JSON")


def _skip(text: str, place: int) -> int:
    while text[place] in " \t\r\n":
        place += 1
    return place
