"""Exact numbers: what a repair writes is what fractions say, digit by digit, on every path."""

import json
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.opening import open_message
from redrive.domain.rules.repair import Repair, Repairer
from redrive.domain.rules.selection import Selection, Selector
from tests.support import factories

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
