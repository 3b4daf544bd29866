"""The AWS account in memory that the integration tests share by name, each with one of its own."""

from collections.abc import Iterator

import pytest

from redrive.domain.messages.queues import QueueRef
from tests.support.moto_cloud import MotoCloud, moto_cloud


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as made:
        yield made


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
