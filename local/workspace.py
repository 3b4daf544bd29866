"""The directories and programs of the embedded cloud.

:mod:`local.embedded_cloud` and :mod:`local.sam_deployment` share it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE_DIRECTORY = ROOT / ".local-cloud"
_CLOUD_PYTHON = ROOT / ".venvs" / "cloud" / "bin" / "python"
_SAM_PROGRAMS = ROOT / ".venvs" / "sam" / "bin"


class EmbeddedCloudError(RuntimeError):
    """The embedded cloud can't do what was requested; the message says what to do."""


def cloud_python() -> str:
    """Return the interpreter of the environment that ministack is installed in.

    ministack pins another version of botocore than the tests need, so they can't share an environment.

    Raises
    ------
    EmbeddedCloudError
        The environment does not exist.
    """
    if not _CLOUD_PYTHON.exists():
        raise EmbeddedCloudError(f"{_CLOUD_PYTHON} is missing: run `make setup`, which installs requirements/cloud.txt")
    return str(_CLOUD_PYTHON)


def find_program(name: str, how_to_get: str) -> str:
    """Return the path of a program, looked for in PATH and then in .venvs/sam.

    Raises
    ------
    EmbeddedCloudError
        It is in neither; the message says how to get it.
    """
    found = shutil.which(name, path=program_path())
    if found is None:
        raise EmbeddedCloudError(f"'{name}' was not found on PATH or in {_SAM_PROGRAMS}: {how_to_get}")
    return found


def program_path() -> str:
    """Return PATH followed by the environment of the SAM CLI, whose Python is one that SAM can build with."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(_SAM_PROGRAMS)])
