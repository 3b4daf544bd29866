"""Repair: what a rule makes of a message, and that a message it doesn't fit stays as it is."""

import json
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.message import MAX_BYTES, ReceivedMessage
from redrive.domain.messages.opening import open_message
from redrive.domain.rules.repair import Repair, Repairer
from tests.support import factories


def repaired(message: ReceivedMessage, **rule) -> ReceivedMessage | None:
    opened = open_message(message)
    return Repairer(Repair.model_validate(rule))(opened.forward, opened.payload)


# Attributes


def test_an_attribute_is_set_from_the_payload():
    found = repaired(
        factories.received('{"store": {"id": 3}}'),
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
    assert repaired(factories.received('{"paid": true}'), setAttributes={"a": rule}).attributes == {"a": value}


def test_an_attribute_that_the_message_has_is_not_set():
    message = factories.received(attributes=factories.store_id("3"))
    assert repaired(message, setAttributes={"store_id": {"value": "9"}}) is None


def test_an_attribute_is_overwritten_if_the_rule_says_so():
    message = factories.received(attributes=factories.store_id("3"))
    rule = {"type": "Number", "value": 9, "overwrite": True}
    assert repaired(message, setAttributes={"store_id": rule}).attributes == factories.store_id("9")


def test_an_attribute_is_renamed_with_its_type_and_value():
    message = factories.received(attributes={"storeId": {"DataType": "Number.int", "StringValue": "3"}})
    found = repaired(message, renameAttributes={"storeId": "store_id"})
    assert found.attributes == {"store_id": {"DataType": "Number.int", "StringValue": "3"}}


def test_a_renamed_attribute_never_replaces_another():
    attributes = {"storeId": factories.string("1"), "store_id": factories.string("2")}
    assert repaired(factories.received(attributes=attributes), renameAttributes={"storeId": "store_id"}) is None


@pytest.mark.parametrize(
    "body", ["{}", '{"store": {"id": null}}', '{"store": {"id": [3]}}', '{"store": {"id": "x"}}', "no JSON"]
)
def test_a_message_without_the_value_stays_as_it_is(body):
    rule = {"type": "Number", "from": "store.id"}
    assert repaired(factories.received(body), setAttributes={"store_id": rule}) is None


# Bodies


def test_a_body_is_patched():
    patch = [{"op": "move", "from": "/storeId", "path": "/store_id"}]
    assert repaired(factories.received('{"storeId": 3, "a": [1]}'), patch=patch).body == '{"a":[1],"store_id":3}'


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/absent"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "replace", "path": "/list/7", "value": 1},
    ],
)
def test_a_message_that_the_patch_does_not_fit_stays_as_it_is(operation):
    message = factories.received('{"a": 1, "list": []}')
    assert repaired(message, patch=[{"op": "add", "path": "/x", "value": 1}, operation]) is None


def test_a_body_is_projected():
    found = repaired(factories.received('{"event": {"id": 1, "name": "x"}}'), project="event.{id: id, kind: `2`}")
    assert json.loads(found.body) == {"id": 1, "kind": 2}


def test_a_projection_that_finds_nothing_leaves_the_message_as_it_is():
    assert repaired(factories.received('{"a": 1}'), project="event") is None


def test_a_message_that_is_not_json_is_not_patched():
    for body in ("hello", '{"a": NaN}', "[" * 200, ""):
        assert repaired(factories.received(body), patch=[{"op": "add", "path": "/x", "value": 1}]) is None


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\ufffe", r"\uffff", r"\u0001"])
def test_what_sqs_does_not_accept_stays_an_escape(escape):
    message = factories.received(f'{{"a": "{escape}"}}')
    found = repaired(message, patch=[{"op": "add", "path": "/x", "value": 1}])
    assert found.body == f'{{"a":"{escape}","x":1}}'
    assert repaired(factories.received('{"a": 1}'), project=f'{{a: `"{escape}"`}}').body == f'{{"a":"{escape}"}}'


def test_a_rule_that_changes_nothing_leaves_the_body_as_it_was_written():
    message = factories.received('{ "a" : 1 }')
    assert repaired(message, patch=[{"op": "replace", "path": "/a", "value": 1}]) is None


