"""Shipment notices: each shipment is added once, and the function fails for any that can't be, so Lambda retries it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from redrive.contracts.contract import ContractViolationError
from tests.support.definitions import functions
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.samples import load, sample

FUNCTION = functions()["ShipmentNotices"]
Notify = Callable[..., None]


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as cloud:
        cloud.table("shipments", "shipment_id")
        outage("none")
        yield cloud


@pytest.fixture
def notify(cloud) -> Notify:
    def invoke(**changes: Any) -> None:
        cloud.calls.clear()
        load(FUNCTION)(sample("shipment-notices") | changes)

    return invoke


def outage(carriers: str) -> None:
    boto3.client("ssm").put_parameter(Name="store-events-outage", Value=carriers, Type="String", Overwrite=True)


def shipments() -> list[dict[str, Any]]:
    return boto3.client("dynamodb").scan(TableName="shipments")["Items"]


def test_a_shipment_is_added_without_the_recipients_name(notify):
    notify(recipient_name="7319")
    (shipment,) = shipments()
    assert shipment["shipment_id"] == {"S": "shipment-00001"}
    assert "7319" not in json.dumps(shipment)


def test_a_second_notice_of_a_shipment_changes_nothing(cloud, notify):
    notify(order_id="order-1")
    notify(order_id="order-2")
    assert [item["order_id"] for item in shipments()] == [{"S": "order-1"}]
    assert cloud.calls.count("dynamodb:PutItem") == 1


def test_a_shipment_whose_carrier_does_not_respond_fails_and_is_added_later(notify):
    outage("courier,post")
    with pytest.raises(Exception, match="the tracking service of the carrier post does not respond"):
        notify()
    assert shipments() == []
    outage("courier")
    notify()
    assert len(shipments()) == 1


@pytest.mark.parametrize(
    "changes",
    [{"carrier": "pigeon-7319"}, {"shipped_at": "7319 o'clock"}, {"shipment_id": ""}, {"order_id": 7319}],
)
def test_an_event_that_breaks_the_contract_fails_without_being_quoted(notify, changes):
    with pytest.raises(ContractViolationError) as caught:
        notify(**changes)
    assert "7319" not in str(caught.value)
    assert shipments() == []


def test_unknown_keys_are_ignored(notify):
    notify(priority="high")
    assert len(shipments()) == 1
