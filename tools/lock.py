"""Locks the requirements: `make lock` pins every package of requirements/*.in, with the hashes of all its files.

Versions that are locked already stay, unless an .in file or `--upgrade` asks for others. The locks say nothing about
where the packages come from, so they work with any index.
"""

from __future__ import annotations

import subprocess
import sys

from local.install import REQUIREMENTS, VENVS
from local.workspace import ROOT

BUILD_LOCK = REQUIREMENTS / "build.txt"
# In this order: the builds of all others are limited to build.txt, and dev.in to the versions that Lambda gets.
FIRST = ("build", "functions")


def locks() -> dict[str, str]:
    """Return the path of each lock by that of its source, both relative to the project, in the order of locking."""
    names = sorted((path.stem for path in REQUIREMENTS.glob("*.in")), key=lambda name: (name not in FIRST, name))
    return {
        f"requirements/{name}.in": f"{'functions/requirements' if name == 'functions' else f'requirements/{name}'}.txt"
        for name in names
    }


def lock(arguments: list[str]) -> int:
    """Lock all requirements, with these additional arguments for uv; return an exit status."""
    for source, locked in locks().items():
        command = [str(VENVS / "uv" / "bin" / "uv"), "pip", "compile", "--quiet", "--no-config", "--universal"]
        command += ["--python", sys.executable, "--generate-hashes", "--custom-compile-command", "make lock"]
        if locked == "functions/requirements.txt":
            # `sam build` would build a package that has no wheel for Lambda, with whatever its build asks for.
            command += ["--only-binary", ":all:", "--emit-build-options"]
        if BUILD_LOCK.exists():
            command += ["--build-constraints", str(BUILD_LOCK)]
        command += [*arguments, source, "--output-file", locked]
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
        print(f"{source} -> {locked}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(lock(sys.argv[1:]))
