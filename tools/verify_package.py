"""Compares what `sam build` made with the locked hashes: `make verify-package`, between `sam build` and `sam deploy`.

For another architecture than the machine's, the SAM CLI downloads wheels by name and version, without their hashes
(`download_manylinux_wheels` in aws_lambda_builders/workflows/python_pip/packager.py). So this looks at the result: each
file of each function must be the one in the locked wheel for the function's architecture, or the one in functions/.
Bytecode, if there is any, must be what this Python compiles these files to.

It needs only the standard library and pip, like `sam build`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from local.workspace import ROOT
from tools.bytecode import BUILD, BytecodeError, add_bytecode
from tools.wheels import WheelError, locked_wheels, sha256

SOURCE = ROOT / "functions"


class BuildError(RuntimeError):
    """There is no build to look at; the message says what to do."""


def built_functions(build: Path) -> dict[str, list[Path]]:
    """Return the directories of the functions that ``sam build`` made, by architecture.

    Raises
    ------
    BuildError
        There is none of the whole template, or it contains what the SAM CLI didn't put there.
    """
    record = build.parent / "build.toml"
    if not record.exists() or not build.exists():
        raise BuildError(f"expected a build in {build}, found none of the whole template. Run `sam build` first")
    definitions = tomllib.loads(record.read_text()).get("function_build_definitions", {}).values()
    architectures = {name: each["architecture"] for each in definitions for name in each["functions"]}
    found = defaultdict(list)
    for directory in sorted(path for path in build.iterdir() if path.is_dir()):
        if directory.name not in architectures:
            raise BuildError(f"expected only functions of {record}, found {directory}. Delete {build}, and build again")
        found[architectures[directory.name]].append(directory)
    return found


def expected_files(wheels: Iterable[Path], source: Path = SOURCE) -> dict[str, str]:
    """Return the SHA-256 of each file that a function consists of, by its path in the function."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in _contents(wheels, source)}


def expected_bytecode(wheels: Iterable[Path], source: Path = SOURCE) -> dict[str, str]:
    """Return the SHA-256 of the bytecode of each file that a function consists of, by its path in the function.

    Raises
    ------
    BytecodeError
        This Python can't compile it.
    """
    with TemporaryDirectory() as name:
        function = Path(name).resolve()
        for path, content in _contents(wheels, source):
            if path.endswith(".py"):
                (function / path).parent.mkdir(parents=True, exist_ok=True)
                (function / path).write_bytes(content)
        add_bytecode([function])
        return {path: sha256(function / path) for path in _files(function) if path.endswith(".pyc")}


def differences(function: Path, expected: Mapping[str, str], bytecode: Mapping[str, str]) -> list[str]:
    """Return a line for each file of a built function that is altered, missing, or extra; bytecode may be missing."""
    packaged = set(_files(function))
    lines = [f"missing: {path}" for path in expected.keys() - packaged]
    for path in packaged:
        hash_of_path = expected.get(path) or bytecode.get(path)
        if hash_of_path is None:
            lines.append(f"extra: {path}")
        elif (function / path).is_symlink() or sha256(function / path) != hash_of_path:
            lines.append(f"altered: {path}")
    return sorted(lines)


def _contents(wheels: Iterable[Path], source: Path) -> Iterator[tuple[str, bytes]]:
    for path in _source_files(source):
        yield path, (source / path).read_bytes()
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    yield _extracted_path(member.filename), archive.read(member)


def _extracted_path(member: str) -> str:
    parts = PurePosixPath(member).parts
    if parts[0].endswith(".data") and parts[1] in {"purelib", "platlib"}:
        parts = parts[2:]
    return "/".join(parts)


def _source_files(source: Path) -> Iterator[str]:
    for path in _files(source):
        # The SAM CLI leaves out what Python and tools write (EXCLUDED_FILES in aws_lambda_builders' workflow.py).
        if "__pycache__" not in path and not any(part.startswith(".") for part in path.split("/")):
            yield path


def _files(directory: Path) -> Iterator[str]:
    for path in directory.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(directory).as_posix()


def main(build: Path) -> int:
    """Compare all functions of a build, print what differs, and return an exit status."""
    lines, summary = [], []
    try:
        for architecture, functions in built_functions(build).items():
            wheels = locked_wheels(architecture)
            compiled = any(path.endswith(".pyc") for function in functions for path in _files(function))
            expected, bytecode = expected_files(wheels), expected_bytecode(wheels) if compiled else {}
            for function in functions:
                lines += [f"{function.name}: {line}" for line in differences(function, expected, bytecode)]
            summary.append(
                f"{len(functions)} functions for {architecture}: functions/ and {len(wheels)} locked wheels"
                + (", and their bytecode" if compiled else "")
            )
    except (BuildError, BytecodeError, WheelError) as error:
        print(error, file=sys.stderr)
        return 2
    if lines:
        print("Expected only functions/ and the locked wheels, with bytecode as this Python compiles it.")
        print("If functions/ or Python has changed since the build, build again: make package.")
        print("Otherwise don't deploy it before you know where these files come from:")
    print("\n".join(lines or summary))
    return 1 if lines else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=Path, default=BUILD, help="directory of the build (.aws-sam/build)")
    sys.exit(main(parser.parse_args().build))
