"""Tells whether a process id still stands for the process that was recorded.

:mod:`local.embedded_cloud` asks before it stops a cloud, because the system hands process ids out again.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

# Field 22 of /proc/<pid>/stat, counted after the command name in parentheses (proc_pid_stat(5)).
_START_TIME_FIELD = 22 - 3


def started_at(pid: int) -> str | None:
    """Return a text that says when a process was started, or None when there is no such process.

    The text is the same for as long as the process lives, and differs for a later process with the same id.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        zombie = fields[0] == "Z"
        return None if zombie else fields[_START_TIME_FIELD]
    # macOS has no /proc.
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.split(maxsplit=1)[1]
