"""The history attribute: fresh, carried on, and robust against what others wrote under its name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.history import ATTRIBUTE, History, history_of
from redrive.domain.letters import Letter
from tests.support import factories

ORDERS = factories.queue("orders").arn
INVOICES = factories.queue("invoices").arn


def letter_with(value: str, **told) -> Letter:
    return factories.letter(attributes={ATTRIBUTE: factories.string(value)}, **told)


def test_a_letter_without_the_attribute_starts_afresh():
    letter = factories.letter(message_id="m-1", sent_at=5, source="orders")
    assert history_of(letter) == History(run="", count=0, message_id="m-1", sent_at=5, source=ORDERS)


def test_a_letter_that_was_redriven_keeps_its_first_id_and_time():
    earlier = History("run-0", 2, "m-1", 5, ORDERS)
    letter = letter_with(earlier.to_json(), message_id="m-9", sent_at=99)
    assert history_of(letter) == earlier


def test_a_redrive_counts_one_more():
    after = History("run-0", 2, "m-1", 5, ORDERS).next("run-1", redriven=True)
    assert (after.run, after.count) == ("run-1", 3)


def test_a_quarantine_counts_none():
    after = History("run-0", 2, "m-1", 5, ORDERS).next("run-1", redriven=False)
    assert (after.run, after.count) == ("run-1", 2)


def test_a_quarantined_letter_remembers_its_queue():
    told = History("run-0", 0, "m-1", 5, ORDERS).to_json("missing-attribute", [])
    assert history_of(letter_with(told, source=None)).source == ORDERS


def test_the_queue_that_sqs_names_goes_before_the_one_in_the_attribute():
    told = History("run-0", 1, "m-1", 5, ORDERS).to_json()
    assert history_of(letter_with(told, source="invoices")).source == INVOICES


def test_the_attribute_tells_the_reason_of_a_quarantine_and_its_problems():
    told = json.loads(History("run-1", 0, "m-1", 5, ORDERS).to_json("invalid-body", ["body.dob: missing"]))
    assert told == {
        "run": "run-1",
        "count": 0,
        "id": "m-1",
        "sent": 5,
        "source": ORDERS,
        "reason": "invalid-body",
        "problems": ["body.dob: missing"],
    }


def test_the_attribute_of_a_redriven_letter_has_no_reason():
    assert json.loads(History("run-1", 1, "m-1", 5, None).to_json()).keys() == {"run", "count", "id", "sent"}


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "{",
        "[]",
        "7",
        "null",
        '"run-1"',
        '{"run": "run-1"}',
        '{"run": "r", "count": "many", "id": "m", "sent": 1}',
        '{"run": "r", "count": null, "id": "m", "sent": 1}',
        '{"run": "r", "count": {}, "id": "m", "sent": 1}',
        '{"run": "r", "count": NaN, "id": "m", "sent": 1}',
        '{"run": "r", "count": Infinity, "id": "m", "sent": 1}',
        "[" * 200_000,
    ],
)
def test_a_foreign_or_damaged_attribute_is_no_history(value):
    letter = letter_with(value, message_id="m-1")
    assert history_of(letter) == History("", 0, "m-1", letter.sent_at, letter.source_arn)


@pytest.mark.parametrize("source", [{"not": "an arn"}, 7, ["x"]])
def test_a_source_that_is_no_text_is_no_source(source):
    value = json.dumps({"run": "r", "count": 1, "id": "m", "sent": 1, "source": source})
    assert history_of(letter_with(value, source=None)).source is None


def test_a_binary_attribute_of_the_same_name_is_no_history():
    letter = factories.letter(attributes={ATTRIBUTE: {"DataType": "Binary", "BinaryValue": b"{}"}})
    assert history_of(letter).count == 0


@given(
    st.text(max_size=80),
    st.integers(0, 1000),
    st.text(max_size=100),
    st.integers(0, 2**41),
    st.none() | st.text(min_size=1, max_size=200),
)
@settings(deadline=None)
def test_what_is_written_is_what_is_read(run, count, message_id, sent_at, source):
    history = History(run, count, message_id, sent_at, source)
    assert history_of(letter_with(history.to_json(), source=None)) == history
