"""What tests of one process share: a file that changes it and doesn't restore it changes the tests of others.

Which files share a process differs from run to run, because pytest-xdist gives each to the next worker that is free.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import boto3

from redrive.aws_session import default_session

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The code that tests patch most. Handlers are loaded again with the environment of a test.
_PATCHED = ("redrive.", "verify.", "local.", "time", "random", "subprocess", "socket", "boto3", "botocore.client")
_RELOADED = ("redrive.handlers.", "redrive.runtime.")


def process_state() -> dict[str, Any]:
    """Return what a test may change for others, by names that say where it is."""
    root = logging.getLogger()
    found: dict[str, Any] = {
        "the working directory": str(Path.cwd()),
        "sys.path": tuple(sys.path),
        "boto3.DEFAULT_SESSION": id(boto3.DEFAULT_SESSION),
        "the default session of redrive.aws_session": id(default_session()),
        "logging.disable": root.manager.disable,
        "the level of the root logger": root.level,
        # pytest has its own during each test.
        "handlers of the root logger": [id(one) for one in root.handlers if not type(one).__module__.startswith("_")],
    }
    found |= {f"the handler of {one.name}": signal.getsignal(one) for one in _SIGNALS}
    found |= {
        f"the environment variable {name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"
    }
    found |= {f"the thread {one.name}": one.ident for one in threading.enumerate() if not one.daemon}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.startswith(_PATCHED) and not name.startswith(_RELOADED):
            found[name] = "loaded"
            found |= {f"{name}.{part}": id(value) for part, value in vars(module).items() if _is_fixed(part, value)}
    return found


def _is_fixed(name: str, value: Any) -> bool:
    return name.isupper() or isinstance(value, type | FunctionType)


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of what differs. What a module that was loaded meanwhile has is no difference."""
    loaded = {name for name in after.keys() - before.keys() if after[name] == "loaded"}
    return sorted(
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and name not in loaded and name.rpartition(".")[0] not in loaded
    )
