"""Marks: a value is safe only if the message is valid and the value matched the part that says so."""

import json
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BeforeValidator, Field, RootModel

from redrive.contracts.contract import PERSONAL, SAFE, Contract, ContractModel, ContractViolationError
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.marks import Marks

SAFE_TEXT = {"type": "string", "x-safe": True}
TEXT = {"type": "string"}


def is_safe(marks: Marks | None, content: Any, *path: str | int) -> bool:
    """Return whether the value at a path in a message's content may be shown."""
    for step in path:
        content = content[step]
        marks = None if marks is None else marks.below(step)
    return marks is not None and marks.allow(content)


def safe_in(contract: Any, content: Any, *path: str | int) -> bool:
    marks, _ = contract.marks(json.dumps(content), {})
    return is_safe(marks, content, *path)


def by_schema(schema: dict[str, Any], content: Any, *path: str | int) -> bool:
    return safe_in(SchemaContract("ssm:/test", schema), content, *path)


def branch(kind: str, note: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"properties": {"kind": {"const": kind}, "note": note}, "required": ["kind"], **more}


# JSON Schema


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_field_that_one_alternative_marks_is_safe_only_in_a_message_that_matched_it(keyword):
    schema = {keyword: [branch("public", SAFE_TEXT), branch("private", TEXT)]}
    assert by_schema(schema, {"kind": "public", "note": "x"}, "note")
    assert not by_schema(schema, {"kind": "private", "note": "x"}, "note")


def test_a_field_is_safe_only_if_all_alternatives_that_it_matched_mark_it():
    schema = {"anyOf": [{"properties": {"note": SAFE_TEXT}}, {"properties": {"note": TEXT}}]}
    assert not by_schema(schema, {"note": "x"}, "note")
    schema["anyOf"][1]["properties"]["note"] = SAFE_TEXT
    assert by_schema(schema, {"note": "x"}, "note")


def test_an_alternative_that_allows_anything_is_matched_and_marks_nothing():
    assert not by_schema({"anyOf": [{"properties": {"note": SAFE_TEXT}}, True]}, {"note": "x"}, "note")


def test_all_parts_of_a_combination_apply_and_one_mark_is_enough():
    schema = {"allOf": [{"properties": {"note": TEXT}}, {"properties": {"note": {"x-safe": True}}}]}
    assert by_schema(schema, {"note": "x"}, "note")


def test_a_condition_decides_which_marks_apply():
    schema = {
        "if": {"properties": {"kind": {"const": "public"}}},
        "then": {"properties": {"note": SAFE_TEXT}},
        "else": {"properties": {"other": SAFE_TEXT}},
    }
    public, private = {"kind": "public", "note": "x", "other": "y"}, {"kind": "private", "note": "x", "other": "y"}
    assert (by_schema(schema, public, "note"), by_schema(schema, public, "other")) == (True, False)
    assert (by_schema(schema, private, "note"), by_schema(schema, private, "other")) == (False, True)


def test_a_mark_in_what_a_message_must_not_match_is_none():
    schema = {"not": {"properties": {"note": {"x-safe": True, "const": "y"}}, "required": ["note"]}}
    assert not by_schema(schema, {"note": "x"}, "note")


def test_a_personal_mark_counts_even_in_an_alternative_that_was_not_matched():
    schema = {"anyOf": [branch("public", SAFE_TEXT), branch("private", {"x-personal": True})]}
    assert not by_schema(schema, {"kind": "public", "note": "x"}, "note")


def test_a_reference_by_identifier_or_anchor_is_followed():
    schema = {
        "$id": "https://example.com/order",
        "properties": {"a": {"$ref": "#note"}, "b": {"$ref": "https://example.com/order#/$defs/note"}},
        "$defs": {"note": {"$anchor": "note", **SAFE_TEXT}},
    }
    assert by_schema(schema, {"a": "x"}, "a")
    assert by_schema(schema, {"b": "x"}, "b")


def test_what_is_next_to_a_reference_counts_only_in_current_drafts():
    schema = {"properties": {"a": {"$ref": "#/definitions/note", "x-safe": True}}, "definitions": {"note": TEXT}}
    assert by_schema(schema, {"a": "x"}, "a")
    assert not by_schema({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, {"a": "x"}, "a")


def test_each_item_of_a_list_is_followed_by_itself():
    schema = {
        "properties": {"lines": {"items": {"oneOf": [branch("public", SAFE_TEXT), branch("private", TEXT)]}}},
    }
    content = {"lines": [{"kind": "public", "note": "x"}, {"kind": "private", "note": "x"}]}
    assert by_schema(schema, content, "lines", 0, "note")
    assert not by_schema(schema, content, "lines", 1, "note")


def test_the_first_items_of_a_list_can_have_marks_of_their_own():
    schema = {"prefixItems": [SAFE_TEXT, TEXT], "items": SAFE_TEXT}
    assert [by_schema(schema, ["a", "b", "c"], place) for place in range(3)] == [True, False, True]


@pytest.mark.parametrize("schema", [{"additionalProperties": SAFE_TEXT}, {"patternProperties": {".": SAFE_TEXT}}])
def test_a_name_that_the_contract_does_not_have_is_never_safe(schema):
    assert not by_schema(schema, {"note": "x"}, "note")


def test_a_message_that_breaks_its_contract_has_no_marks():
    with pytest.raises(ContractViolationError):
        by_schema({"properties": {"note": SAFE_TEXT, "count": {"type": "integer"}}}, {"note": "x", "count": "y"})


# An oracle of its own: a schema of alternatives, each with a constant kind, and what each says about each field


SPEECH = {"safe": {"x-safe": True}, "plain": {}, "personal": {"x-personal": True}}
FIELDS = ("a", "b", "c")
contents = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(sorted(SPEECH)), max_size=3)


