"""Contracts are read from SSM and S3; unusable ones are rejected with what to do."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError

from redrive.adapters.contract_store import ContractStore
from redrive.domain.errors import RejectedError
from tests.support.moto_cloud import moto_cloud

SCHEMA = {"type": "object", "required": ["id"]}

ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def account():
    with moto_cloud():
        boto3.client("s3").create_bucket(Bucket="schemas")
        yield


def put_parameter(name: str, text: str) -> None:
    boto3.client("ssm").put_parameter(Name=name, Value=text, Type="String")


def put_object(key: str, text: str | bytes) -> None:
    boto3.client("s3").put_object(Bucket="schemas", Key=key, Body=text)


def rejection(mapping: str, name: str = "orders") -> str:
    with pytest.raises(RejectedError) as caught:
        ContractStore(mapping, ACCOUNT).find(name)
    return str(caught.value)


def test_a_schema_is_read_from_an_ssm_parameter():
    put_parameter("/stack/contracts/order", json.dumps(SCHEMA))
    found = ContractStore("orders-*=ssm:/stack/contracts/order", ACCOUNT).find("orders-eu")
    assert (found.name, found.body_schema) == ("ssm:/stack/contracts/order", SCHEMA)


def test_a_schema_is_read_from_an_s3_object():
    put_object("a/order.json", json.dumps(SCHEMA))
    found = ContractStore("orders=s3://schemas/a/order.json", ACCOUNT).find("orders")
    assert found.body_schema == SCHEMA


def test_only_a_bucket_of_the_account_is_read_from(monkeypatch):
    # moto doesn't check the owner; S3 refuses with AccessDenied (S3 user guide, "Verifying bucket ownership").
    asked = []

    class S3:
        def get_object(self, **options):
            asked.append(options)
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "m"}}, "GetObject")

    monkeypatch.setattr("redrive.adapters.contract_store.boto3.client", lambda *_args, **_options: S3())
    assert "s3://schemas/a/order.json: AccessDenied" in rejection("orders=s3://schemas/a/order.json")
    assert asked == [{"Bucket": "schemas", "Key": "a/order.json", "ExpectedBucketOwner": ACCOUNT}]


def test_a_pydantic_contract_is_found_by_module_and_name():
    store = ContractStore("stores=python:examples.store_events.contract:STORE_EVENT", ACCOUNT)
    assert store.find("stores").name == "store-event"


def test_a_queue_that_is_not_mapped_has_no_contract():
    assert ContractStore("orders-*=ssm:/none", ACCOUNT).find("invoices") is None


def test_a_contract_is_read_only_once():
    put_parameter("/stack/contracts/order", json.dumps(SCHEMA))
    store = ContractStore("orders-*=ssm:/stack/contracts/order", ACCOUNT)
    assert store.find("orders-eu") is store.find("orders-us")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("ssm:/stack/contracts/none", "can't be read from ssm:/stack/contracts/none: ParameterNotFound"),
        ("s3://schemas/none.json", "can't be read from s3://schemas/none.json: NoSuchKey"),
        ("s3://no-such-bucket/none.json", "NoSuchBucket"),
    ],
)
def test_a_missing_contract_is_rejected_with_its_location(location, expected):
    assert expected in rejection(f"orders={location}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "the document is not JSON"),
        (b"\xff\xfe", "the document is not JSON"),
        ("[" * 100_000, "the document is not JSON"),
        ('{"type": "strin"}', "not a JSON Schema: type breaks the rule"),
        ("x" * 600_000, "the limit is 524288"),
    ],
)
def test_an_invalid_schema_is_rejected_with_the_location_of_the_error(text, expected):
    put_object("order.json", text)
    message = rejection("orders=s3://schemas/order.json")
    assert message.startswith("The contract of orders at s3://schemas/order.json is invalid:")
    assert expected in message
    assert "xff" not in message


def test_a_malformed_setting_is_rejected():
    assert "Expected NAME=LOCATION" in rejection("orders")
