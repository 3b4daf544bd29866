"""Measures how long an operator waits for the `redrive` command, and how fast `redrive move` is.

Used by `bench.measurements`.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench import measured
from bench.endpoint import Endpoint, Queues
from bench.tools import Run, Tool, command_environment, move, ours

type Results = dict[str, Any]

_HERE = Path(__file__).resolve().parent
_REDRIVE = (sys.executable, "-c", "from redrive.command.main import main; main()")
_QUEUES = 9
_MANY_QUEUES = 201
# Number of dead-letter queues that have messages.
_FULL_QUEUES = 2
_RUNS = 5
_SECONDS = 60
_ROUNDS = 3
_MESSAGES = 5_000
_RATE = 10_000


def waits(endpoint: Endpoint) -> Results:
    """Return how long commands take, in seconds, and how many requests `redrive queues` makes per queue."""
    with ExitStack() as stack:
        _open_queues(stack, endpoint, _QUEUES)
        programs = {
            "help": [*_REDRIVE, "--help"],
            "queues": [*_REDRIVE, "queues"],
            "requests alone": [sys.executable, str(_HERE / "queue_calls.py")],
        }
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(_RUNS):
            for name, program in programs.items():
                seconds[name].append(_seconds(endpoint, program))
        _open_queues(stack, endpoint, _MANY_QUEUES - _QUEUES, full=0)
        finished = measured.run(
            [sys.executable, str(_HERE / "command_worker.py"), "queues", "--all"],
            command_environment(endpoint),
            _SECONDS,
        )
    medians = {name: median(found) for name, found in seconds.items()}
    return {
        "help_seconds": round(medians["help"], 3),
        "queues_seconds": round(medians["queues"], 3),
        "queues_ratio": round(medians["queues"] / medians["requests alone"], 3),
        "calls_per_queue": round(finished.result["calls"] / _MANY_QUEUES, 3),
    }


def _open_queues(stack: ExitStack, endpoint: Endpoint, count: int, *, full: int = _FULL_QUEUES) -> None:
    """Create `count` queues, `full` of them with messages, and delete them when the stack closes."""
    # `queues` creates three: a queue, its dead-letter queue, and a quarantine.
    for number in range(count // 3):
        stack.enter_context(endpoint.queues(30 if number < full else 0))


def _seconds(endpoint: Endpoint, program: list[str]) -> float:
    started = time.perf_counter()
    finished = measured.run(program, command_environment(endpoint), _SECONDS)
    seconds = time.perf_counter() - started
    if finished.status:
        raise measured.ToolError(f"ended with status {finished.status}: {finished.output[-2000:]}")
    return seconds


def speed(endpoint: Endpoint) -> Results:
    """Return the speed of `redrive move`, in messages per second and as a share of a lane's speed."""
    with TemporaryDirectory() as folder:
        tools = {"move": _move_tool(Path(folder)), "lane": ours(contract=False)}
        rates: dict[str, list[float]] = {name: [] for name in tools}
        for _ in range(_ROUNDS):
            for name, tool in tools.items():
                with endpoint.queues(_MESSAGES) as queues:
                    rates[name].append(_rate(move(tool, endpoint, queues, _MESSAGES)))
                print(f"  {name}: {rates[name][-1]:.0f} messages/s", flush=True)
    moved, lane = median(rates["move"]), median(rates["lane"])
    return {"move": round(moved, 1), "lane": round(lane, 1), "move_ratio": round(moved / lane, 3)}


def _move_tool(folder: Path) -> Tool:
    def command(_endpoint: Endpoint, queues: Queues) -> list[str]:
        options = {"rate": _RATE, "quarantine": queues.quarantine, "state": folder / f"{queues.dlq}.db"}
        given = [f"--{key}={value}" for key, value in options.items()]
        return [*_REDRIVE, "move", queues.dlq, "--yes", "--without-stack", *given]

    return Tool("redrive move", command, lambda endpoint, _queues: command_environment(endpoint))


def _rate(run: Run) -> float:
    """Return messages per second, counted from the first send, because both tools plan before it."""
    first = min(call.arrived for call in run.calls if call.operation == "SendMessageBatch")
    last = max(call.answered for call in run.calls if call.operation == "DeleteMessageBatch")
    return run.messages / (last - first)
