"""The app as `sam build` and `sam deploy` make it, on one embedded cloud for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from tests.support.app import App


@pytest.fixture(scope="session")
def app() -> Iterator[App]:
    with EmbeddedCloud.start() as cloud:
        yield App(cloud, cloud.deploy(STACK_NAME, {"SliceSeconds": "5"}))
