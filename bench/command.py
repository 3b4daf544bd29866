"""Measures how long an operator waits for the `redrive` command, and how fast `redrive move` is.

Used by `bench.measurements`.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench import measured
from bench.endpoint import Endpoint, Queues
from bench.tools import Tool, command_environment, ours

type Results = dict[str, Any]

_HERE = Path(__file__).resolve().parent
_REDRIVE = (sys.executable, "-c", "from redrive.command.main import main; main()")
_QUEUES = 9
_MANY_QUEUES = 201
# Number of dead-letter queues that have messages.
_FULL_QUEUES = 2
_RUNS = 5
_SECONDS = 60
_ROUNDS = 5
_MESSAGES = 8_000
_RATE = 10_000
# Seconds between checks for the tag that `redrive move` puts on its queue, and seconds to wait after that before
# starting the lane, which sends its first message sooner.
_POLL_SECONDS = 0.1
_HEAD_START_SECONDS = 1.0


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
    """Return the speed of `redrive move` and of a lane, in messages per second, and their ratio.

    They run at the same time, so that whatever else the machine does slows down both.
    """
    rates = []
    for _ in range(_ROUNDS):
        rates.append(_race(endpoint))
        print("  move: {:.0f}, lane: {:.0f} messages/s".format(*rates[-1]), flush=True)
    moved, lane = (median(found) for found in zip(*rates, strict=True))
    ratio = median(move / lane for move, lane in rates)
    return {"move": round(moved, 1), "lane": round(lane, 1), "move_ratio": round(ratio, 3)}


def _race(endpoint: Endpoint) -> tuple[float, float]:
    """Return the rates of `redrive move` and of a lane while both move messages."""
    with (
        TemporaryDirectory() as folder,
        endpoint.queues(_MESSAGES) as left,
        endpoint.queues(_MESSAGES) as right,
        ThreadPoolExecutor() as pool,
    ):
        mover, lane = _move_tool(Path(folder)), ours(contract=False)
        prepared = lane.command(endpoint, right)
        moving = pool.submit(measured.run, mover.command(endpoint, left), command_environment(endpoint), _SECONDS)
        while not moving.done() and not endpoint.sqs.list_queue_tags(QueueUrl=left.dlq_url).get("Tags"):
            time.sleep(_POLL_SECONDS)
        time.sleep(_HEAD_START_SECONDS)
        finished = [
            measured.run(prepared, command_environment(endpoint) | lane.environment(endpoint, right), _SECONDS),
            moving.result(),
        ]
        if failed := [run.output[-2000:] for run in finished if run.status]:
            raise measured.ToolError(failed[0])
        calls = endpoint.take().calls
    sends = [
        [call for call in calls if call.operation == "SendMessageBatch" and call.queue == queues.source_url]
        for queues in (left, right)
    ]
    began, ended = max(sent[0].arrived for sent in sends), min(sent[-1].arrived for sent in sends)
    if began >= ended:
        raise measured.ToolError("one had moved all messages before the other began")
    both = [[call.entries for call in sent if began <= call.arrived < ended] for sent in sends]
    moved, in_lane = (sum(entries) / (ended - began) for entries in both)
    return moved, in_lane


def _move_tool(folder: Path) -> Tool:
    def command(_endpoint: Endpoint, queues: Queues) -> list[str]:
        options = {"rate": _RATE, "quarantine": queues.quarantine, "state": folder / f"{queues.dlq}.db"}
        given = [f"--{key}={value}" for key, value in options.items()]
        return [*_REDRIVE, "move", queues.dlq, "--yes", "--without-stack", *given]

    return Tool("redrive move", command, lambda endpoint, _queues: command_environment(endpoint))
