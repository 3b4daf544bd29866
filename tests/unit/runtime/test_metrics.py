"""Metrics of a run: each step's counts are published once, and no failure ends the run."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from redrive.adapters.run_table import RunTable
from redrive.runtime.metrics import RunMetrics


class RefusedError(Exception):
    """The condition of a write doesn't hold."""


class FakeDynamoDb:
    """A client that answers each write with the given error, or without one."""

    class exceptions:  # noqa: N801 (boto3's name)
        """The client's errors."""

        ConditionalCheckFailedException = RefusedError

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.keys: list[str] = []

    def put_item(self, **request: Any) -> None:
        self.keys.append(request["Item"]["sk"]["S"])
        if self.error is not None:
            raise self.error


def published(client: FakeDynamoDb, capsys) -> list[dict[str, Any]]:
    metrics = RunMetrics(RunTable("runs", client))  # type: ignore[arg-type]
    metrics.publish_once("run-1", "round-3", {"dlq": "orders-dlq"}, {"Redriven": 5, "Quarantined": 0})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def test_the_counts_of_a_step_are_published_with_their_dimensions(capsys):
    client = FakeDynamoDb()
    (metric,) = published(client, capsys)
    assert (metric["dlq"], metric["Redriven"], metric["Quarantined"]) == ("orders-dlq", [5], [0])
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["dlq"]]
    assert client.keys == ["metrics#round-3"]


def test_counts_that_an_earlier_attempt_published_are_not_published_again(capsys):
    assert published(FakeDynamoDb(RefusedError()), capsys) == []


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
    ],
    ids=["refused by DynamoDB", "no answer"],
)
def test_a_run_continues_without_metrics_if_dynamodb_does_not_answer(error, capsys):
    assert published(FakeDynamoDb(error), capsys) == []
