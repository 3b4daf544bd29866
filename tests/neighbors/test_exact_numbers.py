"""Exact numbers: what a repair writes is what fractions say, digit by digit, on every path."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.contracts.json_schema import SchemaContract
from redrive.domain.errors import RejectedError
from redrive.domain.judging.verdicts import Reason, Redrive, Skip
from redrive.domain.messages.opening import open_message
from redrive.domain.plan.request import parse_request
from redrive.domain.rules.input_numbers import check_as_written, has_numbers
from redrive.domain.rules.repair import Repair, Repairer
from redrive.domain.rules.selection import Selection, Selector
from tests.support import factories, wrapped

RAW = SchemaContract("order", {"x-sns-delivery": "raw"})
NEIGHBORS = settings(derandomize=True, deadline=None, max_examples=100)
digits = st.text("0123456789", min_size=1, max_size=30)
whole = digits.map(lambda text: text.lstrip("0") or "0")
exponents = st.sampled_from(["", "", "", "e3", "E-7", "E+5"])
numbers = st.builds(
    "{}{}{}{}".format, st.sampled_from(["", "-"]), whole, st.just("") | digits.map(".{}".format), exponents
)


def repaired(body: str, **rule):
    opened = open_message(factories.received(body))
    return Repairer(Repair.model_validate(rule))(opened.forward, opened.payload)


def attribute(body: str, query: str) -> str:
    rule = {"type": "Number", "from": query}
    return repaired(body, setAttributes={"n": rule}).attributes["n"]["StringValue"]


def exact(text: str) -> Fraction:
    return Fraction(Decimal(text))


def projected(body: str, query: str) -> Fraction:
    return json.loads(repaired(body, project=f"{{n: {query}}}").body, parse_float=exact, parse_int=exact)["n"]


def selected(body: str, query: str) -> bool:
    selector = Selector(Selection(jmespath=query), factories.STARTED_AT)
    return selector(open_message(factories.received(body)))


@given(numbers)
@NEIGHBORS
def test_a_number_that_is_passed_on_keeps_its_text(number):
    body = f'{{"n":{number},"l":[[{number}]],"s":"{number}"}}'
    for query in ("n", "l[0][0]", "l[].[@][] | [0]", "not_null(x, n)", "max([n])", "sort([n])[0]", "to_number(s)"):
        assert attribute(body, query) == number
    assert repaired(body, setAttributes={"n": {"from": "to_string(n)"}}).attributes["n"]["StringValue"] == number
    assert repaired(body, project="{a: n, b: l}").body == f'{{"a":{number},"b":[[{number}]]}}'
    patched = repaired(body, patch=[{"op": "copy", "from": "/l/0/0", "path": "/c"}]).body
    assert patched == f'{body[:-1]},"c":{number}}}'


@given(st.lists(numbers, min_size=1, max_size=8))
@NEIGHBORS
def test_what_is_calculated_is_what_fractions_say(found):
    body = f'{{"l":[{",".join(found)}]}}'
    values = [exact(number) for number in found]
    for query, expected in {
        "sum(l)": sum(values),
        "max(l)": max(values),
        "min(l)": min(values),
        "abs(l[0])": abs(values[0]),
        "ceil(l[0])": Fraction(-(-values[0] // 1)),
        "floor(l[0])": Fraction(values[0] // 1),
        "sum([l[0], sum(l)])": values[0] + sum(values),
        "max_by([{a: l[0]}, {a: l[-1]}], &a).a": max(values[0], values[-1]),
    }.items():
        assert projected(body, query) == expected, query
        assert exact(attribute(body, query)) == expected, query
    average, mean = projected(body, "avg(l)"), sum(values) / len(values)
    assert abs(average - mean) <= abs(mean) / 10**33


@given(numbers, numbers)
@NEIGHBORS
def test_a_query_compares_as_fractions_do(left, right):
    body = f'{{"left":{left},"right":{right}}}'
    for operator, expected in {
        "==": exact(left) == exact(right),
        "!=": exact(left) != exact(right),
        "<": exact(left) < exact(right),
        ">=": exact(left) >= exact(right),
    }.items():
        assert selected(body, f"left {operator} right") is expected
        assert selected(body, f"left {operator} `{right}`") is expected


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
@NEIGHBORS
def test_a_patch_tests_and_writes_the_decimals_of_its_rule(number, places):
    value = float(Decimal(number).scaleb(-places))
    body = f'{{"n":{json.dumps(value)}}}'
    patch = [{"op": "test", "path": "/n", "value": value}, {"op": "add", "path": "/m", "value": value}]
    assert repaired(body, patch=patch).body == f'{{"n":{json.dumps(value)},"m":{json.dumps(value)}}}'


# Numbers in the input, which Step Functions carries as doubles

EXACT_INTEGERS = 2**53 - 1
any_numbers = (
    numbers
    | st.builds("{}{}e{}".format, st.sampled_from(["", "-"]), whole, st.integers(-400, 400))
    | st.integers(2**53 - 3, 2**53 + 3).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
)


def constant(rule: str, number: str) -> str:
    """Return an input, as it is written, with a number in a repair."""
    return f'{{"dlq": "orders-dlq", "repair": {rule.replace("@", number)}}}'


RULES = [
    '{"setAttributes": {"a": {"value": @}}}',
    '{"setAttributes": {"a": {"value": @, "type": "Number"}}}',
    '{"patch": [{"op": "add", "path": "/a", "value": @}]}',
    '{"patch": [{"op": "test", "path": "/a", "value": @}]}',
    '{"patch": [{"op": "replace", "path": "/a", "value": {"b": [true, {"c": @}]}}]}',
]


def refusal(text: str) -> str | None:
    """Return why an input is refused that Step Functions has read."""
    # JavaScript has only doubles.
    given: Any = json.loads(text, parse_int=float, parse_float=float)
    try:
        parse_request(given)
        if has_numbers(given["repair"]):
            check_as_written(text)
    except RejectedError as error:
        return str(error)
    return None


@given(any_numbers, st.sampled_from(RULES))
@example("0.1000000000000000055511151231257827", RULES[0])
@example("9007199254740993", RULES[1])
@example("9007199254740992", RULES[2])
@example("1e400", RULES[2])
@example("1e-400", RULES[2])
@example("1.23456789012345e-320", RULES[3])
@settings(NEIGHBORS, max_examples=500)
def test_a_number_in_the_input_arrives_as_it_was_written_or_is_refused(number, rule):
    text = constant(rule, number)
    text_refused = refusal(text)
    if text_refused is None:
        arrived = Decimal(repr(float(number)))
        assert arrived == Decimal(number)
        assert abs(arrived) <= EXACT_INTEGERS
    else:
        assert "expected numbers of at most 15 significant digits" in text_refused or not is_number_of_sqs(number)
        assert number not in text_refused or len(number) < 3


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 20), st.sampled_from(RULES))
@NEIGHBORS
def test_a_number_of_15_digits_is_never_refused(number, places, rule):
    assert refusal(constant(rule, str(Decimal(number).scaleb(-places)))) is None


@given(st.integers(-EXACT_INTEGERS, EXACT_INTEGERS), st.sampled_from(RULES))
@NEIGHBORS
def test_an_integer_that_is_a_double_of_its_own_is_never_refused(number, rule):
    assert refusal(constant(rule, str(number))) is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_python_reads_as_a_number_and_json_does_not_have_is_refused(number):
    for rule in RULES:
        assert refusal(constant(rule, number)) is not None


@given(numbers)
@NEIGHBORS
def test_what_the_refusal_says_to_do_instead_keeps_every_digit(number):
    as_string = {"type": "Number", "value": number}
    assert repaired("{}", setAttributes={"n": as_string | {"type": "String"}}).attributes["n"]["StringValue"] == number
    assert repaired("{}", project=f"{{total: `{number}`}}").body == f'{{"total":{number}}}'


def test_the_input_is_not_read_again_for_a_repair_without_numbers():
    assert not has_numbers({"setAttributes": {"a": {"value": "1"}, "b": {"from": "c"}}, "patch": [{"op": "remove"}]})
    assert not has_numbers({"patch": [{"op": "add", "path": "/a", "value": [True, None, "1"]}]})
    assert not has_numbers(None)


# Attributes of the type Number, which SQS checks

sqs_numbers = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.text("0123456789", min_size=1, max_size=42).map(lambda text: text.lstrip("0") or "0")
    | st.text("0123456789", min_size=1, max_size=42).map("0.{}".format),
    st.just("") | st.integers(-170, 170).map("e{}".format),
)


def is_number_of_sqs(text: str) -> bool:
    """Return whether a number has up to 38 digits and is between 10^-128 and 10^126 (SQS developer guide)."""
    exact_value = exact(text)
    value = abs(exact_value)
    if not value:
        return True
    significant = text.lstrip("-").split("e")[0].replace(".", "").strip("0")
    return len(significant) <= 38 and Fraction(10) ** -128 <= value <= Fraction(10) ** 126


@given(sqs_numbers, st.sampled_from(["", ".int", ".float"]))
@example("1e126", "")
@example("1.1e126", "")
@example("1" + "0" * 126, "")
@example("1" + "0" * 88 + "1e37", "")
@example("1.0000000000000000000000000000000000001e126", "")
@example("9.9e-129", "")
@example("1e-128", "")
@example("1" * 38, "")
@example("1" * 39, "")
@settings(NEIGHBORS, max_examples=300)
def test_a_number_that_sqs_does_not_take_is_found_before_it_is_sent(number, label):
    fits = is_number_of_sqs(number)
    rule = {"setAttributes": {"n": {"type": "Number", "from": "n"}}}
    verdict = factories.judge(factories.plan(repair=rule))(factories.received(f'{{"n": {number}}}'))
    if fits:
        sent = verdict.outbound.request["MessageAttributes"]["n"]
        assert (verdict.repaired, sent) == (True, {"DataType": "Number", "StringValue": number})
    else:
        assert verdict == Skip(Reason.NOT_SENDABLE)
    # The same out of a notification: a custom type is a Number all the same.
    custom = {"n": {"DataType": f"Number{label}", "StringValue": number}}
    raw = factories.judge(factories.plan(), {"orders": RAW}.get)
    unwrapped = raw(factories.received(wrapped.notification("{}", custom), source=None))
    assert isinstance(unwrapped, Redrive) is fits
