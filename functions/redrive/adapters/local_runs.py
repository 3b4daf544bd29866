"""Runs without a stack, as this machine knows them: what they hold, whether they are alive, how far they are.

Used by `redrive move`. The rows are those of the runs table, in a `LocalTable`, and two more:

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
run#ID             state                       what the workflow of the run knows, and its next step
dlq#ARN            latest                      the latest run on the queue
=================  ==========================  ==================================================
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.local_table import TABLE, LocalTable
from redrive.adapters.run_table import RunTable
from redrive.adapters.tag_lease import TagLease
from redrive.domain.errors import RejectedError, StateFileError
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.plan.run_plan import RunIdentity, RunPlan
from redrive.domain.runs.tally import Tally, final_tally
from redrive.workflow.whole_run import RunState, State

# What the id of an execution begins with that is a process of this command.
_EXECUTION = "move:"


def execution_id(host: str, run_id: str) -> str:
    """Return what identifies the process that plays a run, in place of an execution's ARN."""
    return f"{_EXECUTION}{host}:{run_id}"


def lasting_clock() -> float:
    """Return seconds on a clock that never goes back, and that goes on while the machine sleeps.

    Otherwise a lane that wakes up after a night would take its messages for still invisible to others, and its lock for
    still held (Linux, "clock_gettime": CLOCK_MONOTONIC doesn't count time that the system is suspended, CLOCK_BOOTTIME
    does; on macOS, CLOCK_MONOTONIC does).
    """
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class LivingRun:
    """A sign that this process plays a run. The system removes it when the process ends, however it does.

    Parameters
    ----------
    file : Path
        The state file.
    run_id : str
        The run.
    """

    def __init__(self, file: Path, run_id: str) -> None:
        self._file = file.with_name(f"{file.name}.{run_id}.lock")
        self._connection: sqlite3.Connection | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a process plays the run."""
        if self._connection is not None:
            return True
        if not self._file.exists():
            return False
        try:
            self.take()
        except RejectedError:
            return True
        self._close()
        return False

    def take(self) -> Self:
        """Give the sign.

        Raises
        ------
        RejectedError
            If another process plays the run.
        """
        try:
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(self._file, timeout=0, isolation_level=None, check_same_thread=False)
            # A lock of the operating system on the file, on every system that Python runs on.
            self._connection.execute("BEGIN EXCLUSIVE")
        except (sqlite3.Error, OSError) as error:
            self._close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise RejectedError("This run is in progress already, in another terminal of this machine.") from None
            raise StateFileError(
                f"The file {self._file} can't be used: {error}. Free some space, correct its permissions, or name "
                "another state file with --state."
            ) from None
        return self

    def end(self) -> None:
        """Remove the sign: the run has ended."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class LocalExecutions:
    """The processes that play runs, in place of executions of Step Functions.

    Parameters
    ----------
    file : Path
        The state file.
    given : str
        The input of this process's run, character for character.
    """

    def __init__(self, file: Path, given: str) -> None:
        self._file = file
        self._given = given

    def is_running(self, execution_arn: str) -> bool:
        """Return whether a process of this machine plays the run."""
        return LivingRun(self._file, execution_arn.rpartition(":")[2]).is_alive

    def input_of(self, _execution_arn: str) -> str:
        """Return the input."""
        return self._given


