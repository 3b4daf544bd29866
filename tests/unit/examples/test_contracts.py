"""The contracts of e-mail tasks and shipment notices: what they accept, refuse, and mark as personal."""

import json
from typing import Any

import pytest

from examples.email_tasks.contract import EMAIL_REQUEST, EMAIL_TASK
from examples.shipment_notices.contract import SHIPMENT_NOTICE
from redrive.contracts.contract import Contract, ContractViolationError, Violation
from tests.support import factories
from tests.support.samples import sample

TYPED = {"type": factories.string("email")}
TASK = {"recipient_email": "ann@example.org", "subject": "Hi", "body": "Hello", "task_id": "task-1"}


def violation_of(contract: Contract[Any, Any], body: dict, attributes: dict) -> Violation:
    with pytest.raises(ContractViolationError) as caught:
        contract.parse(json.dumps(body), attributes)
    return caught.value.violation


def marked(contract: Contract[Any, Any], mark: str) -> set[str]:
    properties = contract.body.model_json_schema()["properties"]
    return {name for name, field in properties.items() if field.get(mark)}


def test_a_task_is_parsed_with_its_attribute():
    message = EMAIL_TASK.parse(json.dumps(TASK), TYPED)
    assert (message.body.task_id, message.attributes.type) == ("task-1", "email")


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example",
        "first.last+tag@mail.example.org",
        "o'neil@xn--bcher-kva.example",
        f"{'a' * 64}@b.example",
    ],
)
def test_an_address_that_ses_accepts_is_valid(address):
    assert EMAIL_TASK.parse(json.dumps(TASK | {"recipient_email": address}), TYPED)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@localhost",
        "ann@@example.org",
        "ann@example.org,bob@example.org",
        "Ann <ann@example.org>",
        "ann@bücher.example",
        "ann@example.org\n",
        "ann@-example.org",
        f"{'a' * 65}@b.example",
    ],
)
def test_an_address_that_is_none_or_several_is_invalid(address):
    assert violation_of(EMAIL_TASK, TASK | {"recipient_email": address}, TYPED) is Violation.INVALID_BODY


@pytest.mark.parametrize(
    ("attributes", "violation"),
    [
        ({}, Violation.MISSING_ATTRIBUTE),
        ({"Type": factories.string("email")}, Violation.MISSING_ATTRIBUTE),
        ({"type": factories.string("sms")}, Violation.INVALID_ATTRIBUTE),
    ],
)
def test_a_task_without_its_attribute_is_invalid(attributes, violation):
    assert violation_of(EMAIL_TASK, TASK, attributes) is violation


def test_an_unknown_key_is_a_mistake_of_a_caller_but_not_of_a_producer():
    request = {name: value for name, value in TASK.items() if name != "task_id"}
    assert violation_of(EMAIL_REQUEST, request | {"cc": "bob@example.org"}, {}) is Violation.INVALID_BODY
    assert EMAIL_TASK.parse(json.dumps(TASK | {"priority": "high"}), TYPED)


def test_the_recipient_and_the_text_of_an_e_mail_are_personal_and_its_id_is_safe():
    assert marked(EMAIL_TASK, "x-personal") == {"recipient_email", "subject", "body"}
    assert marked(EMAIL_TASK, "x-safe") == {"task_id"}


def test_a_shipment_notice_may_have_any_message_attributes():
    attributes = {"redrive": factories.string("{}")}
    notice = SHIPMENT_NOTICE.parse(json.dumps(sample("shipment-notices")), attributes).body
    assert notice.shipment_id == "shipment-00001"


@pytest.mark.parametrize("name", ["shipment_id", "order_id", "carrier", "recipient_name", "shipped_at"])
def test_a_shipment_notice_without_a_field_is_invalid(name):
    event = {key: value for key, value in sample("shipment-notices").items() if key != name}
    assert violation_of(SHIPMENT_NOTICE, event, {}) is Violation.INVALID_BODY


def test_the_recipient_of_a_shipment_is_personal():
    assert marked(SHIPMENT_NOTICE, "x-personal") == {"recipient_name"}
