"""The app on models: whole runs on a clock of its own, with everything that can fail around them.

Used by tests/neighbors. The steps, the lanes, and the adapters of the runs table are the app's; SQS and DynamoDB are
models, and so is Step Functions, which retries as `statemachines/redrive.asl.yaml` says. Functions are processes that
can be killed, and outlive an execution that is stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RedriveError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.actions import Action, Send
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Next, Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.clean_up import clean_up
from redrive.workflow.move import Mover
from redrive.workflow.plan import Planned, plan
from redrive.workflow.report import report
from redrive.workflow.sample import sample
from redrive.workflow.tally import tally
from tests.faults.schedules import DELETE, DYNAMODB, RECEIVE, SEND, TASK, VISIBILITY, Fault, Kind
from tests.support import factories
from tests.support.lane_worlds import REFUSED, THROTTLED, TIMEOUT, UNCERTAIN
from tests.support.model_ports import ModelLaneRunner, ModelQueues
from tests.support.model_sqs import CALM, Delivery, Fate, ModelSqs, name_of
from tests.support.model_table import ModelTable
from tests.support.virtual_time import KilledError, Process, VirtualTime

# Seconds since 1970 at which the clock begins.
EPOCH = factories.STARTED_AT / 1000
QUARANTINE = factories.queue("quarantine")
_SLICE_SECONDS = 12.0
_FUNCTION_SECONDS = 720.0
_TABLE = "runs"
# botocore's attempts at a request, and the seconds that each takes at most.
_ATTEMPTS = 4
_TIMEOUT = 2.0
# What no state retries. Of what it does: the first pause in seconds, the retries, and the factor from one pause to the
# next, if a function died and otherwise.
_DECISIONS = ("RejectedError", "LockLostError", "SupersededError", "FormatError")
_DIED = "Sandbox.Timedout"
_RETRIES = {True: (1.0, 6, 2.0), False: (1.0, 3, 3.0)}
_LONGEST_PAUSE = 30.0
# What a function may raise.
_EXPECTED = (KilledError, RedriveError, ClientError, BotoCoreError)
_OPERATIONS = {"Receive": RECEIVE, "Send": SEND, "Delete": DELETE, "SetVisibility": VISIBILITY}
_FATES = {
    Kind.THROTTLED: Fate(THROTTLED),
    Kind.UNAVAILABLE: Fate(UNCERTAIN),
    Kind.RESET: Fate(UNCERTAIN),
    Kind.ERROR_AFTER: Fate(UNCERTAIN, carried_out=True),
    Kind.RESET_AFTER: Fate(UNCERTAIN, carried_out=True),
    Kind.TRUNCATED: Fate(UNCERTAIN, carried_out=True),
    Kind.TIMEOUT: Fate(TIMEOUT, carried_out=True, answer=11),
}
_LATE = {Kind.SLOW, Kind.TIMEOUT}
_NOT_CARRIED_OUT = {Kind.THROTTLED, Kind.UNAVAILABLE, Kind.RESET, Kind.PARTIAL}


class StateFailedError(Exception):
    """A state failed, as its Catch sees it."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(error)
        cause = json.dumps({"errorType": error, "errorMessage": text})
        self.state_error = StateError.model_validate({"Error": error, "Cause": cause})


class NoMetrics:
    """Metrics that nobody publishes."""

    def publish_once(self, *_: Any) -> None:
        pass


@dataclass
class Run:
    """An execution, and the variables of its state machine."""

    execution: Execution
    given: dict[str, Any]
    running: bool = True
    #: By StopExecution.
    stopped: bool = False
    ended_at: float = math.inf
    plan: RunPlan | None = None
    sample: Sample | None = None
    tally: Tally = field(default_factory=Tally)
    failure: StateError | None = None
    report: Report | None = None
    #: The processes that Step Functions has for it; functions are others.
    processes: list[Process] = field(default_factory=list)

    @property
    def planned(self) -> RunPlan:
        """The plan of a run that has one, as a function reads it."""
        return RunPlan.from_json_object(self._passed["plan"])

    @property
    def reached(self) -> RunProgress:
        """How far a run is that has a plan, as a function reads it that takes runs of other versions."""
        return RunProgress.from_json_object(self._passed)

    @property
    def _passed(self) -> dict[str, Any]:
        assert self.plan is not None
        parts = {"plan": self.plan, "sample": self.sample or Sample(), "tally": self.tally}
        return {name: part.model_dump(mode="json") for name, part in parts.items()}


