"""Selection: which letters a run is about, one condition at a time and all together."""

import json
import time
from datetime import UTC, datetime

import pytest

from contracts.time_limit import TookTooLongError
from redrive.domain.envelopes import unwrap
from redrive.domain.history import history_of
from redrive.domain.selection import Selection, Selector
from tests.support import factories

AN_HOUR_BEFORE = factories.STARTED_AT - 3_600_000


def selects(letter, **conditions) -> bool:
    selector = Selector(Selection.model_validate(conditions), factories.STARTED_AT, time.monotonic)
    return selector(letter, unwrap(letter), history_of(letter).source)


def failed_invocation(error_type="TimeoutError", condition="RetriesExhausted", payload="{}"):
    context = {
        "requestId": "r",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:on-order:live",
        "condition": condition,
        "approximateInvokeCount": 3,
    }
    told = {"version": "1.0", "timestamp": "t", "requestContext": context}
    told |= {"requestPayload": json.loads(payload), "responsePayload": {"errorType": error_type}}
    return factories.letter(json.dumps(told), source=None)


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
def test_letters_are_selected_by_what_their_envelope_tells(conditions, selected):
    assert selects(failed_invocation(), **conditions) is selected


def test_a_raw_letter_has_no_error_to_be_selected_by():
    assert not selects(factories.letter(), errorType=["*"])
    assert not selects(factories.letter(), errorCode=["*"])


def test_letters_of_a_shared_queue_are_selected_by_the_queue_they_came_from():
    assert selects(factories.letter(source="orders"), source=["orders"])
    assert not selects(factories.letter(source="invoices"), source=["orders"])
    assert not selects(factories.letter(source=None), source=["*"])


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
def test_letters_are_selected_by_attributes(wanted, selected):
    assert selects(factories.letter(attributes=factories.store_id("3")), attributes=wanted) is selected


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
def test_letters_are_selected_by_age(conditions, selected):
    assert selects(factories.letter(sent_at=AN_HOUR_BEFORE), **conditions) is selected


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
def test_letters_are_selected_by_a_query_on_the_payload(query, selected):
    content = {"store": {"id": 3}, "lines": [{"sku": "a"}], "zero": 0, "empty": "", "no": False}
    assert selects(factories.letter(json.dumps(content)), jmespath=query) is selected


@pytest.mark.parametrize("body", ["hello", "", "[" * 5000, '{"a": NaN}', r'"\ud800"'])
def test_what_is_no_json_is_not_selected_by_a_query(body):
    assert not selects(factories.letter(body), jmespath="@")


def test_a_query_looks_into_the_envelope():
    assert selects(failed_invocation(payload='{"store": 3}'), jmespath="store == `3`")


def test_a_query_that_takes_too_long_is_ended():
    clock = iter(range(1000))
    wide = Selection(jmespath="[*].[*].[*]")
    selector = Selector(wide, factories.STARTED_AT, lambda: float(next(clock)))
    letter = factories.letter("[[1]]")
    with pytest.raises(TookTooLongError):
        selector(letter, unwrap(letter), None)
