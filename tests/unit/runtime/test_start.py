"""Nothing looks for garbage while a function starts; everything does once it has started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.definitions import ROOT
from tests.support.samples import SAMPLES_OF, VALUES

PROGRAM = """
import gc, sys
collections = []
gc.callbacks.append(lambda phase, _: collections.append(phase))
import redrive.handlers
at_first = len(collections)
import {handler}
print(len(collections) - at_first, gc.isenabled(), gc.get_freeze_count() > 20_000)
"""


@pytest.mark.parametrize("handler", [name for name in SAMPLES_OF if name.startswith("redrive.")])
def test_a_function_looks_for_garbage_once_it_has_started(handler):
    environment = VALUES | {"PYTHONPATH": "functions", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-c", PROGRAM.format(handler=handler)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True", "True"]
