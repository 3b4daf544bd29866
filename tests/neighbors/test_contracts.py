"""JSON Schema contracts: the verdict is that of another library with exact numbers, on any machine and for any size."""

import json
import random
import re
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft201909Validator, Draft202012Validator

from redrive.contracts.contract import ContractViolationError
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.work import TooMuchWorkError

NEIGHBORS = settings(derandomize=True, deadline=None, max_examples=150)
DRAFTS = {
    "http://json-schema.org/draft-04/schema#": Draft4Validator,
    "http://json-schema.org/draft-07/schema#": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}


def problems(schema, text: str) -> list[tuple[str, str]]:
    """Return place and keyword of each problem; none if the message is valid."""
    try:
        SchemaContract("x", schema).parse(text, {})
    except ContractViolationError as error:
        return [(problem.where, problem.what) for problem in error.problems]
    return []


def generated_schemas(draft: str):
    leaves = st.sampled_from(
        [
            {"type": "integer"},
            {"type": ["string", "null"]},
            {"minimum": 1},
            {"maxLength": 1},
            {"enum": [1, "a", None, [1]]},
            {"const": {"a": 1}},
            {"pattern": "^a"},
            {"pattern": "^(?!b)"},
            {"minItems": 1},
            {"uniqueItems": True},
            {"required": ["a"]},
            {"maxProperties": 1},
            {"$ref": "#/definitions/tree"},
            {},
        ]
    )
    names = st.sampled_from(["a", "b", "items"])

    def combined(below):
        applied = [
            st.fixed_dictionaries({"properties": st.dictionaries(names, below, max_size=2)}),
            st.fixed_dictionaries({"properties": st.just({"a": {}}), "additionalProperties": below | st.just(False)}),
            st.fixed_dictionaries({"patternProperties": st.fixed_dictionaries({"^[ab]$": below})}),
            st.fixed_dictionaries({"items": below}),
            st.fixed_dictionaries({"allOf": st.lists(below, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"anyOf": st.lists(below, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"oneOf": st.lists(below, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"not": below}),
        ]
        if "draft-04" not in draft:
            applied.append(st.fixed_dictionaries({"if": below, "then": below, "else": below}))
            applied.append(st.fixed_dictionaries({"contains": below}))
            applied.append(st.fixed_dictionaries({"propertyNames": below}))
        if "2020" in draft:
            applied.append(st.fixed_dictionaries({"prefixItems": st.lists(below, min_size=1), "items": below}))
            applied.append(
                st.fixed_dictionaries({"allOf": st.lists(below, min_size=1), "unevaluatedProperties": st.just(False)})
            )
        return st.one_of(applied)

    tree = {"type": "object", "properties": {"a": {"$ref": "#/definitions/tree"}}}
    return st.recursive(leaves, combined, max_leaves=5).map(
        lambda schema: {"$schema": draft, "definitions": {"tree": tree}, "allOf": [schema]}
    )


contents = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([1.0, 0.5]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("draft", DRAFTS)
def test_the_verdict_is_that_of_another_library(draft):
    @given(generated_schemas(draft), contents)
    @NEIGHBORS
    def check(schema, content):
        expected = list(DRAFTS[draft](schema).iter_errors(content))
        found = problems(schema, json.dumps(content))
        assert bool(found) == bool(expected), (schema, content)
        # Every place is the place of an error, and nothing of the message is in it.
        places = {".".join(["body", *map(str, error.absolute_path)]) for error in expected}
        for where, what in found:
            place = where.rpartition(".")[0] if what == "required" else where
            masked = re.compile(re.escape(place).replace(r"\*", "[abc]"))
            assert any(masked.fullmatch(one) for one in places), (schema, content, found)

    check()


@given(
    st.decimals(-10_000, 10_000, places=4),
    st.sampled_from(["0.01", "0.1", "0.005", "0.3", "1e-4", "2.5", "7"]),
    st.decimals(-100, 100, places=6),
)
@NEIGHBORS
def test_numbers_are_compared_as_fractions(number, divisor, limit):
    text = format(number, "f")
    schema = {"multipleOf": Decimal(divisor)}
    assert (problems(schema, text) == []) == (Fraction(text) % Fraction(divisor) == 0)
    assert (problems({"maximum": limit}, text) == []) == (Fraction(text) <= Fraction(limit))
    assert (problems({"exclusiveMinimum": limit}, text) == []) == (Fraction(text) > Fraction(limit))
    both = f"[{text}, {text}0]"
    assert problems({"uniqueItems": True}, both) == [("body", "uniqueItems")]


def order(size: int, seed: int) -> str:
    draw = random.Random(seed)
    lines: list[dict] = []
    text = ""
    while len(text) < size:
        for _ in range(max(1, size // 200)):
            price = draw.randrange(1, 100_000)
            lines.append({"sku": f"SKU-{len(lines)}", "quantity": draw.randrange(1, 9), "price": price / 100})
        text = json.dumps({"id": f"o-{seed}", "email": "a@example.com", "lines": lines})
    return text


LINE = {
    "type": "object",
    "required": ["sku", "quantity", "price"],
    "additionalProperties": False,
    "properties": {
        "sku": {"type": "string", "pattern": "^SKU-[0-9]+$"},
        "quantity": {"type": "integer", "minimum": 1},
        "price": {"type": "number", "multipleOf": 0.01},
    },
}
VARIANTS = {
    "plain": LINE,
    "look-around": LINE | {"properties": LINE["properties"] | {"sku": {"pattern": "^(?!X)(?=.*[0-9])SKU-[0-9]+$"}}},
    "backreference": LINE | {"properties": LINE["properties"] | {"sku": {"pattern": r"^(S)KU-(?!\1)[0-9]+$"}}},
    "alternatives": {"oneOf": [LINE, {"type": "string"}, {"required": ["never"]}]},
    "catalog": {"oneOf": [LINE, *({"required": [f"field{number}"]} for number in range(200))]},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [100, 1_000, 10_000, 46_000, 100_000, 184_000, 210_000, 262_144, 500_000, 900_000])
def test_a_valid_order_of_any_size_is_valid_however_slow_the_machine(variant, size, monkeypatch):
    # Each look at a clock finds it an hour later.
    hours = iter(range(10**9))
    for clock in ("monotonic", "perf_counter", "time", "process_time", "thread_time"):
        monkeypatch.setattr(time, clock, lambda: 3600.0 * next(hours))
    schema = {
        "type": "object",
        "properties": {"lines": {"type": "array", "uniqueItems": True, "items": VARIANTS[variant]}},
    }
    assert problems(schema, order(size, 1)) == []


@pytest.mark.parametrize("repeats", [20, 50, 200, 1_000, 5_000, 20_000])
@pytest.mark.parametrize(
    "pattern", [r"^(x+x+)+\1y$", r"^(?=x)(x+x*)+\1z$", r"^(?:(x+)+)+(?!x)\1y$", r"^((x|xx)+)\1+y$", r"(x+x+)+(?<!x)y"]
)
@pytest.mark.parametrize("within", ["{}", '{{"not": {}}}', '{{"anyOf": [{}, {{}}]}}'])
def test_a_match_is_decided_rightly_or_not_at_all(pattern, repeats, within):
    # Every text ends without what the pattern ends with, so none matches.
    schema = json.loads(within.format(json.dumps({"pattern": pattern})))
    try:
        found = problems(schema, json.dumps("x" * repeats))
    except TooMuchWorkError:
        return
    assert found == ([("body", "pattern")] if "pattern" in schema else [])