def test_one_is_not_true():
    found = repaired(factories.received('{"a": 1}'), patch=[{"op": "replace", "path": "/a", "value": True}])
    assert found.body == '{"a":true}'


def test_a_patch_leaves_the_content_that_others_read_as_it_was():
    opened = open_message(factories.received('{"a": {"b": 1}}'))
    rule = Repair.model_validate({"patch": [{"op": "replace", "path": "/a/b", "value": 2}]})
    assert Repairer(rule)(opened.forward, opened.payload) is not None
    assert opened.payload.content == {"a": {"b": 1}}


# Exact numbers

NUMBERS = ["1.50", "-0", "1E5", "123456789.123456789", "12345678901234567890.123456789", "1E400", "-0.0"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_becomes_an_attribute_as_it_was_written(number):
    rule = {"type": "Number", "from": "price"}
    found = repaired(factories.received(f'{{"price": {number}}}'), setAttributes={"price": rule})
    assert found.attributes == {"price": {"DataType": "Number", "StringValue": number}}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_patch_writes_numbers_as_they_were_read(number):
    body = f'{{"price":{number},"list":[{number}]}}'
    found = repaired(factories.received(body), patch=[{"op": "add", "path": "/x", "value": 0.5}])
    assert found.body == body[:-1] + ',"x":0.5}'


@pytest.mark.parametrize("number", NUMBERS)
def test_a_patch_moves_and_copies_numbers_as_they_were_read(number):
    patch = [{"op": "move", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/b", "path": "/c"}]
    assert repaired(factories.received(f'{{"a": {number}}}'), patch=patch).body == f'{{"b":{number},"c":{number}}}'


@pytest.mark.parametrize("number", NUMBERS)
def test_a_projection_writes_numbers_as_they_were_read(number):
    found = repaired(factories.received(f'{{"event": {{"price": {number}, "x": 1}}}}'), project="{price: event.price}")
    assert found.body == f'{{"price":{number}}}'


def test_a_projection_calculates_with_decimals():
    found = repaired(factories.received('{"prices": [1.50, 2.25]}'), project="{total: sum(prices)}")
    assert json.loads(found.body) == {"total": 3.75}


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("to_number(text)", "123456789.123456789"),
        ("price", "123456789.123456789"),
        ("sum(prices)", "0.3"),
        ("max(prices)", "0.2"),
        ("avg(prices)", "0.15"),
        ("to_string(price)", "123456789.123456789"),
        ("abs(refund)", "12345678901234567.89"),
        ("ceil(refund)", "-12345678901234567"),
        ("floor(refund)", "-12345678901234568"),
    ],
)
def test_an_attribute_that_is_calculated_is_exact(query, value):
    body = (
        '{"price": 123456789.123456789, "text": "123456789.123456789", "prices": [0.1, 0.2], '
        '"refund": -12345678901234567.89}'
    )
    found = repaired(factories.received(body), setAttributes={"n": {"type": "Number", "from": query}})
    assert found.attributes == {"n": {"DataType": "Number", "StringValue": value}}


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", " 5 ", "0x10", "1.", ".5", ""])
def test_a_text_that_is_no_number_does_not_become_one(text):
    assert repaired(factories.received(json.dumps({"n": text})), project="{n: to_number(n)}").body == '{"n":null}'


@pytest.mark.parametrize(("text", "number"), [("007", "7"), ("+5", "5"), ("01.50", "1.50"), ("-0", "-0")])
def test_a_text_becomes_a_number_that_json_has(text, number):
    found = repaired(factories.received(json.dumps({"n": text})), project="{n: to_number(n)}")
    assert found.body == f'{{"n":{number}}}'


def test_a_sum_that_cannot_be_exact_decides_nothing():
    with pytest.raises(TooMuchWorkError):
        repaired(factories.received('{"l": [1, 1e9999]}'), project="{n: sum(l)}")


@pytest.mark.parametrize(
    "rule",
    [
        {"project": "l[*].sum([@, `0.1`])"},
        {"project": "l[*].avg([@, `1e-900`])"},
        {"project": f"l[*].abs(`-0.{'9' * 900}`)"},
        {"project": f"l[*].ceil(`{'9' * 1_100}.5`)"},
        {"project": f"l[*].join('', ['{'x' * 1_900}', to_string(@)])"},
        {"project": f"l[*].to_string({{{'x' * 1_900}: @}})"},
        {"setAttributes": {f"a{number}": {"from": "length(l[?@ > `1`])"} for number in range(10)}},
        {"patch": [{"op": "copy", "from": "/l", "path": "/m"}] * 50},
        {"patch": [{"op": "copy", "from": "/l/0", "path": "/m"}, *[{"op": "copy", "from": "/l", "path": "/m"}] * 49]},
    ],
)
def test_a_repair_that_makes_too_much_of_a_message_decides_nothing(rule):
    with pytest.raises(TooMuchWorkError):
        repaired(factories.received(json.dumps({"l": [1]})[:-2] + ",1e900" * 10_000 + "]}"), **rule)


def test_the_sums_of_thousands_of_lines_are_decided_and_exact():
    prices = [f"{number}.{number % 100:02d}" for number in range(5_000)]
    lines = ",".join(f'{{"sku":"A","price":{price},"tax":{"1" * 37}.5}}' for price in prices)
    query = "{lines: lines[*].{total: sum([price, tax])}, all: sum(lines[*].price), mean: avg(lines[*].tax)}"
    found = json.loads(repaired(factories.received(f'{{"lines":[{lines}]}}'), project=query).body, parse_float=Decimal)
    with localcontext(prec=100):
        assert [line["total"] for line in found["lines"]] == [
            Decimal(f"{'1' * 37}.5") + Decimal(price) for price in prices
        ]
        assert found["all"] == sum(map(Decimal, prices))
    assert found["mean"] == Decimal(f"{'1' * 37}.5")


def test_a_sum_of_one_large_number_is_written_in_as_few_digits():
    assert (
        repaired(factories.received('{"l": [1e900]}'), project="{n: sum(l), m: avg(l)}").body
        == '{"n":1E+900,"m":1E+900}'
    )


def test_copies_to_one_place_are_not_added_up():
    body = json.dumps({"x": "y" * 100_000})
    found = repaired(factories.received(body), patch=[{"op": "copy", "from": "/x", "path": "/z"}] * 30)
    assert len(found.body) == 200_015


def test_a_patch_tests_decimals():
    patch = [{"op": "test", "path": "/a", "value": 0.1}, {"op": "remove", "path": "/b"}]
    assert repaired(factories.received('{"a": 0.10, "b": 1}'), patch=patch).body == '{"a":0.10}'


@pytest.mark.parametrize("number", ["9" * 5_000, "1e9999999999999999999", "-1e-9999999999999999999"])
def test_a_patch_keeps_numbers_that_nothing_can_hold(number):
    found = repaired(factories.received(f'{{"n": {number}}}'), patch=[{"op": "add", "path": "/x", "value": 1}])
    assert found.body == f'{{"n":{number},"x":1}}'


def test_a_number_written_differently_is_a_change():
    message = factories.received('{"a": 1.50}')
    assert repaired(message, patch=[{"op": "replace", "path": "/a", "value": 1.5}]).body == '{"a":1.5}'


# Limits


def test_a_message_that_would_be_too_large_stays_as_it_is():
    message = factories.received(json.dumps("x" * (MAX_BYTES - 10)))
    assert repaired(message, setAttributes={"a": {"value": "much too long"}}) is None


def test_a_message_that_would_have_too_many_attributes_stays_as_it_is():
    message = factories.received(attributes={f"a{number}": factories.string("x") for number in range(10)})
    assert repaired(message, setAttributes={"b": {"value": "x"}}) is None


texts = st.text(max_size=10)
contents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(texts, contents, max_size=4))
def test_a_patch_changes_what_it_names_and_nothing_else(content):
    found = repaired(factories.received(json.dumps(content)), patch=[{"op": "add", "path": "/~0x", "value": 1}])
    before = json.loads(json.dumps(content))
    if found is None:
        assert before.get("~x") == 1
    else:
        assert json.loads(found.body) == before | {"~x": 1}
