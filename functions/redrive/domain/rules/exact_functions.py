"""JMESPath's functions and literals with exact numbers: a decimal is never rounded to a float.

Used by `redrive.domain.rules.queries`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import Any

from jmespath import ast
from jmespath.functions import Functions, signature
from jmespath.parser import Parser

from redrive.domain.messages.json_text import MAX_DIGITS, ExactNumber, NotJsonError, length, parse, same, write

# Digits of a quotient that has no end, as decimal128 has them; SQS takes at most 38 in a Number attribute.
_QUOTIENT_DIGITS = 34
_TRAPS = [InvalidOperation, DivisionByZero, Overflow, Clamped]
_EXACT = Context(prec=MAX_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[*_TRAPS, Inexact])
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

type Number = int | ExactNumber


class ExactParser(Parser):
    """Parses queries; the numbers in their literals stay exact."""

    # Parsers share a cache of what they parsed, and others parse literals differently.
    _CACHE: dict[str, Any] = {}  # noqa: RUF012

    def _parse(self, expression: str) -> Any:
        self._text = expression
        return super()._parse(expression)  # type: ignore[misc]

    def _token_nud_literal(self, token: dict[str, Any]) -> Any:
        raw = self._text[token["start"] : token["start"] + token["end"]]
        value = token["value"]
        if raw.startswith("`"):
            try:
                value = parse(raw.strip("`").replace("\\`", "`"))
            except NotJsonError:
                # A string without quotation marks.
                value = token["value"]
        return ast.literal(value)


class ExactFunctions(Functions):
    """Calculates with decimals.

    A sum, a maximum, or a rounded number is exact. An average that has no end is rounded to 34 digits. What decimals
    can't hold raises ArithmeticError: a sum of more than 1,000 digits, such as that of 1 and 1e9999, and any
    calculation or comparison with a number whose exponent is beyond theirs.
    """

    @signature({"types": ["array-number"]})
    def _func_sum(self, arg: Sequence[Number]) -> Number:
        return _sum(arg)

    @signature({"types": ["array-number"]})
    def _func_avg(self, arg: Sequence[Number]) -> Number | None:
        if not arg:
            return None
        total = _sum(arg)
        context = Context(prec=_QUOTIENT_DIGITS + 1 + length(total), Emax=MAX_EMAX, Emin=MIN_EMIN, traps=_TRAPS)
        exact = context.divide(Decimal(total), Decimal(len(arg)))
        if context.flags[Inexact]:
            exact = Context(prec=_QUOTIENT_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=_TRAPS).plus(exact)
        return _number(exact)

    @signature({"types": ["number"]})
    def _func_abs(self, arg: Number) -> Number:
        return ExactNumber(arg.text.removeprefix("-")) if isinstance(arg, ExactNumber) else abs(arg)

    @signature({"types": ["number"]})
    def _func_ceil(self, arg: Number) -> Number:
        return _rounded(arg, ROUND_CEILING)

    @signature({"types": ["number"]})
    def _func_floor(self, arg: Number) -> Number:
        return _rounded(arg, ROUND_FLOOR)

    @signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: Any, search: Any) -> bool:
        return search in subject if isinstance(subject, str) else any(same(item, search) for item in subject)

    @signature({"types": []})
    def _func_to_number(self, arg: Any) -> Number | None:
        if isinstance(arg, (int, Decimal)) and not isinstance(arg, bool):
            return arg if isinstance(arg, (int, ExactNumber)) else _number(arg)
        found = _NUMBER.fullmatch(arg) if isinstance(arg, str) else None
        if found is None:
            return None
        # As an int, -0 would lose its sign.
        if found[1] or found[2] or len(arg) > MAX_DIGITS or arg == "-0":
            return ExactNumber(arg) if _JSON_NUMBER.fullmatch(arg) else _number(Decimal(arg))
        return int(arg)

    @signature({"types": []})
    def _func_to_string(self, arg: Any) -> str:
        return arg if isinstance(arg, str) else write(arg)

    @signature({"types": []})
    def _func_type(self, arg: Any) -> str | None:
        return "number" if isinstance(arg, Decimal) else super()._func_type(arg)  # type: ignore[misc]


def _sum(numbers: Sequence[Number]) -> Number:
    if all(isinstance(number, int) for number in numbers):
        return sum(numbers)
    # With 0 as the start, 1e900 would get 901 digits.
    total = _EXACT.plus(Decimal(numbers[0]))
    for number in numbers[1:]:
        total = _EXACT.add(total, Decimal(number))
    return _number(total)


def _rounded(number: Number, rounding: str) -> Number:
    return number if isinstance(number, int) else _number(number.to_integral_value(rounding))


def _number(number: Decimal) -> ExactNumber:
    return ExactNumber(str(number))
