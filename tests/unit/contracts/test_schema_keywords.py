"""Keywords that would be ignored are refused when a contract is loaded; annotations are not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_specifications import REGISTRY

from redrive.contracts.contract import ContractViolationError
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.schema_parts import InvalidSchemaError

DRAFTS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}
# JSON Schema Validation 2020-12, sections 8 and 9; Core, section 8.3; OpenAPI 3.1, 4.8.24.1.
ANNOTATIONS = {
    "title": "Order", "description": "An order", "default": 1, "examples": [1], "deprecated": True, "readOnly": True,
    "writeOnly": False, "$comment": "why", "contentMediaType": "text/plain", "contentEncoding": "base64",
    "contentSchema": {"requird": []}, "format": "date-time", "x-order": 1, "x-attributes-of": {"requird": 1},
    "example": 1, "externalDocs": {"url": "https://example.com"}, "xml": {"name": "a"},
    "discriminator": {"propertyName": "kind"}, "$defs": {}, "definitions": {},
}  # fmt: skip
# Each with a value that breaks it.
ASSERTIONS = {
    "type": ("string", 1), "enum": ([1], 2), "const": (1, 2), "multipleOf": (2, 3), "maximum": (1, 2),
    "minimum": (2, 1), "maxLength": (1, "ab"), "minLength": (1, ""), "pattern": ("a", "b"), "maxItems": (0, [1]),
    "minItems": (1, []), "uniqueItems": (True, [1, 1]), "maxProperties": (0, {"a": 1}), "minProperties": (1, {}),
    "required": (["a"], {}), "properties": ({"a": {"type": "string"}}, {"a": 1}),
    "patternProperties": ({"a": {"type": "string"}}, {"a": 1}), "additionalProperties": (False, {"a": 1}),
    "items": ({"type": "string"}, [1]), "allOf": ([{"type": "string"}], 1), "anyOf": ([{"type": "string"}], 1),
    "oneOf": ([{"type": "string"}], 1), "not": ({}, 1), "contains": (False, [1]), "propertyNames": (False, {"a": 1}),
    "dependencies": ({"a": ["b"]}, {"a": 1}), "dependentRequired": ({"a": ["b"]}, {"a": 1}),
    "dependentSchemas": ({"a": False}, {"a": 1}), "prefixItems": ([False], [1]),
    "unevaluatedItems": (False, [1]), "unevaluatedProperties": (False, {"a": 1}),
}  # fmt: skip


def refused(document: object) -> str:
    with pytest.raises(InvalidSchemaError) as error:
        SchemaContract("x", document)
    return str(error.value)


def metaschema_keywords(draft: int) -> set[str]:
    found: set[str] = set()
    pending = [DRAFTS[draft].removesuffix("#")]
    while pending:
        uri = pending.pop()
        contents = REGISTRY.get_or_retrieve(uri).value.contents
        found |= set(contents["properties"])
        base = uri.rpartition("/")[0]
        pending += [f"{base}/{one['$ref']}" for one in contents.get("allOf", [])]
    return found | {"$ref"}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("keyword", ASSERTIONS)
def test_a_keyword_is_applied_or_refused(draft, keyword):
    wanted, broken = ASSERTIONS[keyword]
    schema = {"$schema": DRAFTS[draft], "properties": {"a": {keyword: wanted}}}
    if keyword not in metaschema_keywords(draft):
        text = refused(schema)
        assert f"properties/a/{keyword}: a keyword of JSON Schema" in text
        assert ("2020-12, but not of" in text) or keyword in metaschema_keywords(7)
        return
    with pytest.raises(ContractViolationError, match=rf"body.*: ({keyword}|type|contains)"):
        SchemaContract("x", schema).parse(json.dumps({"a": broken}), {})


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("keyword", ANNOTATIONS)
def test_an_annotation_of_any_draft_is_accepted(draft, keyword):
    annotated = {keyword: ANNOTATIONS[keyword], "type": "object"}
    schema = {"$schema": DRAFTS[draft], **annotated, "properties": {"a": annotated}}
    SchemaContract("x", schema).parse("{}", {})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"requird": ["a"]}, "requird: unknown keyword; did you mean required?"),
        ({"items": {"propertis": {}}}, "items/propertis: unknown keyword; did you mean properties?"),
        ({"additionalProperites": False}, "additionalProperites: unknown keyword; did you mean additionalProperties?"),
        ({"$defs": {"a/b": {"max_length": 1}}}, "$defs/a~1b/max_length: unknown keyword; did you mean maxLength?"),
        ({"anyOf": [{}, {"enums": [1]}]}, "anyOf/1/enums: unknown keyword; did you mean enum?"),
        ({"x-attributes": {"requierd": ["a"]}}, "x-attributes/requierd: unknown keyword; did you mean required?"),
        ({"colour": "red"}, "colour: unknown keyword; annotations begin with x-"),
        ({"xcolour": "red"}, "xcolour: unknown keyword; annotations begin with x-"),
        ({"nullable": True}, "nullable: a keyword of OpenAPI 3.0, which JSON Schema ignores; add null to the type"),
        ({"items": [{}]}, "items: lists of schemas are of drafts up to 2019-09; use prefixItems"),
        ({"$recursiveRef": "#"}, "$recursiveRef: a keyword of JSON Schema 2019-09, but not of 2020-12"),
        ({"id": "order"}, "id: a keyword of JSON Schema draft 4, but not of 2020-12"),
        ({"then": False}, "then: means nothing without if"),
        ({"minContains": 2}, "minContains: means nothing without contains"),
        (
            {"$schema": DRAFTS[7], "$ref": "#/definitions/a", "definitions": {"a": {}}, "minLength": 1},
            "minLength: up to draft 7, keywords next to $ref are ignored",
        ),
        (
            {"$ref": "#/components/schemas/a", "components": {"schemas": {"a": {"requird": []}}}},
            "components/schemas/a/requird: unknown keyword",
        ),
        ({"components": {"a": {}}}, "components: unknown keyword"),
        ({"properties": {"a": {"x-assert-formats": True}}}, "x-assert-formats: expected only at the top"),
        ({"x-assert-format": True}, "did you mean x-assert-formats?"),
        ({"x-assert-formats": "yes"}, "x-assert-formats: expected true or false"),
        ({"x-assert-formats": True, "format": "datetime"}, "format: 'datetime' isn't a format of JSON Schema 2020-12"),
        ({"x-assert-formats": True, "format": "regex"}, "regex isn't supported"),
        (
            {"x-assert-formats": True, "x-attributes": {"properties": {"a": {"format": "day"}}}},
            "x-attributes/properties/a/format: 'day' isn't a format",
        ),
    ],
)
def test_a_keyword_that_would_be_ignored_is_refused_with_its_place_and_what_to_use(schema, problem):
    assert problem in refused(schema)


@given(st.sampled_from(sorted(ASSERTIONS)), st.data())
@settings(derandomize=True, deadline=None, max_examples=200)
def test_a_misspelled_keyword_is_refused_anywhere_and_the_right_one_is_named(keyword, data):
    at = data.draw(st.integers(0, len(keyword) - 1))
    edit = data.draw(st.sampled_from(["drop", "double", "swap", "case"]))
    letter = keyword[at]
    misspelled = {
        "drop": keyword[:at] + keyword[at + 1 :],
        "double": keyword[:at] + letter + keyword[at:],
        "swap": keyword[:at] + keyword[at + 1 : at + 2] + letter + keyword[at + 2 :],
        "case": keyword[:at] + letter.swapcase() + keyword[at + 1 :],
    }[edit]
    if misspelled in {one for draft in DRAFTS for one in metaschema_keywords(draft)}:
        return
    wrong = {misspelled: ASSERTIONS[keyword][0]}
    around = [
        {"properties": {"a": wrong}}, {"items": wrong}, {"not": wrong}, {"allOf": [{}, wrong]}, {"$defs": {"d": wrong}},
        {"if": wrong, "then": {}}, {"patternProperties": {"^a": wrong}}, {"additionalProperties": wrong},
        {"x-attributes": wrong}, {"prefixItems": [wrong]}, {"dependentSchemas": {"a": wrong}},
    ]  # fmt: skip
    text = refused(data.draw(st.sampled_from(around)))
    assert f"{misspelled}: unknown keyword; " in text
    # `allOf` without a letter is near `anyOf`, too.
    assert "did you mean" in text or len(misspelled) <= 3


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"requird": {}, "nullable": {}, "x-safe": {}}},
        {"enum": [{"requird": 1}], "const": {"propertis": {}}, "default": {"nullable": 1}, "examples": [{"type": 5}]},
        {"$defs": {"requird": {}}, "dependentSchemas": {"propertis": {}}, "dependentRequired": {"nullable": []}},
        {"$schema": DRAFTS[7], "$ref": "#/definitions/a", "definitions": {"a": {}}, "title": "a", "x-b": 1},
        {"$id": "https://example.com/a", "$anchor": "a", "$dynamicAnchor": "b", "$vocabulary": {}},
    ],
)
def test_names_and_values_may_be_anything(schema):
    SchemaContract("x", schema)


def test_formats_count_only_if_the_schema_says_so():
    for draft in DRAFTS.values():
        schema = {"$schema": draft, "properties": {"at": {"format": "date-time"}}}
        SchemaContract("x", schema).parse('{"at": "soon"}', {})
        contract = SchemaContract("x", {**schema, "x-assert-formats": True})
        contract.parse('{"at": "2026-01-02T03:04:05Z"}', {})
        with pytest.raises(ContractViolationError, match=r"body\.at: format"):
            contract.parse('{"at": "soon"}', {})
    attributes = {"x-assert-formats": True, "x-attributes": {"properties": {"id": {"format": "uuid"}}}}
    with pytest.raises(ContractViolationError, match=r"attributes\.id: format"):
        SchemaContract("x", attributes).parse("1", {"id": {"DataType": "String", "StringValue": "1"}})


@pytest.mark.parametrize("truth", [True, False])
def test_a_reference_may_lead_to_true_or_false(truth):
    schema = {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": truth}}
    contract = SchemaContract("x", schema)
    if truth:
        contract.marks('{"a": 1}', {})
        return
    with pytest.raises(ContractViolationError, match=r"body\.a: \$ref"):
        contract.parse('{"a": 1}', {})
