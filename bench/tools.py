"""The programs that move messages, ours and others, and one measured run of any of them.

Used by every measurement in `bench.measurements`.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import measured
from bench.endpoint import Endpoint, Queues
from bench.proxy import Call
from local.embedded_cloud import ACCOUNT_ID, REGION

_HERE = Path(__file__).resolve().parent
_FUNCTIONS = _HERE.parent / "functions"
# What a program may see of our own environment; nothing else, above all none of its AWS_ variables.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_PLAN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that moves all messages of one queue to another.

    Attributes
    ----------
    name : str
        As in the results.
    command : Callable[[Endpoint, Queues], list[str]]
        The program and its arguments.
    environment : Callable[[Endpoint, Queues], dict[str, str]]
        Variables beside those that every program gets.
    """

    name: str
    command: Callable[[Endpoint, Queues], list[str]]
    environment: Callable[[Endpoint, Queues], dict[str, str]] = field(default=lambda _endpoint, _queues: {})


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    Attributes
    ----------
    messages : int
        Messages that were there.
    seconds : float
        From the first receive to the answer to the last delete: neither the start of the program nor how it
        makes sure that the queue is empty.
    sqs_calls, other_calls : Counter[str]
        Requests by operation, those that find the queue empty included.
    calls : list[Call]
        All requests.
    peak_rss_mb : float | None
        Peak of resident memory.
    finished : measured.Finished
        The program's status and output.
    """

    messages: int
    seconds: float
    sqs_calls: Counter[str]
    other_calls: Counter[str]
    calls: list[Call]
    peak_rss_mb: float | None
    finished: measured.Finished

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def calls_per_message(self) -> float:
        """SQS requests per message."""
        return self.sqs_calls.total() / self.messages

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the program after its imports; only our own programs tell."""
        return float(self.finished.told["cpu_seconds"])


def plain_loop(threads: int = 1) -> Tool:
    """Return the plain loop on so many threads."""
    script = str(_HERE / "plain_loop.py")
    return Tool(
        f"plain loop, {threads} threads",
        lambda _endpoint, queues: [
            sys.executable, script, queues.dlq_url, queues.source_url, str(threads)
        ],
    )  # fmt: skip


def ours(*, contract: bool = True, rate: float = 10_000, slices: int = 1000, slice_seconds: int = 60) -> Tool:
    """Return our move function.

    Parameters
    ----------
    contract : bool
        Whether the destination has a contract that each letter is judged by.
    rate : float
        The lane's rate, in messages per second.
    slices : int
        Stop after so many, even if letters are left.
    slice_seconds : int
        How long a slice moves letters; 60 as template.yaml has it.
    """

    def command(endpoint: Endpoint, queues: Queues) -> list[str]:
        plan = _planned(endpoint, queues, environment(endpoint, queues))
        told = {"plan": plan, "rate": rate, "slices": slices}
        return [
            sys.executable,
            str(_HERE / "lane_worker.py"),
            *(f"--{key}={value}" for key, value in told.items()),
        ]

    def environment(endpoint: Endpoint, queues: Queues) -> dict[str, str]:
        return {
            "PYTHONPATH": str(_FUNCTIONS),
            "RUN_TABLE": endpoint.run_table,
            "SLICE_SECONDS": str(slice_seconds),
            "QUEUE_CONTRACTS": f"{queues.source}=store-event" if contract else "",
            "POWERTOOLS_SERVICE_NAME": "redrive",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    return Tool("ours" if contract else "ours without a contract", command, environment)


def _planned(endpoint: Endpoint, queues: Queues, environment: dict[str, str]) -> str:
    """Return a run's plan, made by the plan function in a process of its own; the run has the lock then."""
    program = (
        "import json, sys; from redrive.handlers.plan import handler; "
        "print(json.dumps(handler(json.loads(sys.argv[1]), None)['plan']))"
    )
    run_id = f"bench-{uuid.uuid4().hex[:8]}"
    event = {
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
    endpoint.take_calls()
    return json.dumps(finished.told)


def _environment(endpoint: Endpoint) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | endpoint.environment


def move(
    tool: Tool, endpoint: Endpoint, queues: Queues, count: int, *, seconds: float = 300, complete: bool = True
) -> Run:
    """Let a tool move the messages of `queues`.

    Parameters
    ----------
    tool : Tool
        The program.
    endpoint, queues, count : Endpoint, Queues, int
        Where the messages are and how many.
    seconds : float
        The program is stopped after so many.
    complete : bool
        Whether all messages have to be moved in the end.

    Raises
    ------
    ToolError
        Where the program had to be stopped, or did not move every message.
    """
    environment = _environment(endpoint) | tool.environment(endpoint, queues)
    finished = measured.run(tool.command(endpoint, queues), environment, seconds)
    calls = endpoint.take_calls()
    if complete and (moved := endpoint.depth(queues.source_url)) != count:
        told = finished.output[-2000:]
        raise measured.ToolError(f"{tool.name} moved {moved} of {count} messages: {told}")
    return _run_of(finished, calls, count)


def _run_of(finished: measured.Finished, calls: list[Call], count: int) -> Run:
    sqs = [
        (call, call.operation.removeprefix("AmazonSQS.")) for call in calls if "AmazonSQS" in call.operation
    ]
    began = min((call.arrived for call, operation in sqs if operation == "ReceiveMessage"), default=0.0)
    ended = max((call.answered for call, operation in sqs if operation.startswith("Delete")), default=0.0)
    return Run(
        messages=count,
        seconds=ended - began,
        sqs_calls=Counter(operation for _, operation in sqs),
        other_calls=Counter(call.operation for call in calls if "AmazonSQS" not in call.operation),
        calls=calls,
        peak_rss_mb=finished.peak_rss_mb,
        finished=finished,
    )
