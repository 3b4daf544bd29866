"""Contracts read from SSM and S3: found by name, and refused with what to do where they cannot be used."""

import json

import boto3
import pytest

from redrive.adapters.contract_store import ContractStore
from redrive.domain.errors import RejectedError
from tests.support.moto_cloud import moto_cloud

SCHEMA = {"type": "object", "required": ["id"]}


@pytest.fixture(autouse=True)
def account():
    with moto_cloud():
        boto3.client("s3").create_bucket(Bucket="schemas")
        yield


def put_parameter(name: str, text: str) -> None:
    boto3.client("ssm").put_parameter(Name=name, Value=text, Type="String")


def put_object(key: str, text: str | bytes) -> None:
    boto3.client("s3").put_object(Bucket="schemas", Key=key, Body=text)


def refused(mapping: str, name: str = "orders") -> str:
    with pytest.raises(RejectedError) as caught:
        ContractStore(mapping).find(name)
    return str(caught.value)


def test_a_schema_is_read_from_a_parameter():
    put_parameter("/stack/contracts/order", json.dumps(SCHEMA))
    found = ContractStore("orders-*=ssm:/stack/contracts/order").find("orders-eu")
    assert (found.name, found.body_schema) == ("ssm:/stack/contracts/order", SCHEMA)


def test_a_schema_is_read_from_an_object():
    put_object("a/order.json", json.dumps(SCHEMA))
    found = ContractStore("orders=s3://schemas/a/order.json").find("orders")
    assert found.body_schema == SCHEMA


def test_a_contract_of_this_app_is_found_by_its_name():
    assert ContractStore("stores=store-event").find("stores").name == "store-event"


def test_a_queue_that_nothing_is_said_about_has_no_contract():
    assert ContractStore("orders-*=ssm:/none").find("invoices") is None


def test_a_contract_is_read_once():
    put_parameter("/stack/contracts/order", json.dumps(SCHEMA))
    store = ContractStore("orders-*=ssm:/stack/contracts/order")
    assert store.find("orders-eu") is store.find("orders-us")


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("ssm:/stack/contracts/none", "cannot be read from ssm:/stack/contracts/none: ParameterNotFound"),
        ("s3://schemas/none.json", "cannot be read from s3://schemas/none.json: NoSuchKey"),
        ("s3://nobodys/none.json", "NoSuchBucket"),
    ],
)
def test_a_contract_that_is_not_there_is_refused_with_where_it_should_be(location, told):
    assert told in refused(f"orders={location}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "the document is not JSON"),
        (b"\xff\xfe", "the document is not JSON"),
        ("[" * 100_000, "the document is not JSON"),
        ('{"type": "strin"}', "not a JSON Schema, at type"),
        ("x" * 600_000, "at most 524288 are taken"),
    ],
)
def test_a_document_that_is_no_schema_is_refused_with_where_it_is_wrong(text, told):
    put_object("order.json", text)
    message = refused("orders=s3://schemas/order.json")
    assert message.startswith("The contract of orders at s3://schemas/order.json cannot be used:")
    assert told in message
    assert "xff" not in message


def test_a_setting_that_cannot_be_read_is_refused():
    assert "Expected NAME=LOCATION" in refused("orders")
