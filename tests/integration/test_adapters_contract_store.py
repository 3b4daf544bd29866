"""Contracts are read from SSM and S3; unusable ones are rejected with what to do."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError

from redrive.adapters.contract_store import ContractStore
from redrive.domain.errors import RejectedError, UnavailableError
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

    monkeypatch.setattr("redrive.adapters.contract_store.aws_client", lambda *_args, **_options: S3())
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


# Failed reads


def answered(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetParameter")


class FailingOnce:
    """A client of SSM or S3 whose first request fails."""

    def __init__(self, client, error):
        self._client, self._errors = client, [error]

    def __getattr__(self, name):
        if self._errors:
            raise self._errors.pop()
        return getattr(self._client, name)


def failing_once(monkeypatch, service: str, error: Exception) -> None:
    client = FailingOnce(boto3.client(service), error)
    monkeypatch.setattr("redrive.adapters.contract_store.aws_client", lambda *_args, **_options: client)


SETTINGS = {
    "ssm": ("orders=ssm:/stack/contracts/order", "orders=ssm:/stack/contracts/order,@ssm:/stack/contracts/mapping"),
    "s3": ("orders=s3://schemas/order.json", "orders=s3://schemas/order.json,@s3://schemas/mapping.json"),
}


@pytest.mark.parametrize(("service", "setting"), [(service, one) for service, both in SETTINGS.items() for one in both])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answered("ThrottlingException"), UnavailableError),
        (answered("TooManyRequestsException", 429), UnavailableError),
        (answered("SlowDown", 503), UnavailableError),
        (answered("InternalServerError", 500), UnavailableError),
        (answered("RequestTimeout"), UnavailableError),
        (answered("ExpiredTokenException"), UnavailableError),
        (EndpointConnectionError(endpoint_url="https://ssm"), UnavailableError),
        (ReadTimeoutError(endpoint_url="https://ssm"), UnavailableError),
        (answered("AccessDeniedException"), RejectedError),
        (answered("AccessDenied", 403), RejectedError),
        (answered("ParameterNotFound"), RejectedError),
        (answered("NoSuchKey", 404), RejectedError),
        (answered("InvalidKeyId"), RejectedError),
        (ParamValidationError(report="no bucket"), RejectedError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:60],
)
def test_only_a_definite_answer_refuses_a_contract_and_a_failed_read_is_repeated(
    monkeypatch, service, setting, error, expected
):
    for name, text in (("order", json.dumps(SCHEMA)), ("mapping", "{}")):
        put_parameter(f"/stack/contracts/{name}", text)
        put_object(f"{name}.json", text)
    failing_once(monkeypatch, service, error)
    store = ContractStore(setting, ACCOUNT)
    with pytest.raises(expected, match=r"can't be read from .*: \w+\. .*(start the run again|may read)\.") as caught:
        store.find("orders")
    assert type(caught.value) is expected
    assert store.find("orders").body_schema == SCHEMA


# Mappings


def test_hundreds_of_queues_are_mapped_in_a_parameter_and_in_an_object():
    put_parameter("/stack/contracts/order", json.dumps(SCHEMA))
    put_object("a/order.json", json.dumps(SCHEMA))
    in_object = {f"team-{number}-*": "s3://schemas/a/order.json" for number in range(2_000)}
    put_object("mapping.json", json.dumps(in_object))
    put_parameter("/stack/contracts/mapping", json.dumps({"orders-eu": "ssm:/stack/contracts/order"}))
    setting = "@ssm:/stack/contracts/mapping,@s3://schemas/mapping.json,stores=python:examples.store_events.contract:STORE_EVENT"
    store = ContractStore(setting, ACCOUNT)
    assert len(store.mapping().pairs) == 2_002
    assert store.find("orders-eu").name == "ssm:/stack/contracts/order"
    assert store.find("team-1999-orders").name == "s3://schemas/a/order.json"
    assert store.find("stores").name == "store-event"
    assert store.find("team-2000-orders") is None


def test_a_changed_mapping_counts_from_the_next_slice():
    put_object("mapping.json", "{}")
    before, after = (ContractStore("@s3://schemas/mapping.json", ACCOUNT) for _ in range(2))
    assert before.find("orders") is None
    put_object("mapping.json", json.dumps({"orders": "s3://schemas/order.json"}))
    put_object("order.json", json.dumps(SCHEMA))
    assert before.find("orders") is None
    assert after.find("orders").name == "s3://schemas/order.json"


@pytest.mark.parametrize("place", ["ssm:/stack/contracts/none", "s3://schemas/none.json", "s3://no-such-bucket/none"])
def test_a_mapping_that_cant_be_read_rejects_the_run_of_every_queue(place):
    assert f"The mapping of contracts can't be read from {place}: " in rejection(f"@{place}", "anything")


def test_no_more_of_a_mapping_is_read_than_the_limit():
    put_object("mapping.json", json.dumps({f"queue-{number:020}": "ssm:/a" for number in range(50_000)}))
    assert "at s3://schemas/mapping.json has more than 1048576 bytes" in rejection("@s3://schemas/mapping.json")


def test_a_malformed_setting_is_rejected():
    assert "Expected NAME=LOCATION" in rejection("orders")
