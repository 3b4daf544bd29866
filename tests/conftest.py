"""What all tests need: a region and credentials that lead nowhere, set before any handler is imported."""

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.permissions.plugin",)

os.environ.update(
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    POWERTOOLS_TRACE_DISABLED="true",
)
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)
# With it, jsonschema makes 38 parsers as it's imported, to check the format of IRIs, which no schema here has.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
# On a machine with other work, a slow draw says nothing about the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
# Fixtures stop what they started on SIGTERM, too.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# A shell makes background jobs ignore Ctrl-C, and the processes that tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that have slow tests, so none of them is left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