class LocalRuns(RunTable):
    """The lock of a run on its queue: a row for the runs of this machine, and a lease that others see.

    Parameters
    ----------
    table : LocalTable
        The state file.
    lease_for : Callable[[QueueAddress, str], TagLease]
        Makes the lease of a run on a queue.
    asked_to_stop : Callable[[], bool]
        Whether the operator wants the run to stop.
    """

    def __init__(
        self,
        table: LocalTable,
        lease_for: Callable[[QueueAddress, str], TagLease],
        asked_to_stop: Callable[[], bool],
    ) -> None:
        super().__init__(TABLE, table.client)
        self._lease_for = lease_for
        self._lease: TagLease | None = None
        self._asked_to_stop = asked_to_stop

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        """Take the queue's lock and lease, as `RunTable.lock` does.

        Raises
        ------
        RejectedError
            If a run on another machine has the lease.
        """
        # Before the lock, so that nothing is forgotten of a dead run whose lock can't be taken over yet.
        self._lease_of(plan).look(self._known_here(plan))
        holder = super().lock(plan, instead_of)
        if holder is None:
            try:
                self.take_lease(plan)
            except RejectedError:
                super().unlock(plan)
                raise
        return holder

    def take_lease(self, plan: RunIdentity) -> None:
        """Take the lease of a run that has the lock; again if the run is resumed.

        Raises
        ------
        RejectedError
            If a run on another machine has it.
        """
        self._lease_of(plan).take(self._known_here(plan))

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether the operator wants the run to stop; LockLostError if it has lost its lock or its lease."""
        wants_stop = super().wants_stop(plan)
        if self._lease is not None:
            self._lease.check()
        return wants_stop or self._asked_to_stop()

    def unlock(self, plan: RunIdentity) -> None:
        """Give up the lease and the lock."""
        if self._lease is not None:
            self._lease.release()
        super().unlock(plan)

    def leave(self) -> None:
        """Let the lease end by itself: the run is to be resumed."""
        if self._lease is not None:
            self._lease.leave()

    def _lease_of(self, plan: RunIdentity) -> TagLease:
        self._lease = self._lease or self._lease_for(plan.dlq, plan.run_id)
        return self._lease

    def _known_here(self, plan: RunIdentity) -> tuple[str, ...]:
        """Return the ids of the runs that have had the queue's lock on this machine, of which one at most is alive."""
        lock = self._get(f"dlq#{plan.dlq.arn}", "lock")
        return (*self.taken_over_from(plan), lock["runId"]["S"]) if lock else ()

    # How far a run is

    def keep(self, state: RunState) -> None:
        """Record what the workflow of a run knows."""
        item = self._item(f"run#{state.run_id}", "state", state={"S": state.model_dump_json()})
        self._client.put_item(TableName=self._name, Item=item)
        if state.next is State.SAMPLE and state.plan is not None:
            latest = self._item(f"dlq#{state.plan.dlq.arn}", "latest", runId={"S": state.run_id})
            self._client.put_item(TableName=self._name, Item=latest)

    def latest(self, dlq_arn: str) -> list[str]:
        """Return the ids of the run that holds a queue's lock and of the last one that sampled it."""
        rows = (self._get(f"dlq#{dlq_arn}", sk) for sk in ("lock", "latest"))
        return [row["runId"]["S"] for row in rows if row is not None]

    def kept(self, run_id: str) -> RunState | None:
        """Return what the workflow of a run knew; None if the run is unknown."""
        item = self._get(f"run#{run_id}", "state")
        return None if item is None else RunState.model_validate_json(item["state"]["S"], by_alias=True, by_name=False)


def unfinished(table: LocalTable, dlq_arn: str) -> RunState | None:
    """Return what is known of the latest run on a queue; None if it has ended, or there was none."""
    runs = LocalRuns(table, _no_lease, lambda: False)
    for run_id in runs.latest(dlq_arn):
        state = runs.kept(run_id)
        if state is not None and state.next is not State.DONE:
            return state
    return None


def outcome(table: LocalTable, state: RunState) -> Tally:
    """Return what an interrupted run has recorded: its counts, and how many messages may arrive twice."""
    if state.plan is None or state.tally is None:
        return Tally()
    if state.next is State.REPORT:
        # The clean-up has already added up all lanes.
        return state.tally
    checkpoints = Checkpoints(TABLE, table.client)
    unfinished_slices = checkpoints.unfinished(state.plan, state.tally.rounds)
    return final_tally(state.tally, unfinished_slices, (), undeleted=checkpoints.undeleted_uncounted(state.plan))


def _no_lease(_queue: QueueAddress, _run_id: str) -> TagLease:
    raise NotImplementedError
