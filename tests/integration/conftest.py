"""One embedded cloud for all integration tests; each test makes resources of its own in it."""

from collections.abc import Iterator

import pytest

from local.embedded_cloud import EmbeddedCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[EmbeddedCloud]:
    """An empty embedded cloud on a free port."""
    with EmbeddedCloud.start() as started:
        yield started
