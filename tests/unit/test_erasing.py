"""What may be shown of an event, valid or not: never a value that somebody could be known by."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.erasing import erased
from contracts.store_event import StoreEvent
from tests.support import factories

MARK = "73190001"
HIDDEN = ("name", "dob", "gender", "ssn_no", "data_share_consent")


def test_personal_fields_are_masked_and_safe_ones_are_shown():
    shown = erased(factories.store_event(event_id="event-7"), StoreEvent)
    assert shown is not None
    assert {name: value for name, value in shown.items() if value != "*****"} == {
        "event_id": "event-7",
        "evnt_time": "2021-02-06T18:56:59.165483",
    }
    assert shown.keys() == StoreEvent.model_fields.keys()


@pytest.mark.parametrize("field", HIDDEN)
@pytest.mark.parametrize("value", [MARK, int(MARK), [MARK], {MARK: {"deep": MARK}}], ids=repr)
def test_what_is_not_marked_as_safe_is_masked_whatever_it_holds(field, value):
    assert MARK not in json.dumps(erased(factories.store_event(**{field: value}), StoreEvent))


def test_a_list_is_masked_as_one():
    assert erased(json.dumps({"name": [MARK] * 1000}), StoreEvent) == {"name": "*****"}


@given(st.dictionaries(st.text().map(lambda name: MARK + name), st.just(MARK)))
def test_keys_that_the_contract_does_not_know_are_left_out(unknown):
    shown = erased(factories.store_event(**unknown), StoreEvent)
    assert MARK not in json.dumps(shown)


@pytest.mark.parametrize("value", [f"ssn {MARK}", [MARK], {"ssn_no": MARK}], ids=repr)
def test_the_wrong_thing_in_a_safe_field_is_masked(value):
    assert MARK not in json.dumps(erased(factories.store_event(evnt_time=value), StoreEvent))


@pytest.mark.parametrize("payload", ["", f"{{{MARK}", f'"{MARK}"', f"[{MARK}]", "null", "[" * 100_000, "{}"])
def test_of_what_is_no_object_nothing_is_shown(payload):
    assert erased(payload, StoreEvent) is None
