"""Runs one program and tells how long it took, how much memory it had at most, and what it printed.

Used by `bench.tools` and `bench.imports`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Seconds between two looks at a running process.
_LOOK_EVERY = 0.02


class ToolError(Exception):
    """A program did not do what was asked; the text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended; the peak of its resident memory is in MB, None where there is no /proc."""

    status: int
    output: str
    peak_rss_mb: float | None

    @property
    def told(self) -> dict[str, Any]:
        """The last line that it printed, which is JSON."""
        if self.status:
            raise ToolError(f"ended with status {self.status}: {self.output[-2000:]}")
        told: dict[str, Any] = json.loads(self.output.splitlines()[-1])
        return told


def run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> Finished:
    """Run a program to its end.

    Parameters
    ----------
    command : Sequence[str]
        The program and its arguments.
    environment : Mapping[str, str]
        All of its environment.
    seconds : float
        It is stopped after so many.

    Raises
    ------
    ToolError
        Where it had to be stopped.
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
                time.sleep(_LOOK_EVERY)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        return Finished(process.returncode, output.read().decode(errors="replace"), peak)


def _peak_rss(pid: int) -> float | None:
    # The kernel keeps the peak itself (proc_pid_status(5), VmHWM), so that only growth in the last look's
    # interval can be missed. Unlike ru_maxrss it does not begin with the memory of the parent process.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
