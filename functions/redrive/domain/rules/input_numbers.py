"""Which numbers of a run's input can be relied on: those that reach every step as they were written.

Called when the input is parsed and planned. "Numbers in JSON generally conform to JavaScript semantics, typically
corresponding to double-precision IEEE-854 values" (Amazon States Language specification, "Data"): a number with more
digits than a double holds is rounded before any of our code sees it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.errors import RejectedError
from redrive.domain.messages.json_text import NotJsonError, parse

# What survives a conversion to a double and back: decimals with up to 15 digits, integers up to 2^53 - 1 (ECMA-262,
# Number.MAX_SAFE_INTEGER). Below the smallest exponent, doubles have fewer digits (Number.MIN_VALUE).
_MAX_DIGITS = 15
_MAX_INTEGER = 2**53 - 1
_MIN_EXPONENT = -307


def check_numbers(value: Any) -> None:
    """Refuse JSON with a number that may have been rounded on its way, or would be.

    Raises
    ------
    ValueError
        Says which numbers are exact and how to write others; without the number.
    """
    if not all(map(_is_exact, _numbers_in(value))):
        raise ValueError(
            "expected numbers of at most 15 significant digits, or integers between -9007199254740991 and "
            "9007199254740991, because Step Functions rounds others; found another number. Write it as a string for an "
            "attribute, or as a literal in a JMESPath expression for the body, such as {total: `0.1234567890123456789`}"
        )


def has_numbers(repair: Any) -> bool:
    """Return whether the `repair` of an input, as parsed JSON, has numbers whose value matters."""
    return any(True for constant in _constants(repair) for _ in _numbers_in(constant))


def check_as_written(text: str) -> None:
    """Refuse an input, given as it was written, whose repair has a number that was rounded on its way.

    A rounded number can look as if it had been written like this: 0.1000000000000000000001 arrives as 0.1.

    Raises
    ------
    RejectedError
        Says which numbers are exact and how to write others.
    """
    try:
        for constant in _constants(parse(text).get("repair")):
            check_numbers(constant)
    except (NotJsonError, TooMuchWorkError):
        raise RejectedError(
            "The input is invalid. Expected a JSON object, found one that is nested more than 200 levels deep."
        ) from None
    except ValueError as error:
        raise RejectedError(f"The input is invalid. repair: {error}.") from None


def _constants(repair: Any) -> list[Any]:
    """Return what a valid repair writes or compares with as it is."""
    if not isinstance(repair, dict):
        return []
    rules = [*(repair.get("setAttributes") or {}).values(), *(repair.get("patch") or ())]
    return [rule["value"] for rule in rules if "value" in rule]


def _numbers_in(value: Any) -> list[Decimal]:
    found, pending = [], [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.values()
        elif isinstance(one, (list, tuple)):
            pending += one
        elif isinstance(one, (int, float, Decimal)) and not isinstance(one, bool):
            # As the shortest decimal that gives the float, which is what it was written as if it had no more digits.
            found.append(Decimal(repr(one)) if isinstance(one, float) else Decimal(one))
    return found


def _is_exact(number: Decimal) -> bool:
    if not number.is_finite() or number.copy_abs() > _MAX_INTEGER:
        return False
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if not digits or number == number.to_integral_value():
        return True
    return len(digits) <= _MAX_DIGITS and number.adjusted() >= _MIN_EXPONENT
