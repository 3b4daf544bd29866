"""The registry: which queue has which contract, and that a contract in Python is imported by name."""

import sys

import pytest

from examples.email_tasks.contract import EMAIL_TASK
from examples.reward_payouts.contract import REWARD_PAYOUT
from examples.shipment_notices.contract import SHIPMENT_NOTICE
from examples.store_events.contract import STORE_EVENT
from redrive.adapters.contract_store import ContractStore
from redrive.contracts.registry import ContractMapping, UnknownContractError, python_contract
from redrive.domain.errors import RejectedError

STORE_EVENT_AT = "python:examples.store_events.contract:STORE_EVENT"

ACCOUNT = "123456789012"


def nothing(location: str) -> bytes:
    raise AssertionError(location)


def test_a_mapping_has_the_location_of_a_queues_contract():
    mapping = ContractMapping.parse(
        f"orders-*=ssm:/a/b, store={STORE_EVENT_AT},,orders-eu=s3://bucket/k=1.json", nothing
    )
    assert mapping.location("orders-us") == "ssm:/a/b"
    assert mapping.location("store") == STORE_EVENT_AT
    assert mapping.location("others") is None


def test_an_exact_name_takes_precedence_over_a_pattern():
    mapping = ContractMapping.parse("orders-*=ssm:/a/b,orders-eu=s3://bucket/k=1.json", nothing)
    assert mapping.location("orders-eu") == "s3://bucket/k=1.json"


@pytest.mark.parametrize("location", ["no-such", "store-event", "http://host/schema", "python", "SSM:/a"])
def test_a_location_of_an_unknown_form_is_refused_with_the_known_ones(location):
    with pytest.raises(UnknownContractError, match=r"orders.*ssm:PARAMETER.*s3://BUCKET/KEY.*python:MODULE:NAME"):
        ContractMapping.parse(f"orders={location}", nothing)


@pytest.mark.parametrize("text", ["orders", "=ssm:/a/b", "orders="])
def test_a_pair_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(UnknownContractError, match=r"Expected NAME=LOCATION, such as"):
        ContractMapping.parse(text, nothing)


@pytest.mark.parametrize(
    ("location", "contract"),
    [
        (STORE_EVENT_AT, STORE_EVENT),
        ("python:examples.email_tasks.contract:EMAIL_TASK", EMAIL_TASK),
        ("python:examples.reward_payouts.contract:REWARD_PAYOUT", REWARD_PAYOUT),
        ("python:examples.shipment_notices.contract:SHIPMENT_NOTICE", SHIPMENT_NOTICE),
    ],
)
def test_a_contract_in_python_is_found_by_module_and_name(location, contract):
    assert python_contract(location) is contract
    assert ContractStore(f"orders={location}", ACCOUNT).find("orders") is contract


@pytest.mark.parametrize(
    "location",
    [
        "python:no.such.module:STORE_EVENT",
        "python:examples.no_such:STORE_EVENT",
        "python:examples.store_events.contract:NO_SUCH",
        "python:examples.store_events.contract:StoreEvent",
        "python:examples.store_events.contract:",
        "python:examples.store_events.contract",
        "python::STORE_EVENT",
        "python:.contract:STORE_EVENT",
        "python:",
    ],
)
def test_a_contract_in_python_that_does_not_exist_is_refused_with_its_location_and_an_example(location):
    store = ContractStore(f"orders={location}", ACCOUNT)
    with pytest.raises(RejectedError) as caught:
        store.find("orders")
    refusal = str(caught.value)
    assert f"'{location}', which doesn't exist" in refusal
    assert "Expected python:MODULE:NAME" in refusal
    assert refusal.endswith("Correct the parameter and deploy again.")


def test_a_mapping_that_cannot_be_read_refuses_the_run_of_every_queue():
    with pytest.raises(RejectedError, match="Expected NAME=LOCATION"):
        ContractStore("orders", ACCOUNT).find("invoices")


def test_a_contract_is_imported_only_when_its_queue_needs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "examples.store_events.contract")
    store = ContractStore(f"store={STORE_EVENT_AT}", ACCOUNT)
    assert store.find("orders") is None
    assert "examples.store_events.contract" not in sys.modules
    assert store.find("store").name == "store-event"
    assert "examples.store_events.contract" in sys.modules
