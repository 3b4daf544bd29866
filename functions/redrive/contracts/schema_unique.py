"""`uniqueItems` in time linear to the items.

The library's own check compares all items whose numbers are the same as doubles with each other: 3,000 identifiers of
20 digits take it half a minute. Used by `redrive.contracts.json_schema`.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any


def _exact(number: Decimal) -> Any:
    """Return what stands for a decimal: equal ones have the same, and nothing else in JSON has it."""
    if number == (whole := number.to_integral_value()):
        return int(whole)
    digits, power = f"{number:e}".split("e")
    return [math.nan, digits.rstrip("0").rstrip("."), power]


# Python's hashes of numbers could be made to collide, those of texts can't.
_encode = json.JSONEncoder(sort_keys=True, default=_exact, check_circular=False).encode


def _text_of(item: Any) -> str:
    return str(item) if type(item) is int else _encode(item)


class UniqueItems:
    """The keyword for the library: equal numbers are the same however they are written, and true isn't 1."""

    def __init__(self, _parent: Any, value: Any, _path: Any) -> None:
        self._wanted = value is True

    def validate(self, instance: Any) -> None:
        """Raise ValueError if two items of an array are equal."""
        if self._wanted and isinstance(instance, list) and len(set(map(_text_of, instance))) < len(instance):
            raise ValueError


#: Instead of the library's own keyword of this name.
UNIQUE_ITEMS: dict[str, type[Any]] = {"uniqueItems": UniqueItems}
