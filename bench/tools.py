"""The programs that move messages, the redrive and others, and a measured run of any of them.

Used by the measurements in `bench.measurements`.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import measured
from bench.endpoint import Endpoint, Queues, Taken
from bench.stand_in import Call
from local.embedded_cloud import ACCOUNT_ID, REGION

_HERE = Path(__file__).resolve().parent
_FUNCTIONS = _HERE.parent / "functions"
# The only variables that a program inherits. In particular, it inherits no AWS_ variables.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_CONTRACT = "python:examples.store_events.contract:STORE_EVENT"
_PLAN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that moves all messages from one queue to another."""

    #: The tool's name in the results.
    name: str
    #: Returns the program and its arguments.
    command: Callable[[Endpoint, Queues], list[str]]
    #: Returns environment variables in addition to those of every program.
    environment: Callable[[Endpoint, Queues], dict[str, str]] = field(default=lambda _endpoint, _queues: {})


@dataclass(frozen=True, slots=True)
class Run:
    """What a run used."""

    #: Messages in the queue at the start.
    messages: int
    #: From the first receive to the response to the last delete; excludes the program's start and its check that the
    #: queue is empty.
    seconds: float
    #: Requests by operation, including those that find the queue empty.
    sqs_calls: Counter[str]
    #: All requests to SQS.
    calls: list[Call]
    #: Peak resident memory.
    peak_rss_mb: float | None
    #: The program's status and output.
    finished: measured.Finished
    #: Processor time of the endpoint.
    endpoint_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def calls_per_message(self) -> float:
        """SQS requests per message."""
        return self.sqs_calls.total() / self.messages

    @property
    def endpoint_share(self) -> float:
        """The share of one processor core that the endpoint used."""
        return self.endpoint_cpu_seconds / self.seconds

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the program without its imports; only this package's programs report it."""
        return float(self.finished.result["cpu_seconds"])


def plain_loop(threads: int = 1) -> Tool:
    """Return the plain loop with a number of threads."""
    script = str(_HERE / "plain_loop.py")
    return Tool(
        f"plain loop, {threads} threads",
        lambda _endpoint, queues: [
            sys.executable, script, queues.dlq_url, queues.source_url, str(threads)
        ],
    )  # fmt: skip


def ours(
    *, contract: bool = True, rate: float = 10_000, slices: int = 1000, slice_seconds: int = 60, lanes: int = 1
) -> Tool:
    """Return the redrive's mover.

    Parameters
    ----------
    contract : bool
        Whether messages are judged with a contract.
    rate : float
        The rate of each lane, in messages per second.
    slices : int
        Maximum number of slices, even if messages remain.
    slice_seconds : int
        Duration of a slice; 60 is the default in template.yaml.
    lanes : int
        Number of lanes that move messages at the same time, each in its own process.
    """

    def command(endpoint: Endpoint, queues: Queues) -> list[str]:
        plan = _planned(endpoint, queues, environment(endpoint, queues))
        arguments = {"plan": plan, "rate": rate, "slices": slices, "lanes": lanes}
        return [
            *shlex.split(os.environ.get("BENCH_PROFILER", "")),
            sys.executable,
            str(_HERE / "lane_worker.py"),
            *(f"--{key}={value}" for key, value in arguments.items()),
        ]

    def environment(endpoint: Endpoint, queues: Queues) -> dict[str, str]:
        return {
            "PYTHONPATH": str(_FUNCTIONS),
            "RUN_TABLE": endpoint.run_table,
            "SLICE_SECONDS": str(slice_seconds),
            "SQS_CLIENT": "lean",
            "QUEUE_CONTRACTS": f"{queues.source}={_CONTRACT}" if contract else "",
            "POWERTOOLS_SERVICE_NAME": "redrive",
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "PYDANTIC_DISABLE_PLUGINS": "__all__",
        }

    return Tool("ours" if contract else "ours without a contract", command, environment)


def _planned(endpoint: Endpoint, queues: Queues, environment: dict[str, str]) -> str:
    """Return a run's plan, made by the plan step in a separate process. The run then holds the queue's lock."""
    program = (
        "import json, sys; from redrive.handlers.coordinator import handler; "
        "print(json.dumps(handler(json.loads(sys.argv[1]), None)['plan']))"
    )
    run_id = f"bench-{uuid.uuid4().hex[:8]}"
    event = {
        "step": "plan",
        "input": {"dlq": queues.dlq, "rate": 10_000},
        "execution": {
            "id": f"arn:aws:states:{REGION}:{ACCOUNT_ID}:execution:bench:{run_id}",
            "name": run_id,
            "startedAt": datetime.now(UTC).isoformat(),
        },
    }
    variables = environment | {
        "QUARANTINE_QUEUE_URL": queues.quarantine_url,
        "QUARANTINE_QUEUE_ARN": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{queues.quarantine}",
    }
    finished = measured.run(
        [sys.executable, "-c", program, json.dumps(event)], _environment(endpoint) | variables, _PLAN_SECONDS
    )
    endpoint.take()
    return json.dumps(finished.result)


def command_environment(endpoint: Endpoint) -> dict[str, str]:
    """Return the complete environment of the `redrive` command."""
    return _environment(endpoint) | {"PYTHONPATH": str(_FUNCTIONS), "PYDANTIC_DISABLE_PLUGINS": "__all__"}


def _environment(endpoint: Endpoint) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | endpoint.environment


def move(
    tool: Tool, endpoint: Endpoint, queues: Queues, count: int, *, seconds: float = 300, complete: bool = True
) -> Run:
    """Run a tool and return what it used.

    Parameters
    ----------
    tool : Tool
        The program.
    endpoint, queues, count : Endpoint, Queues, int
        Where the messages are, and how many.
    seconds : float
        Timeout of the program.
    complete : bool
        Whether the tool must move all messages.

    Raises
    ------
    ToolError
        If the program timed out or didn't move all messages.
    """
    environment = _environment(endpoint) | tool.environment(endpoint, queues)
    finished = measured.run(tool.command(endpoint, queues), environment, seconds)
    taken = endpoint.take()
    if complete and (moved := endpoint.depth(queues.source_url)) != count:
        output = finished.output[-2000:]
        raise measured.ToolError(f"{tool.name} moved {moved} of {count} messages: {output}")
    return _run_of(finished, taken, count)


def _run_of(finished: measured.Finished, taken: Taken, count: int) -> Run:
    calls = taken.calls
    started = min((call.arrived for call in calls if call.operation == "ReceiveMessage"), default=0.0)
    ended = max((call.answered for call in calls if call.operation.startswith("Delete")), default=0.0)
    return Run(
        messages=count,
        seconds=ended - started,
        sqs_calls=Counter(call.operation for call in calls),
        calls=calls,
        peak_rss_mb=finished.peak_rss_mb,
        finished=finished,
        endpoint_cpu_seconds=taken.cpu_seconds,
    )
