"""The AWS account in memory that the integration tests share by name, each with one of its own."""

from collections.abc import Iterator

import pytest

from redrive.domain.messages.queues import QueueRef
from tests.support.lean_client import lean_clients
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.moto_endpoint import moto_endpoint


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as made:
        yield made


@pytest.fixture(params=["boto3", "lean"])
def client_of_sqs(
    request: pytest.FixtureRequest,
    cloud: MotoCloud,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Run a test with each client that can move messages. The test's module makes them with `sqs_client`."""
    with moto_endpoint() as endpoint:
        if request.param == "lean":
            monkeypatch.setattr(request.module, "sqs_client", lean_clients(endpoint))
        yield


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of an operator, whose Region is that of the account in memory."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("REDRIVE_STACK", raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def dlq(cloud: MotoCloud) -> QueueRef:
    found = cloud.queue("orders-dlq")
    cloud.queue("orders", dlq=found)
    return found
