"""Runs a program and returns its status, its output, and its peak memory.

Used by `bench.tools`, `bench.imports`, `bench.consumers`, and `bench.measurements`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
# Seconds between two checks of a running process.
_POLL_INTERVAL = 0.02


class ToolError(Exception):
    """A program failed; the text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    status: int
    output: str
    #: Peak resident memory; None if the system has no /proc.
    peak_rss_mb: float | None

    @property
    def result(self) -> dict[str, Any]:
        """The last line of the output that is JSON, parsed; raises ToolError if the program failed."""
        if self.status:
            raise ToolError(f"ended with status {self.status}: {self.output[-2000:]}")
        # A profiler may have the last word.
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        result: dict[str, Any] = json.loads(lines[-1])
        return result


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program that imports the app; of the caller's, it has only PATH."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "functions")]),
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        **more,
    }


def run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> Finished:
    """Run a program until it ends.

    Parameters
    ----------
    command : Sequence[str]
        The program and its arguments.
    environment : Mapping[str, str]
        The program's entire environment.
    seconds : float
        Timeout.

    Raises
    ------
    ToolError
        If the program timed out.
    """
    peak: float | None = None
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + seconds
        try:
            while process.poll() is None:
                peak = _peak_rss(process.pid) or peak
                if time.monotonic() > deadline:
                    raise ToolError(f"{command[0]} did not end within {seconds:.0f} seconds")
                time.sleep(_POLL_INTERVAL)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        return Finished(process.returncode, output.read().decode(errors="replace"), peak)


def _peak_rss(pid: int) -> float | None:
    # The kernel tracks the peak (proc_pid_status(5), VmHWM), so only growth after the last check can be missed. Unlike
    # ru_maxrss, it doesn't include the parent process's memory.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
