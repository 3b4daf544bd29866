"""Targets of the Makefile that `make test` doesn't use still start."""

import os
import subprocess

import pytest

from tests.support.definitions import ROOT


@pytest.mark.parametrize("target", ["faults", "fuzz"])
def test_a_target_s_program_starts_with_what_the_makefile_gives_it(target):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    recipe = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    command = f"{recipe.stdout.splitlines()[-1]} --help"
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--seed" in done.stdout
