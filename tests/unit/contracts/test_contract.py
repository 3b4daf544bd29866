"""Contracts as pydantic models: what is valid, which code a violation has, and that no error repeats a message."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict

from examples.store_events.contract import STORE_EVENT
from redrive.contracts.contract import (
    MAX_PROBLEMS,
    Contract,
    ContractModel,
    ContractViolationError,
    Problem,
    Violation,
)
from tests.support import factories

MARK = "7319"


def violation_of(body: str, attributes: dict, contract: Contract = STORE_EVENT) -> ContractViolationError:
    with pytest.raises(ContractViolationError) as caught:
        contract.parse(body, attributes)
    return caught.value


class Strict(ContractModel):
    """A body that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid")

    amount: int


class Amounts(ContractModel):
    """A body with a list."""

    amounts: list[int]


class ByName(ContractModel):
    """A body whose keys are the sender's."""

    amounts: dict[str, int]


class Nothing(ContractModel):
    """A body that may be any object."""

    model_config = ConfigDict(extra="ignore")


class Stamp(ContractModel):
    """Attributes with one of type Binary."""

    model_config = ConfigDict(extra="ignore")

    stamp: bytes


def test_a_valid_store_event_is_parsed_with_its_store():
    message = STORE_EVENT.parse(factories.store_event(event_id="event-7"), factories.store_id("3"))
    assert (message.body.event_id, message.attributes.store_id) == ("event-7", 3)


def test_attributes_mean_the_same_in_the_spelling_of_receive_message_and_of_lambda():
    as_lambda = {"store_id": {"stringValue": "3", "stringListValues": [], "dataType": "Number"}}
    body = factories.store_event()
    assert STORE_EVENT.parse(body, as_lambda) == STORE_EVENT.parse(body, factories.store_id("3"))


def test_a_binary_attribute_is_parsed_from_its_bytes():
    contract = Contract("stamped", Nothing, Stamp)
    message = contract.parse("{}", {"stamp": {"DataType": "Binary", "BinaryValue": b"abc"}})
    assert message.attributes.stamp == b"abc"


def test_a_binary_attribute_means_the_same_to_a_consumer_and_to_the_redrive():
    contract = Contract("stamped", Nothing, Stamp)
    received = contract.parse("{}", {"stamp": {"DataType": "Binary", "BinaryValue": b"abc"}})
    triggered = contract.parse("{}", {"stamp": {"dataType": "Binary", "binaryValue": "YWJj"}})
    assert triggered == received


@pytest.mark.parametrize(
    ("body", "attributes", "violation"),
    [
        ("hello", factories.store_id(), Violation.NOT_JSON),
        ("", factories.store_id(), Violation.NOT_JSON),
        ('{"event_id": ', factories.store_id(), Violation.NOT_JSON),
        ("[" * 201 + "]" * 201, factories.store_id(), Violation.INVALID_BODY),
        ("[]", factories.store_id(), Violation.INVALID_BODY),
        ("null", factories.store_id(), Violation.INVALID_BODY),
        ("{}", factories.store_id(), Violation.INVALID_BODY),
        (factories.store_event(ssn_no="12"), factories.store_id(), Violation.INVALID_BODY),
        (factories.store_event(gender="?"), factories.store_id(), Violation.INVALID_BODY),
        (factories.store_event(event_id=""), factories.store_id(), Violation.INVALID_BODY),
        (factories.store_event(), {}, Violation.MISSING_ATTRIBUTE),
        (factories.store_event(), {"Store_Id": factories.string("3")}, Violation.MISSING_ATTRIBUTE),
        (factories.store_event(), factories.store_id("6"), Violation.INVALID_ATTRIBUTE),
        (factories.store_event(), factories.store_id("three"), Violation.INVALID_ATTRIBUTE),
        (factories.store_event(), {"store_id": {"DataType": "String"}}, Violation.INVALID_ATTRIBUTE),
    ],
)
def test_each_violation_has_its_code(body, attributes, violation):
    assert violation_of(body, attributes).violation is violation


def test_every_problem_is_reported_and_those_of_the_body_come_first():
    error = violation_of(factories.store_event(ssn_no="12", gender="?"), {})
    assert error.problems == (
        Problem("body.gender", "literal_error"),
        Problem("body.ssn_no", "string_pattern_mismatch"),
        Problem("attributes.store_id", "missing"),
    )
    assert error.violation is Violation.INVALID_BODY


def test_the_error_has_the_contract_the_code_the_place_and_the_rule():
    error = violation_of(factories.store_event(), factories.store_id("6"))
    assert str(error) == ("breaks the contract store-event (invalid-attribute): attributes.store_id: less_than_equal")


def test_an_unknown_key_is_refused_without_being_repeated():
    error = violation_of('{"amount": 1, "secret": 2}', {}, Contract("strict", Strict, Nothing))
    assert error.problems == (Problem("body.*", "extra_forbidden"),)


def test_a_key_of_a_mapping_is_not_repeated():
    error = violation_of('{"amounts": {"secret": "x"}}', {}, Contract("by-name", ByName, Nothing))
    assert error.problems == (Problem("body.amounts.*", "int_parsing"),)


# No rule or place is spelled like these, so an error that has one repeats a message.
marked = st.one_of(
    st.text(max_size=20).map(lambda text: f"{MARK}{text}"),
    st.integers(0, 999).map(lambda number: int(f"{MARK}{number:03}")),
    st.lists(st.just(MARK), min_size=1, max_size=3),
    st.fixed_dictionaries({"nested": st.just(MARK)}),
)
fields = st.sampled_from(sorted(json.loads(factories.store_event())))


@pytest.mark.slow
@given(
    st.dictionaries(fields, marked, min_size=1),
    st.text(max_size=20).map(lambda text: f"{MARK}{text}"),
    st.sampled_from(["StringValue", "stringValue"]),
)
@settings(max_examples=50, deadline=None)
def test_no_value_of_a_message_appears_in_its_error(changes, store, spelling):
    error = violation_of(factories.store_event(**changes), {"store_id": {spelling: store}})
    shown = f"{error} {error!r} {error.problems} {error.__context__!r} {error.__cause__!r}"
    assert MARK not in shown


@given(st.text().map(lambda text: f"{MARK}{text}"))
@settings(deadline=None)
def test_nothing_of_a_body_that_is_not_json_appears_in_its_error(body):
    assert MARK not in str(violation_of(body, factories.store_id()))


def test_the_problems_of_a_message_are_limited_so_that_they_fit_in_an_attribute():
    contract = Contract("list", Amounts, Nothing)
    error = violation_of(json.dumps({"amounts": ["x"] * 20_000}), {}, contract)
    assert len(error.problems) == MAX_PROBLEMS
