"""Runs the redrive's mover until the queue is empty, in a separate process for each lane.

`bench.tools` starts it with the environment that template.yaml gives to the function.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

from redrive.domain.moving.rate_limiter import RateLimiter
from redrive.domain.moving.results import LaneWork
from redrive.handlers.mover import handler

# The function's timeout in template.yaml, in seconds.
_TIMEOUT = 720


class Context:
    """The part of Lambda's context that the handler uses."""

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + _TIMEOUT

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the invocation times out."""
        return int((self._ends_at - time.monotonic()) * 1000)


def main() -> None:
    """Move messages; print the processor time and the batch size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", required=True, help="output of the plan step, as JSON")
    parser.add_argument("--rate", type=float, required=True, help="the lane's rate in messages per second")
    parser.add_argument("--slices", type=int, required=True, help="maximum number of slices")
    parser.add_argument("--lanes", type=int, default=1, help="number of lanes")
    parser.add_argument("--lane", type=int, help="the one lane to run; default: all")
    arguments = parser.parse_args()
    alone = arguments.lanes == 1 or arguments.lane is not None
    cpu = _one_lane(arguments) if alone else _all_lanes(arguments.lanes)
    print(json.dumps({"cpu_seconds": cpu, "batch": RateLimiter(arguments.rate).batch_size}))


def _all_lanes(lanes: int) -> float:
    command = [sys.executable, *sys.argv]
    workers = [
        subprocess.Popen([*command, f"--lane={lane}"], stdout=subprocess.PIPE, text=True) for lane in range(lanes)
    ]
    outputs = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        sys.exit("".join(outputs))
    return sum(float(json.loads(output.splitlines()[-1])["cpu_seconds"]) for output in outputs)


def _one_lane(arguments: argparse.Namespace) -> float:
    plan = json.loads(arguments.plan)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for round_ in range(arguments.slices):
        work = LaneWork(lane=arguments.lane or 0, lanes=arguments.lanes, round=round_, rate=arguments.rate, quota=None)
        context: Any = Context()
        result = handler({"plan": plan, "work": work.model_dump(mode="json")}, context)
        if result["drained"]:
            break
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
