"""Repair: what a rule makes of a letter, and that what it does not fit stays as it is."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.letters import MAX_BYTES, Letter
from redrive.domain.repair import Mender, Repair
from tests.support import factories


def mended(letter: Letter, **rule) -> Letter | None:
    return Mender(Repair.model_validate(rule), time.monotonic)(letter, letter.body)


def test_an_attribute_is_set_from_the_payload():
    found = mended(
        factories.letter('{"store": {"id": 3}}'),
        setAttributes={"store_id": {"type": "Number", "from": "store.id"}},
    )
    assert found.attributes == {"store_id": {"DataType": "Number", "StringValue": "3"}}
    assert (found.body, found.size) == ('{"store": {"id": 3}}', len(found.body) + len("store_idNumber3"))


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"value": "north"}, factories.string("north")),
        ({"value": 5}, factories.string("5")),
        ({"type": "Number", "value": 2.5}, {"DataType": "Number", "StringValue": "2.5"}),
        ({"from": "paid"}, factories.string("true")),
    ],
)
def test_an_attribute_is_set_to_a_constant_or_what_a_query_finds(rule, value):
    assert mended(factories.letter('{"paid": true}'), setAttributes={"a": rule}).attributes == {"a": value}


def test_an_attribute_that_is_there_stays_as_it_is():
    letter = factories.letter(attributes=factories.store_id("3"))
    assert mended(letter, setAttributes={"store_id": {"value": "9"}}) is None


def test_an_attribute_is_overwritten_where_the_rule_says_so():
    letter = factories.letter(attributes=factories.store_id("3"))
    rule = {"type": "Number", "value": 9, "overwrite": True}
    assert mended(letter, setAttributes={"store_id": rule}).attributes == factories.store_id("9")


def test_an_attribute_is_renamed_with_its_type_and_value():
    letter = factories.letter(attributes={"storeId": {"DataType": "Number.int", "StringValue": "3"}})
    found = mended(letter, renameAttributes={"storeId": "store_id"})
    assert found.attributes == {"store_id": {"DataType": "Number.int", "StringValue": "3"}}


def test_a_rename_never_takes_the_place_of_another_attribute():
    attributes = {"storeId": factories.string("1"), "store_id": factories.string("2")}
    assert mended(factories.letter(attributes=attributes), renameAttributes={"storeId": "store_id"}) is None


@pytest.mark.parametrize(
    "body", ["{}", '{"store": {"id": null}}', '{"store": {"id": [3]}}', '{"store": {"id": "x"}}', "no JSON"]
)
def test_a_letter_without_the_value_stays_as_it_is(body):
    rule = {"type": "Number", "from": "store.id"}
    assert mended(factories.letter(body), setAttributes={"store_id": rule}) is None


def test_a_body_is_patched():
    patch = [{"op": "move", "from": "/storeId", "path": "/store_id"}]
    assert mended(factories.letter('{"storeId": 3, "a": [1]}'), patch=patch).body == '{"a":[1],"store_id":3}'


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/absent"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "replace", "path": "/list/7", "value": 1},
    ],
)
def test_a_letter_that_the_patch_does_not_fit_stays_as_it_is(operation):
    letter = factories.letter('{"a": 1, "list": []}')
    assert mended(letter, patch=[{"op": "add", "path": "/x", "value": 1}, operation]) is None


def test_a_body_is_projected():
    found = mended(factories.letter('{"event": {"id": 1, "name": "x"}}'), project="event.{id: id, kind: `2`}")
    assert json.loads(found.body) == {"id": 1, "kind": 2}


def test_a_projection_that_finds_nothing_leaves_the_letter_as_it_is():
    assert mended(factories.letter('{"a": 1}'), project="event") is None


def test_numbers_are_written_as_they_were_read():
    body = '{"price":1.50,"large":12345678901234567890.123456789,"e":1E400,"n":-0.0}'
    found = mended(factories.letter(body), patch=[{"op": "add", "path": "/x", "value": 0.5}])
    assert found.body == body[:-1] + ',"x":0.5}'


def test_what_is_not_json_is_not_patched():
    for body in ("hello", '{"a": NaN}', "[" * 100_000, ""):
        assert mended(factories.letter(body), patch=[{"op": "add", "path": "/x", "value": 1}]) is None


def test_a_body_with_half_of_a_surrogate_pair_stays_as_it_is():
    letter = factories.letter(r'{"a": "\ud800"}')
    assert mended(letter, patch=[{"op": "add", "path": "/x", "value": 1}]) is None


def test_a_rule_that_changes_nothing_leaves_the_body_as_it_was_written():
    letter = factories.letter('{ "a" : 1 }')
    assert mended(letter, patch=[{"op": "replace", "path": "/a", "value": 1}]) is None


def test_one_is_not_true():
    found = mended(factories.letter('{"a": 1}'), patch=[{"op": "replace", "path": "/a", "value": True}])
    assert found.body == '{"a":true}'


def test_a_letter_that_would_be_too_large_stays_as_it_is():
    letter = factories.letter(json.dumps("x" * (MAX_BYTES - 10)))
    assert mended(letter, setAttributes={"a": {"value": "much too long"}}) is None


def test_a_letter_that_would_have_too_many_attributes_stays_as_it_is():
    letter = factories.letter(attributes={f"a{number}": factories.string("x") for number in range(10)})
    assert mended(letter, setAttributes={"b": {"value": "x"}}) is None


texts = st.text(max_size=10)
contents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(texts, contents, max_size=4))
def test_a_patch_changes_what_it_names_and_nothing_else(content):
    found = mended(factories.letter(json.dumps(content)), patch=[{"op": "add", "path": "/~0x", "value": 1}])
    before = json.loads(json.dumps(content))
    if found is None:
        assert before.get("~x") == 1
    else:
        assert json.loads(found.body) == before | {"~x": 1}
