"""JSON as text and as values: numbers stay exact, and members are cut out character for character."""

import copy
import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.json_text import NotJsonError, member_text, parse, write

NUMBERS = ["1.50", "-0", "-0.0", "1E5", "1e-7", "123456789.123456789", "12345678901234567890.123456789", "1E400"]


@pytest.mark.parametrize("number", [*NUMBERS, "0", "42", "12345678901234567890"])
def test_a_number_is_written_as_it_was_read(number):
    assert write(parse(number)) == number
    assert write(parse(f'{{"a":[{number}]}}')) == f'{{"a":[{number}]}}'


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exact_number_is_a_number_like_any_other(number):
    exact = parse(number)
    assert exact == Decimal(number)
    assert exact + 1 == Decimal(number) + 1
    assert str(exact) == number


def test_a_copy_of_an_exact_number_is_as_exact():
    assert write(copy.deepcopy(parse('{"a":1.50}'))) == '{"a":1.50}'


@pytest.mark.parametrize(
    "text",
    ["", "hello", "{", "NaN", '{"a": Infinity}', "[-Infinity]", "[" * 100_000, r'"\ud800"', r'{"a": "\uDC00"}', "01"],
)
def test_what_cannot_be_sent_as_json_is_refused(text):
    with pytest.raises(NotJsonError):
        parse(text)


def test_a_whole_surrogate_pair_is_a_character():
    assert parse(r'"\ud83d\udcee"') == "\U0001f4ee"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_json_has_no_number_for_is_not_written(value):
    with pytest.raises(ValueError, match="JSON"):
        write({"a": value})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
@settings(deadline=None)
def test_what_is_written_is_what_was_parsed(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert write(parse(text)) == text
    assert json.loads(write(parse(text))) == value


@pytest.mark.parametrize("member", [*NUMBERS, '"\\u00fc"', "[ 1 ,2]", "null", '{"a": {"b": 1.0}}', "1" * 5000])
def test_a_member_is_cut_out_character_for_character(member):
    assert member_text(f' {{"before": [1, "x"],\n "wanted" : {member} , "after": 1.0}} ', "wanted") == member


def test_of_members_with_the_same_name_the_last_one_counts():
    assert member_text('{"a": 1, "a": 2}', "a") == "2"


@pytest.mark.parametrize("text", ["{}", '{"b": {"a": 1}}'])
def test_a_member_that_is_missing_is_a_key_error(text):
    with pytest.raises(KeyError):
        member_text(text, "a")
