"""A whole run in one process: the steps in the order of statemachines/redrive.asl.yaml, and what lies between them.

Called by `redrive move`. What the workflow knows is recorded before each step, so that another process can go on after
this one has died.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Any

from redrive.domain import errors
from redrive.domain.errors import RedriveError, SuspendedError, unexpected
from redrive.domain.model import Model
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Next, Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.plan import Planned

# Of the workflow's Retry: what is never tried again, and how often and after how many seconds everything else is.
_DECISIONS = (errors.RejectedError, errors.LockLostError, errors.FormatError)
_ATTEMPTS = 4
_FIRST_PAUSE = 1.0
_FACTOR = 3.0
# Seconds between two looks at whether the operator wants the run to stop.
_STEP = 0.2


class State(StrEnum):
    """The states of the workflow that do something, by their names there."""

    PLAN = "Plan"
    SAMPLE = "Sample"
    LANES = "Lanes"
    TALLY = "Tally"
    WAIT = "WaitForMessages"
    CLEAN_UP = "CleanUp"
    REPORT = "Report"
    DONE = "Done"


class ContractFile(Model):
    """A JSON Schema that the operator names, as it was when the run began."""

    #: The file's name.
    file: str
    schema_text: str


class RunState(Model):
    """What the workflow knows of a run: its variables, and the state that it enters next."""

    #: The input as it came, and character for character.
    given: Any
    given_text: str
    execution: Execution
    #: None if invalid messages are left where they are.
    quarantine_arn: str | None
    #: By the name of a queue or function; `*` for every other.
    contracts: dict[str, ContractFile]
    next: State = State.PLAN
    plan: RunPlan | None = None
    sample: Sample | None = None
    tally: Tally | None = None
    slices: tuple[SliceResult, ...] = ()
    failure: StateError | None = None
    report: Report | None = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.execution.run_id

    def then(self, state: State, **learned: Any) -> RunState:
        """Return what the workflow knows when it enters another state."""
        return self.model_copy(update={"next": state, **learned})

    def caught(self, state: State, error: RedriveError) -> RunState:
        """Return what the workflow knows after a Catch."""
        cause = json.dumps({"errorMessage": str(error)})
        return self.then(state, failure=StateError(error=type(error).__name__, cause=cause))


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one run, with their ports; the number is of attempts that came before."""

    plan: Callable[[RunState], Planned]
    sample: Callable[[RunPlan, int], Sample]
    move: Callable[[RunPlan, LaneWork], SliceResult]
    tally: Callable[[RunPlan, Sample, Tally, tuple[SliceResult, ...]], Tally]
    clean_up: Callable[[RunPlan, Tally], Tally]
    report: Callable[[RunState], Report]


