"""Selection: which messages a run applies to, one condition at a time and all together."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.opening import open_message
from redrive.domain.messages.provenance import ATTRIBUTE, Belief, Provenance
from redrive.domain.rules.selection import Selection, Selector
from tests.support import factories

AN_HOUR_BEFORE = factories.STARTED_AT - 3_600_000


def selects(message, **conditions) -> bool:
    selector = Selector(Selection.model_validate(conditions), factories.STARTED_AT)
    return selector(open_message(message, Belief(frozenset({factories.MOVER}))))


def failed_invocation(error_type="TimeoutError", condition="RetriesExhausted", payload="{}"):
    context = {
        "requestId": "r",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:on-order:live",
        "condition": condition,
        "approximateInvokeCount": 3,
    }
    record = {"version": "1.0", "timestamp": "t", "requestContext": context}
    record |= {"requestPayload": json.loads(payload), "responsePayload": {"errorType": error_type}}
    return factories.received(json.dumps(record), source=None)


@pytest.mark.parametrize(
    ("conditions", "selected"),
    [
        ({"envelope": ["lambda-destination"]}, True),
        ({"envelope": ["none", "lambda-destination"]}, True),
        ({"envelope": ["none"]}, False),
        ({"errorType": ["TimeoutError"]}, True),
        ({"errorType": ["Timeout*"]}, True),
        ({"errorType": ["KeyError"]}, False),
        ({"errorCode": ["RetriesExhausted"]}, True),
        ({"errorCode": ["NO_PERMISSIONS"]}, False),
        ({"source": ["on-order"]}, True),
        ({"source": ["on-payment", "on-*"]}, True),
        ({"source": ["orders"]}, False),
        ({"errorType": ["TimeoutError"], "source": ["orders"]}, False),
    ],
)
def test_messages_are_selected_by_what_their_envelope_says(conditions, selected):
    assert selects(failed_invocation(), **conditions) is selected


def test_a_raw_message_has_no_error_to_be_selected_by():
    assert not selects(factories.received(), errorType=["*"])
    assert not selects(factories.received(), errorCode=["*"])


def test_messages_of_a_shared_queue_are_selected_by_their_origin():
    assert selects(factories.received(source="orders"), source=["orders"])
    assert not selects(factories.received(source="invoices"), source=["orders"])
    assert not selects(factories.received(source=None), source=["*"])


def test_a_quarantined_message_is_selected_by_the_source_that_our_attribute_kept():
    kept = Provenance("run-0", 0, "m-1", 5, factories.queue("orders").arn).to_json("invalid-body", ())
    attributes = {ATTRIBUTE: factories.string(kept)}
    quarantined = factories.received(source=None, attributes=attributes, sender=factories.MOVER)
    assert selects(quarantined, source=["orders"])
    assert not selects(quarantined, source=["invoices"])


@pytest.mark.parametrize(
    ("wanted", "selected"),
    [
        ({"store_id": "3"}, True),
        ({"store_id": "*"}, True),
        ({"store_id": "4"}, False),
        ({"project": "*"}, False),
        ({"project": None}, True),
        ({"store_id": None}, False),
        ({"store_id": "3", "project": None}, True),
    ],
)
def test_messages_are_selected_by_attributes(wanted, selected):
    assert selects(factories.received(attributes=factories.store_id("3")), attributes=wanted) is selected


def time_of(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("conditions", "selected"),
    [
        ({"sentAfter": time_of(AN_HOUR_BEFORE)}, True),
        ({"sentAfter": time_of(AN_HOUR_BEFORE + 1)}, False),
        ({"sentBefore": time_of(AN_HOUR_BEFORE)}, False),
        ({"sentBefore": time_of(AN_HOUR_BEFORE + 1)}, True),
        ({"minAge": 3600}, True),
        ({"minAge": 3601}, False),
        ({"maxAge": 3600}, True),
        ({"maxAge": 3599}, False),
        ({"minAge": 60, "maxAge": 7200}, True),
    ],
)
def test_messages_are_selected_by_age(conditions, selected):
    assert selects(factories.received(sent_at=AN_HOUR_BEFORE), **conditions) is selected


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ("store.id", True),
        ("store.id == `3`", True),
        ("store.id == `4`", False),
        ("lines[?sku == 'a'] | [0]", True),
        ("lines[?sku == 'b']", False),
        ("zero", True),
        ("empty", False),
        ("no", False),
        ("none", False),
        ("length(store.id)", False),
    ],
)
def test_messages_are_selected_by_a_query_on_the_payload(query, selected):
    content = {"store": {"id": 3}, "lines": [{"sku": "a"}], "zero": 0, "empty": "", "no": False}
    assert selects(factories.received(json.dumps(content)), jmespath=query) is selected


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ("sum(prices) == `4.0`", True),
        ("sum(prices) > `4`", False),
        ("max(prices) == `2.5`", True),
        ("avg(prices) == `2`", True),
        ("prices[0] < prices[1]", True),
        ("sort(prices)[0] == `1.5`", True),
        ("type(prices[0]) == 'number'", True),
    ],
)
def test_a_query_calculates_with_decimals(query, selected):
    assert selects(factories.received('{"prices": [1.50, 2.5]}'), jmespath=query) is selected


@pytest.mark.parametrize("body", ["hello", "", "[" * 200, '{"a": NaN}'])
def test_a_message_that_is_not_json_is_not_selected_by_a_query(body):
    assert not selects(factories.received(body), jmespath="@")


def test_a_query_reads_what_is_inside_the_envelope():
    assert selects(failed_invocation(payload='{"store": 3}'), jmespath="store == `3`")


@pytest.mark.parametrize(
    "query",
    [
        "|".join(["[@,@][]"] * 40),
        "|".join(["[@,@]"] * 40),
        "|".join(["[@,@]"] * 40) + "|to_string(@)",
        "|".join(["[@,@]"] * 40) + "|@==@",
        "map(&[@,@][], [@])" + "|[@,@][]" * 30,
    ],
)
def test_a_query_whose_result_doubles_again_and_again_is_ended(query):
    with pytest.raises(TooMuchWorkError):
        selects(factories.received("[[1]]"), jmespath=query)


def test_a_query_may_take_more_steps_the_larger_the_message():
    lines = [{"sku": f"sku-{number}", "quantity": number} for number in range(20_000)]
    assert selects(factories.received(json.dumps({"lines": lines})), jmespath="lines[?quantity > `19998`].sku")


@pytest.mark.parametrize("query", ["'a' < `1`", "price > `1`", "max_by(@.*, &@)"])
def test_a_query_that_makes_no_sense_for_a_message_selects_nothing(query):
    assert not selects(factories.received('{"price": "abc", "n": 1}'), jmespath=query)


@pytest.mark.parametrize("query", ["&a", "[&a]", "to_array(&a)", "sort_by(@, &[&a])", "[?&a]", "@[::0]", "a[1:2:0].b"])
def test_a_query_that_can_never_match_is_refused(query):
    with pytest.raises(ValidationError, match=r"expected .*, found .*; write "):
        Selection(jmespath=query)


@pytest.mark.parametrize("query", ["sort_by(@, a)", "max_by(@, 'a')", "map(a, @)"])
def test_a_value_where_a_function_takes_an_expression_is_refused(query):
    with pytest.raises(ValidationError, match=r"expected an expression as argument . of .*, found a value; put an & "):
        Selection(jmespath=query)


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ("price == `0.1`", True),
        ("price == `0.10`", True),
        ("price == `0.1000000000000000000001`", False),
        ("sum([price, `0.2`]) == `0.3`", True),
        ("big == `12345678901234567890.123456789`", True),
        ("big == `12345678901234567890.12345678`", False),
        ("to_number('12345678901234567890.123456789') == big", True),
        ("price < `0.1000000000000000000001`", True),
    ],
)
def test_a_query_compares_exactly(query, selected):
    body = '{"price": 0.1, "big": 12345678901234567890.123456789}'
    assert selects(factories.received(body), jmespath=query) is selected
