"""Masking: what of a message may be shown, and that nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.store_events.contract import StoreEvent
from redrive.domain.messages.opened import Payload
from redrive.domain.sampling.masking import is_sensitive, masked, masked_message
from tests.support import factories

MARK = "q7319x"


def test_without_a_schema_names_types_and_lengths_are_shown():
    content = {"order": {"id": "o-1", "lines": [1, 2.5], "paid": True, "note": None}}
    assert masked(content, None) == {
        "order": {"id": "<string 3>", "lines": ["<number>", "<number>"], "paid": "<boolean>", "note": None}
    }


def test_a_safe_field_is_in_clear_and_its_neighbor_is_not():
    schema = {"properties": {"id": {"x-safe": True}, "note": {}}}
    assert masked({"id": "o-1", "note": "x"}, schema) == {"id": "o-1", "note": "<string 1>"}


def test_a_safe_number_is_in_clear():
    payload = Payload('{"id": 1.50}', {})
    found = masked_message(payload, {"properties": {"id": {"x-safe": True}}}, None, valid=True)
    assert json.loads(found.model_dump_json())["body"] == {"id": 1.5}


@pytest.mark.parametrize(
    ("number", "expected"), [("1E400", "1E400"), ("-1E400", "-1E400"), ("12345678901234567890", "12345678901234567890")]
)
def test_a_safe_number_that_the_workflow_cannot_pass_on_is_shown_as_text(number, expected):
    payload = Payload(f'{{"id": {number}}}', {})
    found = masked_message(payload, {"properties": {"id": {"x-safe": True}}}, None, valid=True)
    # As Lambda writes it: Step Functions reads no Infinity.
    assert json.loads(json.dumps(found.model_dump(mode="json"), allow_nan=False))["body"] == {"id": expected}


def test_a_long_safe_number_is_cut():
    found = masked_message(Payload("9" * 4000, {}), {"x-safe": True}, None, valid=True)
    assert found.body == "9" * 64


def test_nothing_of_a_message_that_breaks_its_contract_is_in_clear():
    schema = {"properties": {"id": {"x-safe": True, "pattern": "^o-"}}}
    assert masked({"id": "alice@example.com"}, schema, valid=False) == {"id": "<string 17>"}


def test_a_personal_mark_takes_precedence_over_a_safe_one():
    schema = {"properties": {"id": {"x-safe": True, "x-personal": True}}}
    assert masked({"id": "o-1"}, schema) == {"id": "<hidden>"}


@pytest.mark.parametrize(
    "name",
    ["ssn_no", "e-mail", "eMail", "dob", "birthDate", "access_token", "Password", "cardNumber", "api-key"],
)
def test_a_name_that_secrets_have_hides_even_what_is_marked_as_safe(name):
    assert is_sensitive(name)
    assert masked({name: "x"}, {"properties": {name: {"x-safe": True}}}) == {name: "<hidden>"}


def test_everything_below_a_personal_field_is_hidden_with_it():
    schema = {"properties": {"who": {"x-personal": True, "properties": {"id": {"x-safe": True}}}}}
    assert masked({"who": {"id": "o-1"}}, schema) == {"who": "<hidden>"}


def test_a_key_that_the_contract_does_not_have_is_masked():
    assert masked({"396144610": 1, "x": 2}, {"properties": {"id": {}}}) == {"*": "<number>"}


def test_a_key_that_is_not_a_name_is_masked():
    assert masked({"alice@example.com": 1}, None) == {"*": "<number>"}


def test_marks_are_found_behind_references_lists_and_alternatives():
    schema = {
        "properties": {"lines": {"items": {"anyOf": [{"$ref": "#/$defs/line"}, {"type": "null"}]}}},
        "$defs": {"line": {"properties": {"sku": {"x-safe": True}}}},
    }
    assert masked({"lines": [{"sku": "A"}]}, schema) == {"lines": [{"sku": "A"}]}


def test_references_in_a_circle_are_followed_only_so_far():
    assert masked({"a": 1}, {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}) == {"*": "<number>"}


def test_large_objects_arrays_and_depths_are_cut():
    wide = masked({f"k{number}": number for number in range(100)}, None)
    assert len(wide) == 21
    assert wide["..."] == "<80 more>"
    assert masked([1] * 50, None) == ["<number>"] * 3 + ["<47 more>"]
    deep = json.loads("[" * 100 + "]" * 100)
    assert str(masked(deep, None)).count("[") == 6


def test_of_a_body_that_is_not_json_only_the_size_is_shown():
    assert masked_message(Payload("Grüße", {}), None, None, valid=True).body == "<text 7 bytes>"


def test_of_a_binary_attribute_only_the_size_is_shown():
    stamp = {"stamp": {"DataType": "Binary", "BinaryValue": b"abc"}}
    safe = {"properties": {"stamp": {"x-safe": True}}}
    assert masked_message(Payload("{}", stamp), None, safe, valid=True).attributes == {"stamp": "<binary 3>"}


values = st.recursive(
    st.text(max_size=20).map(lambda text: MARK + text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(values)
def test_no_value_is_shown_without_a_safe_mark(content):
    assert MARK not in json.dumps(masked(content, None))
    assert MARK not in json.dumps(masked({"name": content}, StoreEvent.model_json_schema()))


@given(st.dictionaries(st.sampled_from(["store", "email", "a.b"]), st.text(min_size=1).map(MARK.__add__)))
def test_no_attribute_is_shown_without_a_safe_mark(texts):
    attributes = {name: factories.string(value) for name, value in texts.items()}
    found = masked_message(Payload("{}", attributes), None, None, valid=True).attributes
    assert found.keys() == texts.keys()
    assert MARK not in str(found)
