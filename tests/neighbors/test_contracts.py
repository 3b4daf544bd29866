"""JSON Schema contracts: the verdict is that of another library with exact numbers, on any machine and for any size."""

import json
import random
import re
import time
from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft201909Validator, Draft202012Validator

from redrive.contracts.contract import ContractViolationError
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.schema_costs import values_in
from redrive.contracts.schema_parts import InvalidSchemaError
from redrive.contracts.schema_problems import Problems
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
            {"enum": [{"a": 1}]} if "draft-04" in draft else {"const": {"a": 1}},
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


# Patterns as ECMA-262 has them, written for Python's engine

SPACE = "\\t\\n\\v\\f\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
FRAGMENTS = {
    r"\d": "[0-9]", r"\D": "[^0-9]", r"\w": "[0-9A-Za-z_]", r"\W": "[^0-9A-Za-z_]", r"\s": f"[{SPACE}]",
    r"\S": f"[^{SPACE}]", ".": r"[^\n\r\u2028\u2029]", r"[^\w]": "[^0-9A-Za-z_]", r"[\d\s]": f"[0-9{SPACE}]",
    r"[^\S]": f"[{SPACE}]", r"[\w.-]": "[0-9A-Za-z_.-]", r"\b": r"(?a:\b)", "a": "a", r"\.": r"\.",
    # Python's \B doesn't match an empty text.
    r"\B": "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
    r"\\\\": r"\\\\", "$": r"\Z", "^": r"\A", "(?:a|$)": r"(?:a|\Z)", r"\d{2}": "[0-9]{2}",
    ".*": r"[^\n\r\u2028\u2029]*",
}  # fmt: skip
SIGNS = "aZ_05 .\\\n\r\t\v\u0085\u00a0\u00e9\u0660\u0665\u1680\u2028\u2029\u200b\ufeff\u0391\U0001f600"


@given(
    st.lists(st.sampled_from(sorted(FRAGMENTS)), min_size=1, max_size=4),
    st.text(SIGNS, max_size=4),
    st.sampled_from([("", ""), ("(?!q)", ""), ("(?=.|)", ""), ("", "(?<!q)")]),
)
@settings(derandomize=True, deadline=None, max_examples=1_500)
def test_a_pattern_means_what_ecma_262_says_with_and_without_look_around(fragments, text, around):
    before, after = around
    expected = re.search("".join(FRAGMENTS[fragment] for fragment in fragments), text) is not None
    pattern = before + "".join(fragments) + after
    assert (problems({"pattern": pattern}, json.dumps(text)) == []) is expected, pattern
    name = {"patternProperties": {pattern: False}}
    assert (problems(name, json.dumps({text: 1})) != []) is expected, pattern


# Work on numbers and choices


NUMERIC = [
    {"multipleOf": Decimal("0.01")},
    {"multipleOf": 7},
    {"maximum": Decimal("0.1"), "minimum": -5},
    {"enum": [Decimal(number) / 10 for number in range(5)]},
    {"enum": [1, 2, None, "a"]},
    {"const": Decimal("0.5")},
    {"type": "integer"},
]


@pytest.mark.parametrize("schema", NUMERIC)
@pytest.mark.parametrize("number", ["1e1000", "1e-1000", "0." + "9" * 990, "9" * 999, "1.5e500"])
def test_work_on_long_numbers_is_bounded_and_short_ones_are_decided(schema, number):
    array = {"items": schema, "uniqueItems": True}
    for content in (f"[{number}]", "[0.5, 1, 2.25, 1e3]", json.dumps([round(n / 100, 2) for n in range(2_000)])):
        problems(array, content)
    most = f"[{','.join([number] * (1_000_000 // len(number)))}]"
    contract = SchemaContract("x", {"items": {"allOf": [schema] * 30}})
    try:
        contract.parse(most, {})
    except (TooMuchWorkError, ContractViolationError):
        return
    # Only what is looked up takes no more work for a long number.
    assert set(schema) <= {"type"} or schema == {"enum": [1, 2, None, "a"]}


def test_a_catalog_of_events_with_prices_is_decided_for_large_messages():
    prices = {"type": "number", "multipleOf": Decimal("0.01"), "minimum": 0}
    event = {"properties": {"kind": {"type": "string"}, "lines": {"items": {"properties": {"price": prices}}}}}
    kinds = [{"allOf": [event, {"properties": {"kind": {"const": f"k{number}"}}}]} for number in range(20)]
    message = {"kind": "k3", "lines": [{"sku": f"SKU-{number}", "price": number / 4} for number in range(3_000)]}
    assert problems({"oneOf": kinds}, json.dumps(message)) == []


def test_many_dependent_names_are_counted():
    names = [f"n{number}" for number in range(4_000)]
    items = [dict.fromkeys(names, 1)] + [{"a": 1}] * 100_000
    with pytest.raises(TooMuchWorkError):
        problems({"items": {"dependentRequired": {"a": names}}}, json.dumps(items))


@pytest.mark.parametrize("depth", [0, 10, 28])
def test_finding_the_problems_of_a_large_message_takes_little_more_than_checking_it(depth, monkeypatch):
    looked_at = []
    valid = Problems._valid
    monkeypatch.setattr(
        Problems, "_valid", lambda self, *args: looked_at.append(values_in(args[1])) or valid(self, *args)
    )
    node = {"properties": {"a": {"$ref": "#"}, "l": {"items": {"type": "integer"}}}, "anyOf": [{"$ref": "#/$defs/m"}]}
    schema = node | {"$defs": {"m": {"properties": {"a": {"$ref": "#"}}}}}
    content = {"l": [*range(5_000), "x"]}
    for _ in range(depth):
        content = {"a": content}
    found = problems(schema, json.dumps(content))
    assert found
    assert all(where.startswith("body") for where, _ in found)
    assert sum(looked_at) <= 10_000 + 7 * values_in(content)


# Message attributes


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    ("place", "inside"),
    [
        *product(["#/definitions/k", "#/x-attributes/properties/j", "#k"], [True, False]),
        ("#/x-attributes/definitions/k", True),
    ],
)
def test_a_reference_in_the_attributes_leads_to_definitions_there_or_at_the_top(draft, place, inside):
    anchor = {"id": "#k"} if "04" in draft else {"$id": "#k"} if "07" in draft else {"$anchor": "k"}
    pattern = {"type": "string", "pattern": "^a$"}
    own = {"properties": {"k": {"$ref": place}, "j": {"$ref": "#/definitions/k"}}}
    if place == "#k":
        pattern = pattern | anchor
    definitions = {"definitions": {"k": pattern}}
    document = {"$schema": draft, "x-attributes": own | (definitions if inside else {})}
    document |= {} if inside else definitions
    contract = SchemaContract("x", document)
    for value in ("a", "b"):
        attributes = {"k": {"DataType": "String", "StringValue": value}}
        if value == "a":
            contract.parse("{}", attributes)
        else:
            with pytest.raises(ContractViolationError, match=r"attributes\.k: pattern"):
                contract.parse("{}", attributes)


def test_the_attributes_own_definitions_come_first_and_another_dialect_shares_none():
    string = {"k": {"type": "string"}}
    own = {"$defs": {"k": {"type": "integer"}}, "properties": {"k": {"$ref": "#/$defs/k"}}}
    contract = SchemaContract("x", {"$defs": string, "x-attributes": own})
    assert contract.attributes_schema["$defs"] == own["$defs"]
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"k": {"$ref": "#/$defs/k"}}}
    with pytest.raises(InvalidSchemaError, match="refers to nothing"):
        SchemaContract("x", {"$defs": string, "x-attributes": draft})
