"""A run in this process: the steps of the workflow with the operator's credentials and a local file for its state.

Used by `redrive move`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache, cached_property
from itertools import takewhile
from threading import Event
from typing import Any

from redrive.adapters.account import Account
from redrive.adapters.batch_client import batch_client
from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.local_runs import LocalExecutions, LocalRuns, lasting_clock
from redrive.adapters.local_table import TABLE, LocalTable
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.pipeline import THREADS, Pipeline
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.tag_lease import TagLease, lease_client
from redrive.command.contract_files import Contracts
from redrive.command.exits import explained
from redrive.command.move_progress import MoveProgress
from redrive.command.output import Output
from redrive.domain.errors import RejectedError, SuspendedError
from redrive.domain.messages.destinations import DeliveryPolicy, unqualified
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.plan.request import RedriveRequest, parse_request
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally, in_one_lane
from redrive.domain.sampling.sample import Sample
from redrive.workflow.clean_up import clean_up, release_held
from redrive.workflow.move import VISIBILITY_SECONDS, Mover
from redrive.workflow.plan import Planned, plan
from redrive.workflow.ports import Checkpoint, Peek
from redrive.workflow.report import counts_at_end, report
from redrive.workflow.sample import sample
from redrive.workflow.tally import tally
from redrive.workflow.whole_run import RunState, State, Steps, WholeRun

# Seconds that a slice moves messages, and that a sample receives them.
SLICE_SECONDS = 60.0
_SAMPLE_SECONDS = 300.0
# Seconds that a process has left which nobody ends, and events in the history of no execution.
_FOREVER = float("inf")
_NO_HISTORY = 10**12
# Messages that are named because they raised unexpected errors.
_MOST_NAMED = 10


class LocalRun:
    """One run in this process.

    Parameters
    ----------
    account : Account
        Where the queue is.
    table : LocalTable
        The state file.
    state : RunState
        What is known of the run when it begins or is resumed.
    output : Output
        Where unexpected errors of messages are said.
    stop : Event
        Set when the operator wants the run to stop.
    progress : MoveProgress
        Where it is shown how far the run is.
    """

    def __init__(
        self,
        account: Account,
        table: LocalTable,
        state: RunState,
        output: Output,
        *,
        stop: Event,
        progress: MoveProgress,
    ) -> None:
        self._account = account
        self._output = output
        self._progress = progress
        self._stop = stop
        caller = account.caller()
        self._clock_error = caller.clock_error
        self._policy = trusted_in(parse_request(state.given))
        self._round_failed = Event()
        self._contracts = Contracts(state.contracts)
        self._executions = LocalExecutions(table.file, state.given_text)
        self._checkpoints = _WatchedCheckpoints(TABLE, table.client, progress.reached)
        self._facts = MessageFacts(TABLE, table.client)
        self._shares = RateShares(TABLE, self._executions, table.client)
        self._confirm = cache(FailureDestinations().confirm)
        self._movers = frozenset({caller.user_id})
        self._named: set[str] = set()
        leases = lease_client()
        #: The run's lock, and how far it is.
        self.runs = LocalRuns(
            table,
            lambda queue, run_id: TagLease(leases, queue, run_id, platform.node(), clock=lasting_clock),
            lambda: stop.is_set() or self._round_failed.is_set(),
        )
        self._stoppable = _StoppableQueues(account.queues, stop)

    @property
    def whole(self) -> WholeRun:
        """The run, to be played."""
        return WholeRun(
            Steps(self._plan, self._sample, self._move, self._tally, self._clean_up, self._report),
            keep=self._keep,
            asked_to_stop=self._stop.is_set,
            round_failed=self._round_failed,
            check_access=self._check_access,
            pause=time.sleep,
        )

    def take_over(self, state: RunState) -> None:
        """Take the lease again of a run that another process has begun.

        Raises
        ------
        RejectedError
            If a run on another machine has it now.
        """
        if state.plan is None or state.next is State.REPORT:
            return
        try:
            self.runs.take_lease(state.plan)
        except RejectedError:
            # What the run kept invisible is released all the same.
            if state.next is not State.CLEAN_UP:
                raise

    def suspend(self, run_id: str) -> None:
        """Make visible again what the run kept invisible, as far as that is possible now."""
        state = self.runs.kept(run_id)
        if state is not None and state.plan is not None:
            release_held(state.plan, self._account.queues, self._checkpoints, (run_id,))

    def _keep(self, state: RunState) -> None:
        self.runs.keep(state)
        self._progress.entered(state)

    # The steps, as the handlers call them

    def _plan(self, state: RunState) -> Planned:
        planned = plan(
            state.given,
            state.execution,
            quarantine_arn=state.quarantine_arn,
            queues=self._account.queues,
            store=self.runs,
            checkpoints=self._checkpoints,
            executions=self._executions,
            shares=self._shares,
            find_contract=self._contracts.find,
            delivery_policy=self._policy,
            pause=time.sleep,
            # The lock does, which knows the leases of this machine's own runs.
            checks_lease=False,
        )
        return planned.model_copy(update={"tally": in_one_lane(planned.tally)})

    def _sample(self, made: RunPlan, attempts: int) -> Sample:
        return sample(
            made,
            queues=self._stoppable,
            facts=self._facts,
            find_contract=self._contracts.find,
            delivery_policy=self._policy,
            confirm=self._confirm,
            movers=self._movers,
            log_error=self._name,
            seconds=_SAMPLE_SECONDS,
            retries=attempts,
            pause=time.sleep,
            now=lambda: datetime.now(UTC),
        )

    def _move(self, made: RunPlan, work: LaneWork) -> SliceResult:
        return self._mover.move(made, work, SLICE_SECONDS, _FOREVER)

    @cached_property
    def _mover(self) -> Mover:
        client, deliveries = batch_client(THREADS), Deliveries(THREADS)
        return Mover(
            lane_runner=lambda memory, log_error: Pipeline(
                client, memory.plan.dlq.url, VISIBILITY_SECONDS, THREADS, lasting_clock, deliveries, memory, log_error
            ),
            queues=lambda: self._account.queues,
            store=self.runs,
            checkpoints=self._checkpoints,
            facts=self._facts,
            shares=self._shares,
            contracts=lambda: self._contracts.find,
            error_log=lambda: self._name,
            delivery_policy=self._policy,
            confirms=lambda _run_id: self._confirm,
            movers=self._movers,
            time=lambda: time.time() + self._clock_error.total_seconds(),
            pause=time.sleep,
        )

    def _tally(self, made: RunPlan, found: Sample, before: Tally, slices: tuple[SliceResult, ...]) -> Tally:
        after = tally(
            made,
            found,
            before,
            slices,
            queues=self._account.queues,
            store=self.runs,
            metrics=_NoMetrics(),
            token=str,
            now=datetime.now(UTC) + self._clock_error,
            max_history_events=_NO_HISTORY,
        )
        return in_one_lane(after)

    def _clean_up(self, made: RunPlan, before: Tally) -> Tally:
        return clean_up(
            made,
            before,
            queues=self._account.queues,
            store=self.runs,
            checkpoints=self._checkpoints,
            shares=self._shares,
            metrics=_NoMetrics(),
            pause=time.sleep,
        ).tally

    def _report(self, state: RunState) -> Report:
        queue, in_next_queue = counts_at_end(state.plan, state.given, self._account.queues)
        return report(
            given=state.given,
            execution=state.execution,
            plan=state.plan,
            sample=state.sample,
            tally=state.tally,
            error=state.failure,
            queue=queue,
            in_next_queue=in_next_queue,
            metrics=_NoMetrics(),
            now=datetime.now(UTC) + self._clock_error,
        ).report

    def _check_access(self) -> None:
        """Check that AWS can be reached with the credentials.

        Raises
        ------
        SuspendedError
            If not, with what to do.
        """
        try:
            self._account.caller()
        except Exception as error:
            why = explained(error)
            if why is None:
                raise
            raise SuspendedError(str(why)) from None

    def _name(self, message_id: str, error: str) -> None:
        if message_id not in self._named and len(self._named) < _MOST_NAMED:
            self._named.add(message_id)
            self._output.warn(f"Message {message_id}: {error} (unexpected error)")


def trusted_in(request: RedriveRequest) -> DeliveryPolicy:
    """Return what besides queues may be delivered to: what the operator names."""
    return DeliveryPolicy(frozenset(unqualified(arn) for arn in request.trusted_destinations))


class _NoMetrics:
    """Nobody watches metrics of a run without a stack."""

    def publish_once(self, *_: Any) -> None:
        pass


class _WatchedCheckpoints(Checkpoints):
    """Checkpoints that also say how far a slice is."""

    def __init__(self, name: str, client: Any, on_checkpoint: Callable[[LaneWork, SliceResult], None]) -> None:
        super().__init__(name, client)
        self._on_checkpoint = on_checkpoint

    def checkpoint(self, plan: RunPlan, work: LaneWork, attempt: str, reached: Checkpoint) -> None:
        super().checkpoint(plan, work, attempt, reached)
        self._on_checkpoint(work, reached.result)


class _StoppableQueues:
    """Queues of which nothing more is peeked at once the operator wants the run to stop."""

    def __init__(self, queues: Any, stop: Event) -> None:
        self._queues = queues
        self._stop = stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        with closing(self._queues.peek(peek, seconds)) as messages:
            yield from takewhile(lambda _: not self._stop.is_set(), messages)
