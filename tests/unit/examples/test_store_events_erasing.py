"""Erasing: what may be shown of an event, valid or not, never identifies a person."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.store_events.contract import STORE_EVENT, StoreEvent
from examples.store_events.erasing import erased
from tests.support import factories

MARK = "73190001"
HIDDEN = ("name", "dob", "gender", "ssn_no", "data_share_consent")


def test_personal_fields_of_a_valid_event_are_masked_and_safe_ones_are_in_clear():
    event = factories.store_event(event_id="event-7")
    masked = erased(event, StoreEvent, STORE_EVENT.marks(event, factories.store_id())[0])
    assert masked is not None
    assert {name: value for name, value in masked.items() if value != "*****"} == {
        "event_id": "event-7",
        "evnt_time": "2021-02-06T18:56:59.165483",
    }
    assert masked.keys() == StoreEvent.model_fields.keys()


@pytest.mark.parametrize("field", HIDDEN)
@pytest.mark.parametrize("value", [MARK, int(MARK), [MARK], {MARK: {"deep": MARK}}], ids=repr)
def test_a_field_that_is_not_marked_as_safe_is_masked_whatever_it_holds(field, value):
    assert MARK not in json.dumps(erased(factories.store_event(**{field: value}), StoreEvent))


def test_a_list_is_masked_as_a_whole():
    assert erased(json.dumps({"name": [MARK] * 1000}), StoreEvent) == {"name": "*****"}


@given(st.dictionaries(st.text().map(lambda name: MARK + name), st.just(MARK)))
def test_keys_that_the_contract_does_not_have_are_left_out(unknown):
    assert MARK not in json.dumps(erased(factories.store_event(**unknown), StoreEvent))


@pytest.mark.parametrize("value", [f"ssn {MARK}", [MARK], {"ssn_no": MARK}], ids=repr)
def test_an_invalid_value_in_a_safe_field_is_masked(value):
    assert MARK not in json.dumps(erased(factories.store_event(evnt_time=value), StoreEvent))


def test_every_value_of_an_invalid_event_is_masked():
    masked = erased(factories.store_event(event_id="event-7", ssn_no=""), StoreEvent)
    assert set(masked.values()) == {"*****"}


@pytest.mark.parametrize("payload", ["", f"{{{MARK}", f'"{MARK}"', f"[{MARK}]", "null", "[" * 100_000, "{}"])
def test_nothing_is_left_of_a_payload_that_is_not_an_object(payload):
    assert erased(payload, StoreEvent) is None
