"""Reads what a JSON Schema is applied to: bodies and message attributes, numbers exact and counted.

Used by `redrive.contracts.json_schema`, which takes the work from the counts.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from redrive.contracts.contract import attribute_value
from redrive.contracts.schema_costs import SHORT, of_digits
from redrive.contracts.work import TooMuchWorkError, check_depth

# JSON has no limit. A number of a million digits takes minutes.
_MAX_DIGITS = 1_000
_NUMBER = re.compile(r"[+-]?(\d+)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


class Reader:
    """Reads bodies and attributes, and counts the long numbers of the last one: how many short numbers they are like.

    What it reads raises TooMuchWorkError if it is nested too deeply or has a number with too many digits.
    """

    def __init__(self) -> None:
        # Made once: json.loads would make one for each message. Without a function for integers, it is faster.
        self._short = json.JSONDecoder(parse_float=self._decimal, parse_constant=_refuse)
        self._decoder = json.JSONDecoder(parse_float=self._decimal, parse_int=self._integer, parse_constant=_refuse)
        self.long = 0

    def body(self, text: str) -> Any:
        """Return parsed JSON.

        Raises
        ------
        ValueError
            If it isn't JSON, or holds half of a surrogate pair.
        """
        # No integer of a short text has too many digits, and all together have no more than the text.
        short = len(text) <= _MAX_DIGITS
        self.long = of_digits(len(text)) if short else 0
        try:
            content = (self._short if short else self._decoder).decode(text)
        except RecursionError:
            raise TooMuchWorkError from None
        check_depth(text, content)
        if "\\ud" in text or "\\uD" in text:
            _check_strings(content)
        return content

    def attributes(self, attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the values of message attributes by name."""
        self.long = 0
        return {name: self._attribute(value) for name, value in attributes.items()}

    def _attribute(self, value: Mapping[str, Any]) -> Any:
        found = attribute_value(value)
        if isinstance(found, bytes):
            return b64encode(found).decode()
        if str(value.get("DataType", "")).startswith("Number") and isinstance(found, str):
            number = _NUMBER.fullmatch(found)
            if number is not None:
                return self._decimal(found) if number[2] or number[3] else self._integer(found)
        return found

    def _decimal(self, text: str) -> Decimal:
        try:
            number = Decimal(text) if len(text) <= _MAX_DIGITS else None
        except InvalidOperation:
            # Its exponent is beyond what decimals hold.
            number = None
        if number is None or abs(power := number.adjusted()) > _MAX_DIGITS:
            raise TooMuchWorkError
        if (size := len(text) + abs(power)) > SHORT:
            self.long += of_digits(size)
        return number

    def _integer(self, text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise TooMuchWorkError
        if len(text) > SHORT:
            self.long += of_digits(len(text))
        return int(text)


def names_in(content: Any) -> set[str]:
    """Return the names of all members of JSON, at any depth."""
    names: set[str] = set()
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            names.update(value)
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return names


def _check_strings(content: Any) -> None:
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            # UnicodeEncodeError is a ValueError.
            value.encode()
        elif isinstance(value, (dict, list)):
            pending += [*value, *value.values()] if isinstance(value, dict) else value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
