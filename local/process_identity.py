"""Identifies a process, so a reused process id isn't mistaken for it.

:mod:`local.embedded_cloud` checks it before it stops a cloud.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

# Field 22 of /proc/<pid>/stat, counted after the command name in parentheses (proc_pid_stat(5)).
_START_TIME_FIELD = 22 - 3


def started_at(pid: int) -> str | None:
    """Return when a process was started, or None if it doesn't run.

    The text stays the same while the process runs, and differs for a later process with the same id.
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
    listed = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not listed or listed.startswith("Z") else listed.split(maxsplit=1)[1]