@given(st.lists(contents, min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_safe_in_a_union_follows_from_the_alternative_that_was_chosen(alternatives, data):
    chosen = data.draw(st.integers(0, len(alternatives) - 1))
    wrapped = data.draw(st.booleans())
    options = [
        {
            "properties": {"kind": {"const": f"k{number}"}, **{name: SPEECH[says] for name, says in fields.items()}},
            "required": ["kind"],
        }
        for number, fields in enumerate(alternatives)
    ]
    union = {data.draw(st.sampled_from(["anyOf", "oneOf"])): options}
    content: Any = {"kind": f"k{chosen}", "a": "x", "b": "x", "c": "x"}
    schema, path = (union, []) if not wrapped else ({"properties": {"event": {"items": union}}}, ["event", 0])
    message = content if not wrapped else {"event": [content]}
    for name in FIELDS:
        expected = alternatives[chosen].get(name) == "safe"
        expected = expected and not any(fields.get(name) == "personal" for fields in alternatives)
        assert by_schema(schema, message, *path, name) == expected, name


# pydantic


class Public(ContractModel):
    """An event whose note may be shown."""

    kind: Literal["public"]
    note: str = Field(json_schema_extra=SAFE)


class Private(ContractModel):
    """An event whose note may not."""

    kind: Literal["private"]
    note: str


def more_than_one(number: int) -> int:
    if number <= 1:
        raise ValueError
    return number


class Number(ContractModel):
    """An event with a number, which its JSON Schema takes for any integer."""

    value: Annotated[int, AfterValidator(more_than_one)]
    note: str = Field(json_schema_extra=SAFE)


class Flag(ContractModel):
    """An event with a flag, which pydantic reads from 0 and 1, too."""

    value: bool
    note: str


class Typed(TypedDict):
    """A public event as a dictionary."""

    kind: Literal["public"]
    note: Annotated[str, Field(json_schema_extra=SAFE)]


class Nested(RootModel[Public | Private]):
    """An event by itself."""


class Event(ContractModel):
    """A message with events in all places."""

    smart: Public | Private | None = None
    discriminated: Annotated[Public | Private, Field(discriminator="kind")] | None = None
    lax: Number | Flag | None = None
    listed: tuple[Public | Private, ...] = ()
    root: Nested | None = None
    typed: Typed | None = None
    mine: Public | None = Field(default=None, json_schema_extra=PERSONAL)
    alias: str | None = Field(default=None, alias="other", json_schema_extra=SAFE)
    optional: str | None = Field(default=None, json_schema_extra=SAFE)
    number: Annotated[str, Field(pattern="^a", json_schema_extra=SAFE)] | int | None = None
    changed: Annotated[str, BeforeValidator(lambda text: text.upper())] = Field("", json_schema_extra=SAFE)


EVENT = Contract("event", Event, ContractModel)
PUBLIC, PRIVATE = {"kind": "public", "note": "x"}, {"kind": "private", "note": "x"}


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        ({"smart": PUBLIC}, ("smart", "note"), True),
        ({"smart": PRIVATE}, ("smart", "note"), False),
        ({"discriminated": PUBLIC}, ("discriminated", "note"), True),
        ({"discriminated": PRIVATE}, ("discriminated", "note"), False),
        ({"lax": {"value": 2, "note": "x"}}, ("lax", "note"), True),
        ({"lax": {"value": 1, "note": "x"}}, ("lax", "note"), False),
        ({"listed": [PRIVATE, PUBLIC]}, ("listed", 0, "note"), False),
        ({"listed": [PRIVATE, PUBLIC]}, ("listed", 1, "note"), True),
        ({"root": PUBLIC}, ("root", "note"), True),
        ({"root": PRIVATE}, ("root", "note"), False),
        # Which of several dictionaries was meant can't be told.
        ({"typed": PUBLIC}, ("typed", "note"), False),
        ({"mine": PUBLIC}, ("mine", "note"), False),
        ({"other": "x"}, ("other",), True),
        ({"optional": "x"}, ("optional",), True),
        ({"number": "abc"}, ("number",), True),
        # pydantic reads it as the number 5, which isn't marked.
        ({"number": "5"}, ("number",), False),
        ({"changed": "x"}, ("changed",), False),
        ({"changed": "X"}, ("changed",), True),
    ],
)
def test_a_field_of_a_model_is_safe_only_in_the_alternative_that_pydantic_chose(content, path, expected):
    assert safe_in(EVENT, content, *path) is expected


def test_the_attributes_have_marks_of_their_own():
    class Attributes(ContractModel):
        store: int = Field(json_schema_extra=SAFE)
        other: str

    contract = Contract("event", Event, Attributes)
    values = {"store": {"DataType": "Number", "StringValue": "3"}, "other": {"DataType": "String", "StringValue": "x"}}
    _, marks = contract.marks("{}", values)
    content = {"store": "3", "other": "x"}
    assert (is_safe(marks, content, "store"), is_safe(marks, content, "other")) == (True, False)
