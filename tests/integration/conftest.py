"""The AWS account in memory that the integration tests share by name, each with one of its own."""

from collections.abc import Iterator

import pytest

from tests.support.moto_cloud import MotoCloud, moto_cloud


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as made:
        yield made
