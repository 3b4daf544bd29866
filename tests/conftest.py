"""What all tests need: a Region and credentials that lead nowhere, set before any handler is imported."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from itertools import batched, zip_longest
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, settings

from redrive.aws_session import default_session
from tests.support.process_state import changes, process_state

TESTS = Path(__file__).parent
pytest_plugins = ("tests.permissions.plugin",)

os.environ.update(
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    POWERTOOLS_TRACE_DISABLED="true",
)
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)
# Otherwise, the first client would set it, in whichever file that is.
boto3.setup_default_session(botocore_session=default_session())
# jsonschema would build 38 parsers on import to check IRIs, which no schema here has.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
# On a busy machine, a slow example says nothing about the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
# Imported modules and collected tests stay, and garbage collection among them would take a sixth of the time.
gc.disable()
# On SIGTERM, too, fixtures stop what they started.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# A shell makes background jobs ignore Ctrl-C, and the processes that tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def restored() -> Iterator[None]:
    """Fail the last test of a file that leaves a change to what later files in this process share."""
    before = process_state()
    yield
    changed = changes(before, process_state())
    assert not changed, f"expected a file to restore what it changes for all tests, but it has changed {changed}"


def pytest_collection_finish() -> None:
    """Collect garbage only among what tests create."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 10, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Alternate between files whose tests wait and files whose tests compute, the slow ones first.

    pytest-xdist gives the next file to each free worker, so the processors always have work.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    files = dict.fromkeys(item.path for item in items)
    waiting = [path for path in reversed(files) if path.parent in {TESTS / "e2e", TESTS / "faults"}]
    others = sorted((path for path in files if path not in waiting), key=lambda path: path not in slow)
    turns = zip_longest(batched(waiting, 1, strict=False), batched(others, 2, strict=False), fillvalue=())
    places = {path: place for place, path in enumerate(path for turn in turns for some in turn for path in some)}
    items.sort(key=lambda item: places[item.path])
