"""Adds bytecode to what `sam build` made: the last step of `make package`.

`sam build` packages no bytecode, and a function can't write to /var/task, so without this every cold start compiles
whatever it imports. The SAM CLI zips files as of 1980 (`make_zip_with_permissions` in samcli/lib/package/utils.py), so
bytecode that's valid for a timestamp would be compiled again. This bytecode isn't compared with its source when it's
imported (PEP 552, "unchecked hash-based .pycs"). That's why none that was there before is kept.

It needs only the standard library, like `tools.verify_package`.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from local.workspace import ROOT
from tools.wheels import sha256

BUILD = ROOT / ".aws-sam" / "build"
# sys.implementation.cache_tag of Lambda's python3.13. Another Python ignores its bytecode and compiles the source.
RUNTIME = "cpython-313"
# Where Lambda extracts a package to.
TASK_DIRECTORY = "/var/task"


class BytecodeError(RuntimeError):
    """There is nothing to compile, or it can't be compiled; the message says what to do."""


def add_bytecode(functions: list[Path]) -> None:
    """Replace the bytecode in directories of functions by what this Python compiles their source files to.

    Functions with the same source files get the same bytecode, which is compiled once.

    Raises
    ------
    BytecodeError
        This isn't Lambda's version of Python, or a source file isn't valid.
    """
    if sys.implementation.cache_tag != RUNTIME:
        raise BytecodeError(
            "expected CPython 3.13, because Lambda's python3.13 reads only its bytecode, found "
            f"{platform.python_implementation()} {platform.python_version()}: make PYTHON=/path/to/python3.13 ..."
        )
    compiled: dict[frozenset[tuple[Path, str]], Path] = {}
    for function in functions:
        _remove_bytecode(function)
        sources = frozenset((path.relative_to(function), sha256(path)) for path in function.rglob("*.py"))
        if sources in compiled:
            _copy_bytecode(compiled[sources], function)
        else:
            _compile(function)
            compiled[sources] = function


def _remove_bytecode(function: Path) -> None:
    for path in list(function.rglob("*")):
        if path.name == "__pycache__" and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name == "__pycache__" or path.suffix == ".pyc":
            path.unlink(missing_ok=True)


def _compile(function: Path) -> None:
    # What is marshaled depends on the objects that the process has. In a process of its own, it's the same every time.
    command = [sys.executable, "-I", "-S", "-m", "compileall", "-q", "-f", "-o", "0"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(function), "-p", TASK_DIRECTORY, str(function)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise BytecodeError(f"expected that every .py file in {function} can be compiled, found:\n{finished.stdout}")


def _copy_bytecode(origin: Path, function: Path) -> None:
    for path in origin.rglob("*.pyc"):
        copy = function / path.relative_to(origin)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)


def main(build: Path) -> int:
    """Add bytecode to all functions of a build, say so, and return an exit status."""
    functions = sorted(path for path in build.glob("*") if path.is_dir())
    try:
        if not functions:
            raise BytecodeError(f"expected a build in {build}, found no function. Run `sam build` first")
        add_bytecode(functions)
    except BytecodeError as error:
        print(error, file=sys.stderr)
        return 2
    count = sum(1 for function in functions for _ in function.rglob("*.pyc"))
    print(f"{len(functions)} functions: bytecode of {count} files, compiled by Python {platform.python_version()}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=Path, default=BUILD, help="directory of the build (.aws-sam/build)")
    sys.exit(main(parser.parse_args().build))
