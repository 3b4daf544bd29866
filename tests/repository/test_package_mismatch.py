"""A package that was built for another processor or another Python says so when a function starts."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.definitions import ROOT, functions

HERE = f"cpython-3{sys.version_info.minor}-{platform.machine()}"
OTHER = "aarch64" if platform.machine() == "x86_64" else "x86_64"
# As a function starts, with the settings that its module reads.
START = """
import collections, importlib, os, sys
os.environ = collections.defaultdict(lambda: "arn:aws:sqs:us-east-1:123456789012:any", os.environ)
importlib.import_module(sys.argv[1])
"""


def started(module: str, packages: Path) -> str:
    """Import a handler's module with other packages in front, and return the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-c", START, module],
        env={"PYTHONPATH": f"{packages}:{ROOT / 'functions'}", "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stderr.strip().splitlines() or [""])[-1]


def pydantic_core(folder: Path, *built_for: str) -> Path:
    """Write a pydantic_core whose native code Python doesn't find."""
    package = folder / "pydantic_core"
    package.mkdir()
    (package / "__init__.py").write_text("from ._pydantic_core import ArgsKwargs\n")
    for name in built_for:
        (package / f"_pydantic_core.{name}.so").touch()
    return folder


@pytest.mark.parametrize(
    "module", sorted({function.properties["Handler"].rpartition(".")[0] for function in functions().values()})
)
def test_every_function_says_what_its_package_was_built_for(module, tmp_path):
    packages = pydantic_core(tmp_path, f"cpython-313-{OTHER}-linux-gnu")
    error = started(module, packages)
    assert f"Expected native packages for {HERE}, found cpython-313-{OTHER}-linux-gnu:" in error
    assert "Architecture" in error


def test_another_python_is_named_too(tmp_path):
    error = started("redrive.handlers.stop", pydantic_core(tmp_path, f"cpython-312-{platform.machine()}-linux-gnu"))
    assert f"found cpython-312-{platform.machine()}-linux-gnu" in error


@pytest.mark.parametrize("built_for", [(), (f"{HERE}-linux-gnu",)])
def test_any_other_error_of_an_import_stays_as_it_is(built_for, tmp_path):
    error = started("redrive.handlers.stop", pydantic_core(tmp_path, *built_for))
    assert "Expected native packages" not in error
    assert "_pydantic_core" in error
