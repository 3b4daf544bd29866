"""Contracts as JSON Schemas: what they accept, which documents are refused, and that no check runs forever."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from redrive.contracts.contract import ContractViolationError, Violation
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.schema_parts import InvalidSchemaError
from redrive.contracts.work import TooMuchWorkError
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


@pytest.mark.parametrize("body", ["", "{", "NaN", '{"id": NaN}', '"\\ud800"', '{"a": "\\uDC00"}', "01"])
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
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "refers back to itself endlessly"),
        ({"minimum": float("nan")}, "minimum breaks the rule"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "draft-03/schema#' isn't supported; expected"),
        ({"$schema": "https://example.com/mine"}, "the dialect 'https://example.com/mine' isn't supported"),
        ({"$schema": 7}, "the dialect 7 isn't supported"),
        (
            {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
            "expected one dialect in a document, found 'http://json-schema.org/draft-07/schema#' too",
        ),
        ({"x-attributes": []}, "x-attributes: expected a JSON object, found list"),
        ({"x-attributes": None}, "x-attributes: expected a JSON object, found NoneType"),
        ({"properties": {"a": {"x-attributes": {}}}}, "x-attributes: expected only at the top"),
        ({"x-attribute": {}}, "x-attribute: unknown keyword; did you mean x-attributes?"),
        ({"x_sns_delivery": "raw"}, "did you mean x-sns-delivery?"),
        ({"x-sns-delivery": None}, "x-sns-delivery: expected raw or wrapped, found None"),
        ({"properties": {"a": {"x-personal": "true"}}}, "x-personal: expected true or false, found 'true'"),
        ({"properties": {"a": {"X-Safe": True}}}, "X-Safe: unknown keyword; did you mean x-safe?"),
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


def test_a_schema_whose_references_multiply_is_refused():
    with pytest.raises(InvalidSchemaError, match=r"one value can take .* steps; the limit is 100,000"):
        SchemaContract("slow", doubling(40))
    with pytest.raises(InvalidSchemaError, match="multiply"):
        SchemaContract("slow", {"properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": doubling(40)["$defs"]})


def test_a_schema_that_is_nested_too_deeply_is_refused():
    deep: dict = {}
    for _ in range(5_000):
        deep = {"not": deep}
    with pytest.raises(InvalidSchemaError, match="nested too deeply"):
        SchemaContract("deep", deep)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"enum": {"pattern": "^a"}, "pattern": {"type": "integer"}}},
        {"const": {"pattern": 5, "$ref": "#/nowhere", "x-safe": 1}},
        {"x-team": "orders", "properties": {"a": {"x-order": 1}, "minLenght": {}}},
        {"$id": "https://example.com/order", "$ref": "order#/$defs/a", "$defs": {"a": {"$anchor": "a"}}},
        {"$ref": "#/components/order", "components": {"order": {"type": ["integer", "object", "array"]}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "definitions": {"a": True}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 9, "exclusiveMaximum": True},
    ],
)
def test_a_document_that_is_a_schema_is_accepted(schema):
    SchemaContract("order", schema)


# Messages that take a schema too much work


BACKREFERENCE = "^(x+x+)+\\1y$"


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        ({"pattern": BACKREFERENCE}, "x" * 5_000),
        ({"not": {"pattern": BACKREFERENCE}}, "x" * 5_000),
        ({"anyOf": [{"pattern": BACKREFERENCE}, {}]}, "x" * 5_000),
        ({"propertyNames": {"pattern": BACKREFERENCE}}, {"x" * 5_000: 1}),
        ({"patternProperties": {BACKREFERENCE: False}}, {"x" * 5_000: 1}),
        ({"not": {"patternProperties": {BACKREFERENCE: False}}}, {"x" * 5_000: 1}),
        ({"items": {"pattern": BACKREFERENCE}}, ["x" * 200] * 150),
        ({"pattern": "(a|b)*a(a|b){5000}c"}, "ab" * 100_000),
    ],
)
def test_a_match_that_takes_too_much_work_decides_nothing(schema, content):
    with pytest.raises(TooMuchWorkError):
        SchemaContract("slow", schema).parse(json.dumps(content), {})


def test_a_pattern_that_backtracks_elsewhere_is_matched_in_linear_time():
    schema = {"pattern": "^(x+x+)+(x+x+)+y$"}
    assert violation(json.dumps("x" * 100_000), {}, schema)[1] == ["body: pattern"]


@pytest.mark.parametrize("pattern", ["^(?!foo)[a-z]+$", "^(?=.*[a-z])[a-z0-9]{1,40}$", "(?<!-)[a-z]$"])
def test_many_strings_under_a_pattern_with_look_around_are_decided(pattern):
    lines = [f"sku{number}abc" for number in range(5_000)]
    schema = {"items": {"pattern": pattern}}
    assert len(SchemaContract("order", schema).parse(json.dumps(lines), {})) == 5_000 if "0-9" in pattern else True
    assert violation(json.dumps(["foo!"]), {}, schema)[1] == ["body.0: pattern"]


def test_a_message_after_one_that_took_too_much_work_is_judged():
    contract = SchemaContract("slow", {"pattern": BACKREFERENCE})
    with pytest.raises(TooMuchWorkError):
        contract.parse(json.dumps("x" * 5_000), {})
    assert contract.parse(json.dumps("xxxxy"), {}) == "xxxxy"


@pytest.mark.parametrize(
    "body",
    [
        "[" * 201 + "]" * 201,
        '{"a":' * 201 + "1" + "}" * 201,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "9" * 1_001,
        "0." + "9" * 1_001,
        "1e1001",
        "1e999999999",
        "-1e-99999",
    ],
)
def test_a_message_too_deep_or_with_too_many_digits_is_undecided(body):
    for schema in ({}, {"multipleOf": 0.01}, {"items": {"$ref": "#"}, "uniqueItems": True}):
        with pytest.raises(TooMuchWorkError):
            SchemaContract("any", schema).parse(body, {})


def test_brackets_in_strings_nest_nothing():
    assert SchemaContract("any", {}).parse(json.dumps(["[" * 5_000, "{" * 5_000]), {})


def test_alternatives_that_recurse_are_decided_and_named():
    part = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    schema = {"anyOf": [part, part | {"minProperties": 1}]}
    body = '{"a":' * 60 + "5" + "}" * 60
    assert violation(body, {}, schema)[1] == ["body: anyOf"]
    schema = {"type": "object", "allOf": [{"properties": {"a": {"$ref": "#"}}}] * 3, "properties": {"a": {"$ref": "#"}}}
    assert violation('{"a":' * 20 + "5" + "}" * 20, {}, schema)[1] == ["body." + "a." * 19 + "a: type"]


# Exact numbers


@pytest.mark.parametrize(
    ("schema", "number", "valid"),
    [
        ({"multipleOf": 0.01}, "19.99", True),
        ({"multipleOf": 0.01}, "19.999", False),
        ({"maximum": 0.1}, "0.1", True),
        ({"maximum": 0.1}, "0.1000000000000000000001", False),
        ({"const": 12345678901234567890}, "12345678901234567890", True),
        ({"const": 12345678901234567890}, "12345678901234567891", False),
        ({"maximum": 5}, "1e400", False),
        ({"exclusiveMinimum": 0}, "1e-400", True),
        ({"type": "integer"}, "1e400", True),
        ({"type": "integer"}, "1.0", True),
        ({"multipleOf": 3}, "1" + "0" * 900, False),
        ({"uniqueItems": True}, "[0.1, 0.10]", False),
        ({"uniqueItems": True}, "[1, 1.0000000000000000000001]", True),
        ({"uniqueItems": True}, '[1.5, [0, "1.5", "+0"], ["1.5", "+0"], "1.5"]', True),
    ],
)
def test_numbers_are_compared_exactly(schema, number, valid):
    if valid:
        SchemaContract("price", schema).parse(number, {})
    else:
        assert violation(number, {}, schema)[0] == Violation.INVALID_BODY


@pytest.mark.parametrize(
    ("value", "schema", "valid"),
    [
        ("123456789.123456789", {"const": Decimal("123456789.123456789")}, True),
        ("123456789.12345679", {"const": Decimal("123456789.123456789")}, False),
        ("+5", {"type": "integer"}, True),
        ("007", {"const": 7}, True),
        ("5.0", {"type": "integer"}, True),
        ("seven", {"type": "number"}, False),
        ("seven", {"type": "string"}, True),
    ],
)
def test_number_attributes_are_exact(value, schema, valid):
    attributes = {"n": {"DataType": "Number", "StringValue": value}}
    document = {"x-attributes": {"properties": {"n": schema}}}
    if valid:
        SchemaContract("n", document).parse("{}", attributes)
    else:
        assert violation("{}", attributes, document)[0] == Violation.INVALID_ATTRIBUTE


def test_a_binary_attribute_is_base64():
    document = {"x-attributes": {"properties": {"b": {"const": "AAE="}}}}
    attributes = {"b": {"DataType": "Binary", "BinaryValue": b"\0\1"}}
    SchemaContract("b", document).parse("{}", attributes)


def test_format_and_content_are_annotations_in_every_draft():
    for draft in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        schema = {"$schema": draft, "format": "email", "contentEncoding": "base64", "contentMediaType": "text/json"}
        SchemaContract("x", schema).parse('"no email"', {})


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


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^[\p{L}\p{N}\p{P}\p{S}\s]{1,2000}$", "too large"),
        (r"^(?<a>x)\k<a>$", "isn't supported"),
        ("^[^]$", "isn't supported"),
        (r"^\0$", "isn't supported"),
        ("(", "isn't supported"),
        ("a{5,2}", "isn't supported"),
        ("(?i)^a$", r"use|such as \[Aa\]"),
        (r"^\Aa$", r"use \^"),
        (r"a\z", r"use \$"),
        ("a++", r"use \+"),
    ],
)
def test_a_refused_pattern_is_told_why(pattern, why):
    with pytest.raises(InvalidSchemaError, match=why):
        SchemaContract("x", {"pattern": pattern})


@pytest.mark.parametrize(
    "pattern", [r"\p{L}+", r"\++", r"[*+?+]", r"\u{41}+", r"(?:a)+", "(?<b>a)+", "(?!a)", "a+?", r"\\A"]
)
def test_a_pattern_of_ecma_262_is_accepted(pattern):
    SchemaContract("x", {"pattern": pattern})
