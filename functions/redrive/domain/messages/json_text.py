"""JSON as text and as values: parsed once, numbers exact, members cut out character for character.

Used to open envelopes and by selection, repair, and sampling.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Self

# Python converts integers in time quadratic to their digits. A number with more digits is kept as text.
MAX_DIGITS = 1_000
# Only positions matter here: a number of 5,000 digits must not be converted.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


class NotJsonError(ValueError):
    """A text isn't JSON, or can't be sent as JSON."""


class ExactNumber(Decimal):
    """A number that is written as it was read: 1.50 stays 1.50, and no digit is lost."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the text."""
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            # Beyond what decimals hold: infinite to arithmetic, which refuses it.
            number = super().__new__(cls, "-Infinity" if text.startswith("-") else "Infinity")
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
    """Return parsed JSON with exact numbers.

    Raises
    ------
    NotJsonError
        If the text isn't JSON, nests too deep, or holds half of a surrogate pair, which can be written in JSON but
        not be sent.
    """
    try:
        content = json.loads(text, parse_float=ExactNumber, parse_int=_integer, parse_constant=_refuse)
        # A surrogate gets into the content only through an escape.
        if "\\ud" in text or "\\uD" in text:
            write(content).encode()
    except (ValueError, RecursionError):
        raise NotJsonError from None
    return content


def write(value: Any) -> str:
    """Return JSON without spaces, numbers as they were read."""
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{write(name)}:{write(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


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
