"""Pages of runs are written into the bucket for them, and their addresses are those of AWS's console."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from redrive.adapters.report_pages import ReportPages
from redrive.domain.page.document import page_key
from tests.support.moto_cloud import moto_cloud
from tests.support.reports import report

ACCOUNT = "123456789012"
HOST = "console.aws.amazon.com"


@pytest.fixture
def bucket():
    with moto_cloud():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="pages")
        yield s3


def test_a_page_is_written_as_what_a_browser_shows(bucket):
    key = page_key(report())
    address = ReportPages("pages", ACCOUNT, HOST).write(key, "<!doctype html>ü")
    found = bucket.get_object(Bucket="pages", Key=key)
    assert found["ContentType"] == "text/html; charset=utf-8"
    assert found["Body"].read().decode() == "<!doctype html>ü"
    assert address is not None
    assert parse_qs(urlsplit(address).query)["prefix"] == [key]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("name", ["runs/a.html", "a b&c=d", "größe", "<>|\"'"])
def test_an_address_gives_nobody_access_and_has_no_character_that_ends_a_link(name):
    address = ReportPages("pages", ACCOUNT, HOST).write(name, "")
    assert address is not None
    assert address.isascii()
    assert not set("<>|\"' ") & set(address)
    assert address.startswith(f"https://us-east-1.{HOST}/s3/object/pages?")
    assert parse_qs(urlsplit(address).query) == {
        "region": ["us-east-1"],
        "bucketType": ["general"],
        "prefix": [name],
    }


def test_a_bucket_of_another_account_gets_no_page(monkeypatch):
    written = []

    class S3:
        meta = SimpleNamespace(region_name="eu-west-1")

        def put_object(self, **parameters: Any) -> None:
            written.append(parameters)

    monkeypatch.setattr("redrive.adapters.report_pages.aws_client", lambda *_args, **_options: S3())
    ReportPages("pages", ACCOUNT, HOST).write("runs/a.html", "")
    # S3 refuses the request otherwise (S3 API reference, PutObject).
    assert [parameters["ExpectedBucketOwner"] for parameters in written] == [ACCOUNT]


def test_without_a_bucket_nothing_is_written():
    assert ReportPages("", ACCOUNT, HOST).write("runs/a.html", "") is None


@pytest.mark.parametrize(
    ("dlq", "folder"),
    [
        ("orders-dlq", "orders-dlq"),
        ("arn:aws:sqs:us-east-1:123456789012:orders-dlq", "orders-dlq"),
        ("https://sqs.us-east-1.amazonaws.com/123456789012/orders-dlq", "orders-dlq"),
        (None, "none"),
    ],
)
def test_pages_are_sorted_by_queue_and_time(dlq, folder):
    made = report().model_copy(update={"dlq": dlq, "run_id": "arn:1/2"})
    assert page_key(made) == f"runs/{folder}/{made.started_at:%Y-%m-%dT%H-%M-%SZ}_arn-1-2.html"
