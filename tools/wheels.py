"""The wheels that Lambda gets for an architecture: exactly the files whose hashes functions/requirements.txt has.

`tools.verify_package` and `tools.sbom` read them. It needs only the standard library and pip.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from local.workspace import ROOT

LOCK = ROOT / "functions" / "requirements.txt"
BUILD_DIRECTORY = ROOT / "build"
# Lambda's names, and those of wheels.
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
# Lambda's python3.13 has glibc 2.34 (_RUNTIME_GLIBC in aws_lambda_builders/workflows/python_pip/packager.py).
_GLIBC_MINORS = range(34, 16, -1)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class WheelError(RuntimeError):
    """The wheels can't be downloaded as locked; the message says what to do."""


def locked_wheels(architecture: str) -> list[Path]:
    """Return the wheels for an architecture of Lambda, downloaded on first use.

    Raises
    ------
    WheelError
        pip can't download a package as locked.
    """
    lock = LOCK.read_bytes()
    directory = BUILD_DIRECTORY / "wheels" / f"{architecture}-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory.parent) as temporary:
            _download(architecture, Path(temporary) / "wheels")
            # Another process may have been faster.
            with suppress(OSError):
                (Path(temporary) / "wheels").rename(directory)
    wheels = sorted(directory.glob("*.whl"))
    hashes = set(_HASH.findall(lock.decode()))
    if altered := [wheel for wheel in wheels if sha256(wheel) not in hashes]:
        raise WheelError(f"expected wheels as locked, but the hash of {altered[0]} isn't. Delete {directory}")
    return wheels


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(architecture: str, directory: Path) -> None:
    machine = ARCHITECTURES[architecture]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--dest", str(directory)]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", str(LOCK)]
    command += ["--implementation", "cp", "--python-version", "3.13"]
    for platform in (*(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS), f"manylinux2014_{machine}"):
        command += ["--platform", platform]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise WheelError(f"could not download the wheels of {LOCK.name} for {architecture}:\n{finished.stderr}")
