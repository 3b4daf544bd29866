"""Contracts as JSON Schemas: what they accept, which documents are refused, and that no check runs forever."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from redrive.contracts.contract import ContractViolationError, Violation
from redrive.contracts.json_schema import InvalidSchemaError, SchemaContract
from redrive.contracts.time_limit import SECONDS, TookTooLongError
from tests.support import factories

ORDER = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "pattern": "^o-[0-9]+$"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "uniqueItems": True},
    },
    "$defs": {"line": {"type": "object", "required": ["sku"]}},
    "x-attributes": {
        "type": "object",
        "required": ["store_id"],
        "properties": {"store_id": {"type": "integer", "maximum": 5}},
    },
}
GOOD = '{"id": "o-1", "lines": [{"sku": "a"}]}'


def violation(body: str, attributes=None, schema=ORDER) -> tuple[str, list[str]]:
    with pytest.raises(ContractViolationError) as caught:
        SchemaContract("order", schema).parse(body, factories.store_id() if attributes is None else attributes)
    return caught.value.violation, [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


def test_a_message_that_satisfies_the_schema_is_parsed():
    assert SchemaContract("order", ORDER).parse(GOOD, factories.store_id()) == json.loads(GOOD)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ('{"lines": []}', ["body.id: required"]),
        ('{"id": "x", "lines": []}', ["body.id: pattern"]),
        ('{"id": "o-1", "lines": [{}]}', ["body.lines.0.sku: required"]),
        ('{"id": "o-1", "lines": [{"sku": 1}, {"sku": 1.0}]}', ["body.lines: uniqueItems"]),
        ("[]", ["body: type"]),
    ],
)
def test_a_violation_has_the_place_and_the_rule(body, problems):
    assert violation(body) == (Violation.INVALID_BODY, problems)


@pytest.mark.parametrize("body", ["", "{", "NaN", '{"id": NaN}', '"\\ud800"', "[" * 5000 + "]" * 5000])
def test_a_body_that_cannot_be_parsed_is_not_json(body):
    assert violation(body) == (Violation.NOT_JSON, ["body: json_invalid"])


@pytest.mark.parametrize(
    ("attributes", "code", "problem"),
    [
        ({}, Violation.MISSING_ATTRIBUTE, "attributes.store_id: required"),
        (factories.store_id("9"), Violation.INVALID_ATTRIBUTE, "attributes.store_id: maximum"),
        ({"store_id": factories.string("3")}, Violation.INVALID_ATTRIBUTE, "attributes.store_id: type"),
    ],
)
def test_attributes_have_a_schema_of_their_own(attributes, code, problem):
    assert violation(GOOD, attributes) == (code, [problem])


def test_items_that_differ_only_in_type_are_different():
    schema = {"uniqueItems": True}
    assert SchemaContract("x", schema).parse('[1, true, "1", [1], {"a": 1}, null]', {})
    for twice in ("[1, 1.0]", "[[1], [1]]", '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]'):
        assert violation(twice, {}, schema)[1] == ["body: uniqueItems"]


def test_a_problem_names_nothing_that_the_schema_does_not_name():
    schema = {"additionalProperties": {"type": "integer"}, "properties": {"id": {}}}
    assert violation('{"alice@example.com": "secret"}', {}, schema)[1] == ["body.*: type"]


def test_the_problems_of_a_message_are_limited():
    problems = violation(json.dumps(["x"] * 5000), {}, {"items": {"type": "integer"}})[1]
    assert len(problems) == 20


# Documents that are no usable schema


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "expected a JSON object, found list"),
        ("object", "expected a JSON object, found str"),
        ({"type": "strin"}, "not a JSON Schema: type breaks the rule"),
        ({"properties": {"a": {"minLength": "1"}}}, "not a JSON Schema: properties/a/minLength breaks the rule"),
        ({"properties": {"a": {"pattern": "("}}}, "properties/a/pattern"),
        ({"$ref": "#/$defs/none"}, "refers to nothing in this document"),
        ({"$ref": "https://example.com/order.json"}, "refers to nothing in this document"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "refers to nothing in this document"),
        ({"$ref": "#"}, "refers back to itself endlessly"),
        ({"x-attributes": {"type": "strin"}}, "not a JSON Schema"),
        ({"x-sns-delivery": "naked"}, "x-sns-delivery: expected raw or wrapped, found 'naked'"),
    ],
)
def test_a_document_that_is_no_usable_schema_is_refused(document, problem):
    with pytest.raises(InvalidSchemaError, match=problem):
        SchemaContract("order", document)


def doubling(depth: int) -> dict:
    parts = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/0", "$defs": parts | {str(depth): {}}}


def test_a_schema_that_never_ends_is_refused():
    with pytest.raises(InvalidSchemaError, match="checking an empty message takes longer than"):
        SchemaContract("slow", doubling(40))


# Messages that take a schema too long


def seconds_of(contract: SchemaContract, body: str) -> float:
    started = time.process_time()
    with pytest.raises(TookTooLongError):
        contract.parse(body, {})
    return time.process_time() - started


def test_a_pattern_that_takes_too_long_is_ended():
    # Each further x triples the time.
    contract = SchemaContract("slow", {"pattern": "^(x+x+)+(x+x+)+y$"})
    assert seconds_of(contract, json.dumps("x" * 5000)) < 20 * SECONDS


def test_a_pattern_for_names_that_takes_too_long_is_ended():
    contract = SchemaContract("slow", {"patternProperties": {"^(x+x+)+(x+x+)+y$": {}}})
    assert seconds_of(contract, json.dumps({"x" * 5000: 1})) < 20 * SECONDS


def test_rules_that_multiply_are_ended():
    contract = SchemaContract(
        "slow",
        {"properties": {"a": doubling(40) | {"$ref": "#/properties/a/$defs/0"}} | {"b": {}}}
        | {"$defs": doubling(40)["$defs"]},
    )
    assert seconds_of(contract, '{"a": 1}') < 20 * SECONDS


def test_a_reference_in_a_circle_is_ended():
    contract = SchemaContract("circle", {"properties": {"a": {"$ref": "#/properties/a"}}})
    with pytest.raises(TookTooLongError):
        contract.parse('{"a": 1}', {})


def test_many_items_are_compared_quickly():
    contract = SchemaContract("list", {"uniqueItems": True})
    assert len(contract.parse(json.dumps([{"a": n} for n in range(20_000)]), {})) == 20_000


SCHEMAS = [
    {"type": "object", "additionalProperties": False, "patternProperties": {"^a": {"type": "integer"}}},
    {"type": "array", "uniqueItems": True, "maxItems": 4},
    {"anyOf": [{"type": "string", "pattern": "^a+$"}, {"enum": [1, None]}]},
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(SCHEMAS), values)
@settings(deadline=None)
def test_it_accepts_exactly_what_the_library_does(schema, content):
    try:
        SchemaContract("x", schema).parse(json.dumps(content), {})
        accepted = True
    except ContractViolationError:
        accepted = False
    assert accepted == Draft202012Validator(schema).is_valid(content)