@dataclass(frozen=True, slots=True)
class WholeRun:
    """Plays a run to its end."""

    steps: Steps
    #: Records what the workflow knows, before it goes on.
    keep: Callable[[RunState], None]
    #: Whether the operator wants the run to stop.
    asked_to_stop: Callable[[], bool]
    #: Set if the lanes of a round must end early, because one of them has failed.
    round_failed: Event
    #: Raises SuspendedError if AWS can't be reached with these credentials.
    check_access: Callable[[], None]
    #: Waits for so many seconds.
    pause: Callable[[float], None]

    def play(self, state: RunState, *, resumed: bool = False) -> RunState:
        """Return what is known of the run at its end, with its report.

        Parameters
        ----------
        state : RunState
            What is known of it now.
        resumed : bool
            Whether another process died in the state that comes next.

        Raises
        ------
        SuspendedError
            If AWS can't be reached for now. The run can be resumed.
        StateFileError
            If nothing can be recorded. The run can be resumed if what was recorded before can be read.
        """
        while state.next is not State.DONE:
            self.keep(state)
            state = self._after(state, before=int(resumed))
            resumed = False
        self.keep(state)
        return state

    def _after(self, state: RunState, *, before: int) -> RunState:
        """Return what is known after the next state."""
        if state.next is State.PLAN:
            return self._plan(state)
        if state.next is State.REPORT:
            return state.then(State.DONE, report=self._tried(lambda _: self.steps.report(state)))
        plan, sample, tally = state.plan, state.sample, state.tally
        assert plan is not None  # every other state comes after the plan
        assert tally is not None
        work: dict[State, Callable[[], RunState]] = {
            State.SAMPLE: lambda: self._sample(state, plan, tally, before),
            State.LANES: lambda: self._lanes(state, plan, tally),
            State.TALLY: lambda: self._tally(state, plan, sample or Sample(), tally),
            State.WAIT: lambda: self._wait(state, tally.wait_seconds),
            State.CLEAN_UP: lambda: self._clean_up(state, plan, tally),
        }
        return work[state.next]()

    def _plan(self, state: RunState) -> RunState:
        try:
            planned = self._tried(lambda _: self.steps.plan(state))
        except RedriveError as error:
            return self._caught(state, State.REPORT, error)
        return state.then(State.SAMPLE, plan=planned.plan, tally=planned.tally)

    def _sample(self, state: RunState, plan: RunPlan, tally: Tally, before: int) -> RunState:
        if self.asked_to_stop():
            return _stopped(state, tally)
        try:
            sample = self._tried(lambda attempt: self.steps.sample(plan, before + attempt))
        except RedriveError as error:
            return self._caught(state, State.CLEAN_UP, error)
        if self.asked_to_stop():
            return _stopped(state, tally, sample=sample)
        return state.then(State.CLEAN_UP if plan.request.dry_run else State.LANES, sample=sample)

    def _lanes(self, state: RunState, plan: RunPlan, tally: Tally) -> RunState:
        """Move one slice of every lane; if a lane fails, the others end before the run does."""
        self.round_failed.clear()

        def move(work: LaneWork) -> SliceResult | RedriveError:
            try:
                return self._tried(lambda _: self.steps.move(plan, work))
            except RedriveError as error:
                self.round_failed.set()
                return error

        with ThreadPoolExecutor(len(tally.lanes)) as pool:
            moved = list(pool.map(move, tally.lanes))
        for error in moved:
            if isinstance(error, RedriveError):
                return self._caught(state, State.CLEAN_UP, error)
        slices = tuple(result for result in moved if isinstance(result, SliceResult))
        if any(result.failure for result in slices):
            try:
                self.check_access()
            except SuspendedError:
                # It's not the run that failed: with other credentials, it goes on.
                over = tuple(result.model_copy(update={"failure": None}) for result in slices)
                self.keep(state.then(State.TALLY, slices=over))
                raise
        return state.then(State.TALLY, slices=slices)

    def _tally(self, state: RunState, plan: RunPlan, sample: Sample, tally: Tally) -> RunState:
        try:
            after = self._tried(lambda _: self.steps.tally(plan, sample, tally, state.slices))
        except RedriveError as error:
            return self._caught(state, State.CLEAN_UP, error)
        following = {Next.MOVE: State.LANES, Next.WAIT: State.WAIT}.get(after.next, State.CLEAN_UP)
        return state.then(following, tally=after, slices=())

    def _clean_up(self, state: RunState, plan: RunPlan, tally: Tally) -> RunState:
        try:
            return state.then(State.REPORT, tally=self._tried(lambda _: self.steps.clean_up(plan, tally)))
        except RedriveError as error:
            caught = self._caught(state, State.REPORT, error)
            # What ended the run says more than what failed afterward.
            return caught if state.failure is None else caught.model_copy(update={"failure": state.failure})

    def _caught(self, state: RunState, following: State, error: RedriveError) -> RunState:
        """Return what is known after an error, unless it means that the run can be resumed."""
        if isinstance(error, (SuspendedError, errors.StateFileError)):
            raise error
        return state.caught(following, error)

    def _tried[R](self, step: Callable[[int], R]) -> R:
        """Return the result of a step, which is tried again as the workflow does it.

        Raises
        ------
        RedriveError
            If it fails each time, or with a decision.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return step(attempt)
            except _DECISIONS:
                raise
            except Exception as error:  # noqa: BLE001
                # The edge of a step, as a Lambda handler is.
                self.check_access()
                if attempt == _ATTEMPTS - 1 or self.round_failed.is_set():
                    raise error if isinstance(error, RedriveError) else unexpected(error) from None
            self.pause(_FIRST_PAUSE * _FACTOR**attempt * random.random())
        raise AssertionError("unreachable")  # pragma: no cover

    def _wait(self, state: RunState, seconds: float) -> RunState:
        waited = 0.0
        while waited < seconds and not self.asked_to_stop():
            self.pause(_STEP)
            waited += _STEP
        return state.then(State.LANES)


def _stopped(state: RunState, tally: Tally, **learned: Any) -> RunState:
    """Return what is known of a run that the operator stopped before it moved anything."""
    return state.then(State.CLEAN_UP, tally=tally.model_copy(update={"stopped": True}), **learned)
