"""JSON as text and as values: numbers stay exact, and members are cut out character for character."""

import copy
import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError, member_text, parse, same, write

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
    [
        "",
        "hello",
        "{",
        "NaN",
        '{"a": Infinity}',
        "[-Infinity]",
        "[" * 200,
        "01",
        "1.",
        "+1",
        '"\n"',
        "\ufeff{}",
        "[1,]",
    ],
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(NotJsonError):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 201 + "]" * 201, '{"a":' * 201 + "1" + "}" * 201, "[" * 100_000])
def test_what_is_nested_too_deeply_is_undecided(text):
    with pytest.raises(TooMuchWorkError):
        parse(text)
    parse("[" * 200 + "]" * 200)
    parse(json.dumps(["[" * 5_000, "{" * 5_000]))


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"a":"\udc00"}', r'["a\ufffe","\uffff"]', r'{"\ud83d":1}'])
def test_what_cannot_be_sent_raw_is_written_as_an_escape(text):
    assert write(parse(text)) == text
    assert write(parse(text)).isascii()


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([0.0, 1.0]) | st.sampled_from(["", "0"]),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.sampled_from("ab"), part, max_size=2),
    max_leaves=4,
)


@given(JSON, JSON)
@settings(deadline=None)
def test_two_values_are_the_same_if_json_has_them_so(left, right):
    def typed(value):
        if isinstance(value, dict):
            return {name: typed(member) for name, member in value.items()}
        return [typed(item) for item in value] if isinstance(value, list) else (isinstance(value, bool), value)

    assert same(parse(json.dumps(left)), parse(json.dumps(right))) is (typed(left) == typed(right))
