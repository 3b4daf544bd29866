"""One embedded cloud for all tests of the emulator; each test creates its own resources."""

from collections.abc import Iterator

import pytest

from local.embedded_cloud import EmbeddedCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[EmbeddedCloud]:
    """An empty embedded cloud on a free port."""
    with EmbeddedCloud.start() as started:
        yield started
