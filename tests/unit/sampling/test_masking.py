"""Masking: what of a message may be shown, and that nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.store_events.contract import STORE_EVENT
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.messages.opened import Payload
from redrive.domain.names import display_name
from redrive.domain.sampling.masking import is_sensitive, masked_message
from tests.support import factories

MARK = "q7319x"
SAFE = {"x-safe": True}


def masked(content: Any, schema: dict[str, Any] | None = None) -> Any:
    """Return the masked body of a message that is judged by a JSON Schema, or by nothing."""
    contract = None if schema is None else SchemaContract("ssm:/order", schema)
    return masked_message(Payload(json.dumps(content), {}), contract).body


def properties(**schemas: Any) -> dict[str, Any]:
    return {"properties": schemas}


# Shapes


def test_without_a_contract_types_and_lengths_are_shown_but_no_name():
    content = {"order": {"id": "o-1", "lines": [1, 2.5], "paid": True, "note": None}}
    assert masked(content) == {"*": {"*": "<string 3>", "...": "<3 more>"}}
    assert masked([1, "o-1", True, None]) == ["<number>", "<string 3>", "<boolean>", "<1 more>"]


def test_a_safe_field_is_in_clear_and_its_neighbor_is_not():
    assert masked({"id": "o-1", "note": "x"}, properties(id=SAFE, note={})) == {"id": "o-1", "note": "<string 1>"}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1.50", 1.5),
        ("1E400", "1E400"),
        ("-1E400", "-1E400"),
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_a_safe_number_is_in_clear_and_as_text_if_the_workflow_cannot_pass_it_on(number, expected):
    contract = SchemaContract("ssm:/order", properties(id=SAFE))
    found = masked_message(Payload(f'{{"id": {number}}}', {}), contract)
    # As Lambda writes it: Step Functions reads no Infinity.
    assert json.loads(json.dumps(found.model_dump(mode="json"), allow_nan=False))["body"] == {"id": expected}


def test_a_long_safe_number_is_cut():
    assert masked_message(Payload("9" * 900, {}), SchemaContract("ssm:/order", SAFE)).body == "9" * 64


def test_large_objects_arrays_and_depths_are_cut():
    wide = masked({f"k{number}": number for number in range(100)}, properties(**{f"k{n}": {} for n in range(100)}))
    assert len(wide) == 21
    assert wide["..."] == "<80 more>"
    assert masked([1] * 50) == ["<number>"] * 3 + ["<47 more>"]
    assert str(masked(json.loads("[" * 100 + "]" * 100))).count("[") == 6


def test_of_a_body_that_is_not_json_only_the_size_is_shown():
    assert masked_message(Payload("Grüße", {}), None).body == "<text 7 bytes>"


def test_of_a_binary_attribute_only_the_size_is_shown():
    stamp = {"stamp": {"DataType": "Binary", "BinaryValue": b"abc"}}
    contract = SchemaContract("ssm:/order", {"x-attributes": properties(stamp=SAFE)})
    assert masked_message(Payload("{}", stamp), contract).attributes == {"stamp": "<binary 3>"}
    assert masked_message(Payload("{}", stamp), None).attributes == {"*": "<binary 3>"}


# What a contract marks


def test_nothing_of_a_message_that_breaks_its_contract_is_in_clear():
    schema = properties(id={"x-safe": True, "pattern": "^o-"}, at=SAFE)
    assert masked({"id": "alice@example.com", "at": "noon"}, schema) == {"id": "<string 17>", "at": "<string 4>"}


def test_nothing_of_a_body_is_in_clear_if_an_attribute_breaks_the_contract():
    contract = SchemaContract("ssm:/order", {**properties(id=SAFE), "x-attributes": {"required": ["store"]}})
    assert masked_message(Payload('{"id": "o-1"}', {}), contract).body == {"id": "<string 3>"}


def test_a_personal_mark_takes_precedence_over_a_safe_one():
    assert masked({"id": "o-1"}, properties(id={"x-safe": True, "x-personal": True})) == {"id": "<hidden>"}


@pytest.mark.parametrize(
    "name",
    ["ssn_no", "e-mail", "eMail", "dob", "birthDate", "access_token", "Password", "cardNumber", "api-key"],
)
def test_a_name_that_secrets_have_hides_even_what_is_marked_as_safe(name):
    assert is_sensitive(name)
    assert masked({name: "x"}, properties(**{name: SAFE})) == {name: "<hidden>"}


def test_everything_below_a_personal_field_is_hidden_with_it():
    schema = properties(who={"x-personal": True, **properties(id=SAFE)})
    assert masked({"who": {"id": "o-1"}}, schema) == {"who": "<hidden>"}


def test_a_mark_at_the_top_of_the_attributes_hides_them_all():
    contract = SchemaContract("ssm:/order", {"x-attributes": {"x-personal": True, **properties(store=SAFE)}})
    assert masked_message(Payload("{}", factories.store_id()), contract).attributes == {"*": "<hidden>"}


def test_keys_that_the_contract_does_not_have_are_masked():
    assert masked({"396144610": 1, "x": 2, "id": 3}, properties(id={})) == {
        "*": "<number>",
        "id": "<number>",
        "...": "<1 more>",
    }


def test_a_key_of_the_contract_with_other_characters_than_names_have_is_a_hash():
    assert masked({"order id": 1}, properties(**{"order id": {}})) == {display_name("order id"): "<number>"}


def test_marks_are_found_behind_references_lists_and_alternatives():
    schema = {
        **properties(lines={"items": {"anyOf": [{"$ref": "#/$defs/line"}, {"type": "null"}]}}),
        "$defs": {"line": {"type": "object", **properties(sku=SAFE)}},
    }
    assert masked({"lines": [{"sku": "A"}]}, schema) == {"lines": [{"sku": "A"}]}


def test_references_in_a_circle_are_followed_as_far_as_the_message_goes():
    schema = {"$ref": "#/$defs/x", "$defs": {"x": properties(a={"$ref": "#/$defs/x"}, id=SAFE)}}
    assert masked({"a": {"a": {"id": "1"}}}, schema) == {"a": {"a": {"id": "1"}}}


# Any message


values = st.recursive(
    st.text(max_size=20).map(MARK.__add__),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8).map(MARK.__add__), inner),
    max_leaves=20,
)


@given(values)
def test_no_value_and_no_name_is_shown_without_a_mark_in_a_contract(content):
    assert MARK not in json.dumps(masked(content))
    assert MARK not in masked_message(Payload(json.dumps({"name": content}), {}), STORE_EVENT).model_dump_json()


@given(st.dictionaries(st.sampled_from(["store", "email", "a.b", MARK]), st.text(min_size=1).map(MARK.__add__)))
def test_no_attribute_is_shown_without_a_mark_in_a_contract(texts):
    attributes = {name: factories.string(value) for name, value in texts.items()}
    for contract in (None, STORE_EVENT):
        assert MARK not in masked_message(Payload("{}", attributes), contract).model_dump_json()
