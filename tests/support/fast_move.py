"""The `redrive` command as a process that waits less, and that can kill itself where it writes to its state file.

Started by tests/integration/test_move_killed.py. `KILL_AT` says at which write, and whether before it is on the disk.
"""

import itertools
import os
import signal

from redrive.adapters import tag_lease
from redrive.adapters.local_table import LocalTable
from redrive.command import local_run
from redrive.command.main import main
from redrive.domain.runs import tally
from redrive.workflow import clean_up, move, plan, ports, sample

# Seconds.
LEASE, VISIBILITY = 0.6, 4


def hurry() -> None:
    """Shorten what a run waits for, everything in proportion."""
    tag_lease._READ_BACK_AFTER = 0.0
    for step in (clean_up, move, plan):
        step.LEASE_SECONDS = LEASE  # type: ignore[attr-defined]
    move.HEARTBEAT_SECONDS = 0.1
    move.VISIBILITY_SECONDS = local_run.VISIBILITY_SECONDS = VISIBILITY  # type: ignore[attr-defined]
    tally.WAIT_SECONDS = 1
    tally.MAX_WAITS = 10
    ports._SAMPLE_VISIBILITY = 2
    sample._WAIT_SECONDS = 0.2
    local_run.SLICE_SECONDS = 1.0


def die_at_write(place: int, when: str) -> None:
    """Let the process be killed at one of its writes."""
    commit = LocalTable._commit
    writes = itertools.count(1)

    def commit_or_die(table: LocalTable) -> None:
        now = next(writes) == place
        if now and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(table)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    LocalTable._commit = commit_or_die  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    hurry()
    if kill_at := os.environ.get("KILL_AT"):
        at, _, before = kill_at.partition(" ")
        die_at_write(int(at), before)
    main()
