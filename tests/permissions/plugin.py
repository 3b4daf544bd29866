"""Records the AWS calls of all tests of a run and compares them with the permissions of the template at its end.

A plugin of pytest, loaded by `tests/conftest.py`. With pytest-xdist, the controller judges what all workers recorded.
"""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from local.call_recorder import VARIABLE
from tests.permissions.findings import findings
from tests.permissions.records import stacks
from tests.permissions.requests import UnknownCallError
from tests.support.definitions import ROOT


def pytest_configure(config: pytest.Config) -> None:
    """Let the clouds of this run, and of its workers, record their calls."""
    # A worker inherits the directory of its controller.
    if not hasattr(config, "workerinput"):
        is_kept = VARIABLE in os.environ
        directory = Path(os.environ.get(VARIABLE) or tempfile.mkdtemp(prefix="aws-calls-"))
        directory.mkdir(parents=True, exist_ok=True)
        os.environ[VARIABLE] = str(directory)
        config.pluginmanager.register(Judge(directory, is_kept=is_kept), "permissions")


class Judge:
    """Judges the permissions when all tests are over, and fails the run if they are wrong."""

    def __init__(self, directory: Path, *, is_kept: bool) -> None:
        self._directory, self._is_kept = directory, is_kept
        self._passed: set[tuple[str, str]] = set()
        self._findings: list[str] = []
        self._summary = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what has passed."""
        if report.when == "call" and report.passed:
            path, _, name = report.nodeid.partition("::")
            self._passed.add((path, name.partition("[")[0]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge what was recorded; without records, there is nothing to judge."""
        try:
            found = list(stacks(self._directory))
            if not found:
                return
            complete = not end_to_end_tests() - self._passed
            self._findings = findings(found, complete=complete)
            requests = {request for stack in found for role in stack.roles.values() for request in role.requests}
            scope = "every statement" if complete else "denied calls only, because not all end-to-end tests passed"
            self._summary = f"permissions: {len(requests)} different requests compared with the template ({scope})"
        except UnknownCallError as error:
            self._findings = [str(error)]
        finally:
            if self._findings and not session.exitstatus:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            if not self._is_kept:
                shutil.rmtree(self._directory, ignore_errors=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        if self._findings:
            terminalreporter.section("Permissions that don't fit the calls (tests/permissions)", red=True)
            for finding in self._findings:
                terminalreporter.write_line(f"PERMISSION {finding}")
        if self._summary:
            terminalreporter.write_line(self._summary)


def end_to_end_tests() -> set[tuple[str, str]]:
    """Return the path and the name of each end-to-end test."""
    return {
        (str(path.relative_to(ROOT)), node.name)
        for path in (ROOT / "tests" / "e2e").glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
