"""What the keywords of a JSON Schema cost: upper bounds of the steps that one value, or one character, can take.

Used by `redrive.contracts.schema_parts`, which adds them up, and by `redrive.contracts.json_schema`. A step is about
10 ns. The library looks strings up in an enum, and integers if all choices are some; any other choices are compared one
by one. It calculates with fractions, so decimals take longer than integers, and long numbers longer than short ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

# Steps for a number. Integers of 64 bits take one for an integer of 64 bits.
_NUMBER_KEYWORDS = {
    "multipleOf": 250, "maximum": 20, "minimum": 20, "exclusiveMaximum": 20, "exclusiveMinimum": 20,
}  # fmt: skip
# Steps for a decimal or a long integer to find out whether it is a number, or whole.
_NUMBER_TYPES = {"number": 20, "integer": 3}
# Steps to compare a value with a choice that isn't looked up; a number with a number, and with a decimal.
_CHOICE = 3
_NUMBER_CHOICE = 150
_DECIMAL_CHOICE = 700
# Patterns that checking a format is like.
_FORMAT = 4
# Digits, or powers of ten, of numbers that cost no more than others; steps grow with those beyond.
SHORT = 20
_LONG = 2**63
# Characters that a pattern is matched with for the price of one step, if it takes no more than reading them.
CHARACTERS = 2


class Cost(NamedTuple):
    """Steps that a schema can take."""

    #: For a value of any kind.
    value: int = 0
    #: For a number in addition, if it is short. Longer integers are calculated with like decimals.
    integer: int = 0
    decimal: int = 0
    #: Patterns for each text.
    patterns: int = 0


# For an item of an array, whose text is compared, and for a number in it.
_UNIQUE = Cost(50, 50, 200)


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of all that apply."""
    return Cost(*(sum(column) for column in zip(*costs, strict=True))) if (costs := list(costs)) else Cost()


def highest(costs: Iterable[Cost]) -> Cost:
    """Return the cost if at most one of them applies."""
    return Cost(*(max(column) for column in zip(*costs, strict=True))) if (costs := list(costs)) else Cost()


def times(cost: Cost, count: int) -> Cost:
    """Return the cost of what applies so often."""
    return cost if count == 1 else Cost(*(steps * count for steps in cost))


def own_cost(schema: Mapping[str, Any]) -> Cost:
    """Return what a schema's own keywords cost."""
    return total(_costs(schema))


def deep_cost(schema: Mapping[str, Any]) -> Cost:
    """Return what a schema's own keywords cost for each value inside the one that it applies to."""
    costs = [_UNIQUE] if schema.get("uniqueItems") is True else []
    for choices in (schema.get("enum"), [schema.get("const")]):
        if isinstance(choices, list) and any(isinstance(one, (dict, list)) for one in choices):
            number = sum(map(_number_steps, choices))
            costs.append(Cost(0, number, number))
    return total(costs)


def of_number(number: int | Decimal) -> int:
    """Return how many short numbers a number counts for."""
    if isinstance(number, Decimal):
        return of_digits(len(number.as_tuple().digits) + abs(number.adjusted()))
    return of_digits(number.bit_length() * 3 // 10)


def is_short(number: Any) -> bool:
    """Return whether a number is an integer of 64 bits."""
    return isinstance(number, int) and -_LONG <= number < _LONG


def of_digits(size: int) -> int:
    """Return how many short numbers a number counts as; `size` is its digits plus its power of ten."""
    return 1 if size <= SHORT else size // 2


def values_in(content: Any) -> int:
    """Return how many values JSON has, on all levels."""
    return sum(1 for _ in _values(content))


def _costs(schema: Mapping[str, Any]) -> Iterator[Cost]:
    yield Cost(1)
    if schema.get("uniqueItems") is True:
        yield _UNIQUE
    for keyword, steps in _NUMBER_KEYWORDS.items():
        if keyword in schema:
            yield Cost(0, 1 if is_short(schema[keyword]) else steps, steps)
    kinds = kinds if isinstance(kinds := schema.get("type"), list) else [kinds]
    yield Cost(0, 0, sum(steps for kind, steps in _NUMBER_TYPES.items() if kind in kinds))
    for keyword in ("const", "enum"):
        if keyword in schema:
            yield _choices_cost(schema[keyword] if keyword == "enum" else [schema[keyword]])
    for keyword in ("required", "dependentRequired", "dependencies", "dependentSchemas"):
        wanted = schema.get(keyword)
        lists = wanted.values() if isinstance(wanted, dict) else [wanted]
        yield Cost(sum(len(names) if isinstance(names, list) else 1 for names in lists) if wanted else 0)
    patterns = len(schema.get("patternProperties") or ())
    yield Cost(patterns, patterns=patterns + ("pattern" in schema) + _FORMAT * ("format" in schema))


def _choices_cost(choices: Any) -> Cost:
    choices = choices if isinstance(choices, list) else []
    kinds = set(map(type, choices))
    # A number in an array or object is compared with at most one in each choice.
    number = sum(map(_number_steps, choices))
    if kinds <= {str} or kinds <= {int}:
        return Cost(1, 0, number)
    return Cost(max(_CHOICE * len(choices), values_in(choices)), number, number)


def _number_steps(choice: Any) -> int:
    kinds = set(map(type, _values(choice)))
    return _DECIMAL_CHOICE if kinds & {Decimal, float} else _NUMBER_CHOICE if int in kinds else 0


def _values(content: Any) -> Iterator[Any]:
    pending = [content]
    while pending:
        found = pending.pop()
        yield found
        pending += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
