"""What `sam build` packages: only the source and the locked wheels, under licenses that are allowed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from local import sam_deployment
from tests.support.definitions import ROOT, functions
from tools import verify_package, wheels
from tools.sbom import bom_of, packaged_parts, refused_parts
from tools.wheels import ARCHITECTURES, LOCK, WheelError, locked_wheels

LOCKED = set(re.findall(r"^([\w-]+)==([\w.]+)", LOCK.read_text(), re.MULTILINE))
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(scope="module")
def build() -> Path:
    return sam_deployment.build(ROOT / "template.yaml")


def test_the_build_has_only_what_is_locked(build, capsys):
    status = verify_package.main(build)
    output = capsys.readouterr().out
    assert status == 0, output
    assert f"{len(functions())} functions" in output
    assert "and their bytecode" in output


def test_tampered_files_of_a_build_are_found(build, tmp_path, capsys):
    shutil.copy(build.parent / "build.toml", tmp_path)
    function = shutil.copytree(build / "MoverFunction", tmp_path / "build" / "MoverFunction")
    (library,) = function.glob("pydantic_core/*.so")
    library.write_bytes(library.read_bytes()[:-1] + b"!")
    (function / "sitecustomize.py").write_text("import os\n")
    (function / "jsonpatch.py").unlink()
    bytecode = function / "redrive" / "__pycache__"
    shutil.copy(bytecode / "package_mismatch.cpython-313.pyc", bytecode / "__init__.cpython-313.pyc")
    shutil.copy(bytecode / "__init__.cpython-313.pyc", function / "usercustomize.pyc")
    assert verify_package.main(tmp_path / "build") == 1
    assert capsys.readouterr().out.splitlines()[3:] == [
        f"MoverFunction: altered: pydantic_core/{library.name}",
        "MoverFunction: altered: redrive/__pycache__/__init__.cpython-313.pyc",
        "MoverFunction: extra: sitecustomize.py",
        "MoverFunction: extra: usercustomize.pyc",
        "MoverFunction: missing: jsonpatch.py",
    ]


IMPORT_HANDLERS = """
import importlib, importlib.machinery, sys
function, *handlers = sys.argv[1:]
compile = importlib.machinery.SourceFileLoader.source_to_code
def compiled_again(loader, data, path, **options):
    # What the environment adds, such as boto3, may not have bytecode yet.
    assert not path.startswith(function), path
    return compile(loader, data, path, **options)
importlib.machinery.SourceFileLoader.source_to_code = compiled_again
sys.path.insert(0, function)
for handler in handlers:
    importlib.import_module(handler)
"""


def test_handlers_are_imported_from_bytecode_though_files_are_as_of_1980(build, tmp_path):
    function = shutil.copytree(build / "MoverFunction", tmp_path / "function")
    for path in function.rglob("*.py"):
        # What `sam deploy` zips: see tools/bytecode.py.
        os.utime(path, (315532800, 315532800))
    handlers = {f"redrive.handlers.{path.stem}" for path in function.glob("redrive/handlers/[a-z]*.py")}
    command = [sys.executable, "-B", "-c", IMPORT_HANDLERS, str(function), *handlers]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    (function / "redrive" / "__pycache__" / "__init__.cpython-313.pyc").unlink()
    assert "redrive/__init__.py" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_only_wheels_with_locked_hashes_are_downloaded(tmp_path, monkeypatch):
    directory = locked_wheels("arm64")[0].parent
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setattr(wheels, "BUILD_DIRECTORY", tmp_path)
    monkeypatch.setattr(wheels, "LOCK", tmp_path / "requirements.txt")
    wheels.LOCK.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", LOCK.read_text()))
    with pytest.raises(WheelError, match="DO NOT MATCH THE HASHES"):
        locked_wheels("arm64")


def test_a_wheel_that_was_altered_after_the_download_is_refused(tmp_path, monkeypatch):
    directory = locked_wheels("arm64")[0].parent
    monkeypatch.setattr(wheels, "BUILD_DIRECTORY", tmp_path)
    copy = shutil.copytree(directory, tmp_path / "wheels" / directory.name)
    with (copy / locked_wheels("arm64")[0].name).open("ab") as wheel:
        wheel.write(b"!")
    with pytest.raises(WheelError, match="Delete"):
        locked_wheels("arm64")


@each_architecture
def test_the_sbom_lists_every_locked_package_and_is_valid(architecture):
    bom = bom_of(packaged_parts(locked_wheels(architecture)))
    assert {(component.name, component.version) for component in bom.components} == LOCKED
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(JsonV1Dot6(bom).output_as_string()) is None


@each_architecture
def test_every_license_is_allowed(architecture):
    parts = packaged_parts(locked_wheels(architecture))
    assert {part.name for part in parts if part.crates} == {"jsonschema-rs", "pydantic-core"}
    assert refused_parts(parts) == []
