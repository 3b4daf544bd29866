"""Plays schedules on one deployment, several at a time, and judges each.

`python -m tests.faults` and the tests use it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud, Stack
from redrive.domain.runs.tally import LANE_MESSAGES
from tests.faults.judge import INVISIBLE_SECONDS, Evidence, Observation, judge
from tests.faults.ledger import Ledger, Quarantine, until
from tests.faults.proxy import Proxy, Traffic
from tests.faults.schedules import PREFIX, Scenario, Schedule, draw

# Bodies of this contract's queues need an amount.
CONTRACT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "amount"],
    "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
}
PARAMETERS = {
    "Examples": "false",
    # The shortest there is.
    "SliceSeconds": "5",
    "QueueNamePattern": f"{PREFIX}*",
    "QueueContracts": f"{PREFIX}*-strict-*=ssm:/{STACK_NAME}/contracts/strict",
}
_RUN_SECONDS = 420.0
# A schedule is over when it has made no request for so long.
_QUIET_SECONDS = 1.5
_QUIET_WAIT = 40.0


@dataclass(frozen=True)
class Played:
    """A schedule and what came of it."""

    schedule: Schedule
    violations: Sequence[str]
    #: How its runs ended.
    statuses: Sequence[str]
    hits: Sequence[str]
    seconds: float
    #: The report of the first run.
    report: dict[str, Any] | None = None

    def described(self) -> str:
        """Return what failed, as text."""
        lines = [self.schedule.described(), f"  hit: {', '.join(self.hits)}", f"  runs: {', '.join(self.statuses)}"]
        return "\n".join([*lines, *(f"  VIOLATION {violation}" for violation in self.violations)])


@dataclass
class Stage:
    """The deployed app behind the fault proxy."""

    cloud: EmbeddedCloud
    stack: Stack
    proxy: Proxy
    #: The ARN of the state machine that runs are started on.
    machine: str = field(init=False)
    quarantine: Quarantine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = self.stack.resource("RedriveStateMachine")
        self.quarantine = Quarantine(self.cloud, self.stack.resource("QuarantineQueue"))

    def play(self, schedule: Schedule) -> Played:
        """Play a schedule and judge it."""
        return _Play(self, schedule).play()

    def play_all(self, seeds: Sequence[int], workers: int) -> Iterator[Played]:
        """Play schedules, so many at a time; yield each as it ends."""
        with ThreadPoolExecutor(workers) as pool:
            ended = [pool.submit(self._play_safely, draw(seed)) for seed in seeds]
            try:
                for future in as_completed(ended):
                    yield future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _play_safely(self, schedule: Schedule) -> Played:
        """Play a schedule; an error of the suite itself counts as a violation."""
        started = time.monotonic()
        try:
            return self.play(schedule)
        except Exception as error:  # noqa: BLE001 (one schedule's error must not end the others)
            text = f"suite: {type(error).__name__}: {error}"
            return Played(schedule, [text], [], [], time.monotonic() - started)


@contextmanager
def deployed(seeds: Sequence[int], stack_name: str = STACK_NAME) -> Iterator[Stage]:
    """Start an embedded cloud behind a fault proxy, deploy the app, and stop both at the end.

    Parameters
    ----------
    seeds : Sequence[int]
        Of the schedules to play: the app must be allowed to deliver to their functions and state machines.
    stack_name : str
        Name of the stack.
    """
    drawn = [draw(seed) for seed in seeds]
    parameters = PARAMETERS | {
        name: ",".join(schedule.target for schedule in drawn if schedule.scenario is scenario)
        for name, scenario in (
            ("DestinationFunctionArns", Scenario.FUNCTION),
            ("DestinationStateMachineArns", Scenario.STATE_MACHINE),
        )
    }
    with Proxy() as proxy:
        environment = {"TASK_GATE_URL": f"{proxy.url}/task-gate"}
        with EmbeddedCloud.start(lambda_endpoint_url=proxy.url, environment=environment) as cloud:
            proxy.endpoint_port = cloud.port
            # The emulator is the leader of the group that its workers belong to.
            proxy.cloud_group = os.getpgid(cloud.pid)
            stack = cloud.deploy(stack_name, parameters)
            cloud.client("ssm").put_parameter(
                Name=f"/{STACK_NAME}/contracts/strict", Value=json.dumps(CONTRACT), Type="String", Overwrite=True
            )
            yield Stage(cloud, stack, proxy)


class _Play:
    """One schedule on the stage."""

    def __init__(self, stage: Stage, schedule: Schedule) -> None:
        self._stage, self._schedule = stage, schedule
        self._workflow = stage.cloud.client("stepfunctions")
        self._ledger = Ledger(stage.cloud, stage.stack, schedule, stage.quarantine)
        self._execution = ""
        self._started = threading.Event()

    def play(self) -> Played:
        began = time.monotonic()
        schedule = self._schedule
        self._ledger.fill()
        traffic = self._stage.proxy.watch(schedule, self._stop)
        observations = [self._run("run-1", self._options(), traffic)]
        first = observations[0].report
        if schedule.follow_up or first is None or first["status"] not in {"SUCCEEDED", "DRY_RUN"}:
            traffic.enabled = False
            observations.append(self._run("run-2", self._options(again=True), traffic))
        evidence = Evidence(schedule, observations, self._ledger.take_remaining())
        self._ledger.close()
        statuses = [
            seen.report["status"] if seen.report else f"{seen.execution['status']} without report"
            for seen in observations
        ]
        return Played(schedule, judge(evidence), statuses, traffic.hits, time.monotonic() - began, first)

    def _options(self, *, again: bool = False) -> dict[str, Any]:
        options = {"dlq": self._ledger.dlq_name, **self._schedule.options}
        if self._schedule.scenario is Scenario.DESTINATION:
            options["destination"] = self._ledger.destination_name
        if self._schedule.target:
            options["trustedDestinations"] = [self._schedule.target]
        if again:
            options = {name: value for name, value in options.items() if name not in {"maxMessages", "dryRun"}}
            options["rate"] = 600 if len(self._schedule.messages) > LANE_MESSAGES else 100
        return options

    def _run(self, name: str, options: dict[str, Any], traffic: Traffic) -> Observation:
        self._execution = self._workflow.start_execution(
            stateMachineArn=self._stage.machine, name=f"{self._schedule.name}{name}", input=json.dumps(options)
        )["executionArn"]
        self._started.set()
        described: dict[str, Any] = {}

        def ended() -> bool:
            described.update(self._workflow.describe_execution(executionArn=self._execution))
            return bool(described["status"] != "RUNNING")

        if not until(ended, _RUN_SECONDS):
            self._workflow.stop_execution(executionArn=self._execution)
            raise TimeoutError(f"{self._schedule.name}{name} took more than {_RUN_SECONDS:.0f} s; {traffic.hits}")
        # Functions of an execution that has ended may still run.
        until(lambda: traffic.quiet_for(time.monotonic()) > _QUIET_SECONDS, _QUIET_WAIT)
        depth = self._ledger.depth()
        until(lambda: self._ledger.depth().in_flight == 0, INVISIBLE_SECONDS)
        return Observation(
            options=options,
            execution=described,
            report=_report_in(described),
            delivered=self._ledger.take_delivered(),
            quarantined=self._ledger.take_quarantined(),
            depth=depth,
            depth_later=self._ledger.depth(),
        )

    def _stop(self) -> None:
        """Stop the run as an operator does."""
        self._started.wait(10)
        if self._schedule.scenario is Scenario.STOP_EXECUTION:
            self._workflow.stop_execution(executionArn=self._execution)
            return
        function = self._stage.stack.resource("StopFunction")
        self._stage.cloud.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps({"dlq": self._ledger.dlq_name})
        )


def _report_in(execution: dict[str, Any]) -> dict[str, Any] | None:
    text = execution.get("output") or execution.get("cause") or ""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "counts" in found else None