@dataclass
class ModelApp:
    """The deployed app, and one dead-letter queue."""

    dlq: QueueRef
    sources: tuple[QueueRef, ...]
    #: As ReceiveMessage returns them.
    messages: list[dict[str, Any]]
    #: By the names of queues.
    contracts: Mapping[str, MessageContract] = field(default_factory=dict)
    #: Other queues that messages can go to.
    others: tuple[QueueRef, ...] = ()
    faults: tuple[Fault, ...] = ()
    #: What is called when a request is made, by its operation and its place among those of the operation.
    on_request: dict[tuple[str, int], Callable[[], Any]] = field(default_factory=dict)
    #: Names of the messages that their destination refuses.
    refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.time = VirtualTime()
        self.sqs = ModelSqs(self.messages, fifo=self.dlq.fifo, fate=self._fate_of)
        self.queues = ModelQueues(self)
        self.runs: dict[str, Run] = {}
        self.functions: list[Process] = []
        self._requests: dict[str, int] = {}
        self._dies_next = False
        self._taken = 0
        client: Any = ModelTable(lambda operation, work: self.request(DYNAMODB + operation, work))
        self.table, self.checkpoints = RunTable(_TABLE, client), Checkpoints(_TABLE, client)
        self.facts, self.shares = MessageFacts(_TABLE, client), RateShares(_TABLE, self, client, self.time.sleep)
        self._mover = Mover(
            lane_runner=lambda _memory, _log: ModelLaneRunner(self),
            queues=lambda: self.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            facts=self.facts,
            shares=self.shares,
            contracts=lambda: self.contracts.get,
            error_log=lambda: factories.unlogged,
            delivery_policy=DeliveryPolicy(),
            confirms=lambda _run_id: factories.confirmed,
            movers=frozenset({factories.MOVER}),
            time=lambda: EPOCH + self.time.now,
            pause=self.time.sleep,
        )

    # What a test does

    def start(self, name: str, **options: Any) -> Run:
        """Start a run."""
        execution = factories.execution(name).model_copy(update={"started_at": self._date()})
        run = self.runs[name] = Run(execution, {"dlq": self.dlq.name, **options})
        run.processes.append(self.time.start(partial(self._execute, run)))
        return run

    def redrive(self, name: str, **options: Any) -> Run:
        """Start a run, and wait until it has ended."""
        run = self.start(name, **options)
        self.time.wait_for(run.processes[0])
        return run

    def stop_execution(self, run: Run) -> None:
        """Stop an execution: nothing more is started for it, and its functions go on."""
        if run.running:
            run.running, run.stopped = False, True
            for process in run.processes:
                self.time.kill(process)

    def ask_to_stop(self, _run: Run) -> None:
        """Stop a run as an operator does."""
        self.table.ask_to_stop(self.dlq.arn)

    def wait_until(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, at most so long."""
        until = self.time.now + seconds
        while self.time.now < until and not condition():
            self.time.sleep(1)

    def take_delivered(self) -> list[Delivery]:
        """Return what was delivered anywhere since the last call."""
        taken, self._taken = self._taken, len(self.sqs.deliveries)
        return self.sqs.deliveries[taken:]

    def check(self) -> None:
        """Raise the first error that no function should raise."""
        for function in self.functions:
            if function.error is not None and not isinstance(function.error, _EXPECTED):
                raise function.error

    # Requests and faults

    def requests(self, operation: str) -> int:
        """Return how many requests of an operation were made."""
        return self._requests.get(operation, 0)

    def request(self, operation: str, work: Callable[[], Any]) -> Any:
        """Make a request with a client that tries again, and return the answer."""
        for attempt in range(_ATTEMPTS):
            self.time.sleep(0.005)
            fault = self._fault_at(operation)
            if fault is None:
                return work()
            if fault.kind is Kind.KILLED:
                self.time.die()
            answer = None if fault.kind in _NOT_CARRIED_OUT else work()
            if fault.kind is Kind.KILLED_AFTER:
                self.time.die()
            self.time.sleep(_TIMEOUT * fault.amount if fault.kind in _LATE else 0.1 * 2**attempt)
            if fault.kind is Kind.SLOW:
                return answer
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation)

    def die_if_doomed(self) -> None:
        """Kill the running function if the request that it has just made is its last."""
        if self._dies_next:
            self._dies_next = False
            self.time.die()

    def _fault_at(self, operation: str) -> Fault | None:
        """Return what happens to the next request of an operation."""
        place = self.requests(operation)
        self._requests[operation] = place + 1
        if (operation, place) in self.on_request:
            self.time.start(self.on_request[operation, place])
        return next((fault for fault in self.faults if fault.hits(operation, place)), None)

    def _fate_of(self, action: Action) -> Fate:
        """Return what becomes of a lane's request."""
        fault = self._fault_at(_OPERATIONS[type(action).__name__])
        fate = CALM if fault is None else _FATES.get(fault.kind, CALM)
        messages = getattr(action, "messages", ())
        if fault is not None and fault.kind is Kind.KILLED:
            self.time.die()
        if fault is not None and fault.kind is Kind.KILLED_AFTER:
            self._dies_next = True
        if fault is not None and fault.kind is Kind.SLOW:
            fate = Fate(answer=0.02 + 5 * fault.amount)
        if fault is not None and fault.kind is Kind.PARTIAL:
            fate = Fate(entries=dict.fromkeys(range(math.ceil(len(messages) * fault.amount)), THROTTLED))
        if isinstance(action, Send) and action.destination.address != QUARANTINE.url:
            refused = {n: REFUSED for n, held in enumerate(messages) if name_of(held.message.body) in self.refused}
            fate = replace(fate, entries={**fate.entries, **refused})
        return fate

    # Step Functions

    def is_running(self, execution_arn: str) -> bool:
        """Return whether an execution has not ended."""
        return any(run.running for run in self.runs.values() if run.execution.id == execution_arn)

    def input_of(self, execution_arn: str) -> str:
        """Return the input of an execution."""
        return next(json.dumps(run.given) for run in self.runs.values() if run.execution.id == execution_arn)

    def _execute(self, run: Run) -> None:
        try:
            planned: Planned = self._state(run, "plan", lambda _: self._plan(run))
            run.plan, run.tally = planned.plan, planned.tally
            try:
                run.sample = self._state(run, "sample", partial(self._sample, run))
                while not planned.plan.request.dry_run and run.tally.next is not Next.CLEAN_UP:
                    run.tally = self._state(run, "tally", partial(self._tally, run, self._lanes(run)))
                    self.time.sleep(run.tally.wait_seconds)
            except StateFailedError as error:
                run.failure = error.state_error
            run.tally = self._state(run, "clean-up", lambda _: self._clean_up(run))
        except StateFailedError as error:
            run.failure = run.failure or error.state_error
        try:
            run.report = self._state(run, "report", lambda _: self._report(run))
        except StateFailedError as error:
            run.failure = run.failure or error.state_error
        run.running, run.ended_at = False, self.time.now

    def _lanes(self, run: Run) -> list[SliceResult]:
        lanes = [self.time.start(partial(self._lane, run, work)) for work in run.tally.lanes]
        run.processes += lanes
        for lane in lanes:
            self.time.wait_for(lane)
            if lane.error is not None:
                for other in lanes:
                    self.time.kill(other)
                raise lane.error
        return [lane.result for lane in lanes]

    def _lane(self, run: Run, work: LaneWork) -> SliceResult:
        result: SliceResult = self._state(
            run, "move", lambda _: self._mover.move(run.planned, work, _SLICE_SECONDS, _FUNCTION_SECONDS)
        )
        return result

    def _state(self, run: Run, step: str, work: Callable[[int], Any]) -> Any:
        """Invoke a function as often as its state says; return its result."""
        failed = {True: 0, False: 0}
        while True:
            try:
                return self._invoke(step, partial(work, sum(failed.values())))
            except StateFailedError as error:
                name = error.state_error.error
                died = name == _DIED
                failed[died] += 1
                pause, most, factor = _RETRIES[died]
                if name in _DECISIONS or failed[died] > most or not run.running:
                    raise
                self.time.sleep(min(_LONGEST_PAUSE, pause * factor ** (failed[died] - 1)))

    def _invoke(self, step: str, work: Callable[[], Any]) -> Any:
        fault = self._fault_at(TASK + step)
        if fault is not None and fault.kind in _NOT_CARRIED_OUT:
            raise StateFailedError(_DIED, "")
        function = self.time.start(work)
        self.functions.append(function)
        if fault is not None and fault.kind is Kind.OVERTAKEN:
            self.time.sleep(3 * fault.amount)
            raise StateFailedError(_DIED, "")
        self.time.wait_for(function)
        error = function.error
        if fault is not None or isinstance(error, KilledError):
            raise StateFailedError(_DIED, "")
        if error is not None:
            raise StateFailedError(type(error).__name__, str(error))
        return function.result

    # The functions

    def _plan(self, run: Run) -> Planned:
        return plan(
            run.given,
            run.execution,
            quarantine_arn=QUARANTINE.arn,
            queues=self.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            executions=self,
            shares=self.shares,
            find_contract=self.contracts.get,
            delivery_policy=DeliveryPolicy(),
            pause=self.time.sleep,
        )

    def _sample(self, run: Run, retries: int) -> Sample:
        return sample(
            run.planned,
            queues=self.queues,
            facts=self.facts,
            find_contract=self.contracts.get,
            delivery_policy=DeliveryPolicy(),
            confirm=factories.confirmed,
            movers=frozenset({factories.MOVER}),
            log_error=factories.unlogged,
            seconds=_FUNCTION_SECONDS,
            retries=retries,
            pause=self.time.sleep,
            now=self._date,
        )

    def _tally(self, run: Run, slices: list[SliceResult], _retries: int) -> Tally:
        assert run.sample is not None
        assert run.tally is not None
        return tally(
            run.planned,
            run.sample,
            run.tally,
            slices,
            queues=self.queues,
            store=self.table,
            metrics=NoMetrics(),
            token=lambda: "token",
            now=self._date(),
        )

    def _clean_up(self, run: Run) -> Tally:
        reached = run.reached
        return clean_up(
            reached.plan,
            reached.tally,
            queues=self.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            shares=self.shares,
            metrics=NoMetrics(),
            pause=self.time.sleep,
        ).tally

    def _report(self, run: Run) -> Report:
        return report(
            given=run.given,
            execution=run.execution,
            plan=run.plan and run.reached.plan,
            sample=run.sample,
            tally=run.tally,
            error=run.failure,
            queue=self.queues.facts(self.dlq).counts,
            in_next_queue=None,
            metrics=NoMetrics(),
            now=self._date(),
        ).report

    def _date(self) -> datetime:
        return datetime.fromtimestamp(EPOCH + self.time.now, UTC)
