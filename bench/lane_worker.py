"""Runs the redrive's mover in a separate process until the queue is empty.

`bench.tools` starts it with the environment that template.yaml gives to the function.
"""

from __future__ import annotations

import argparse
import json
import resource
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
    arguments = parser.parse_args()
    plan = json.loads(arguments.plan)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for round_ in range(arguments.slices):
        work = LaneWork(lane=0, round=round_, rate=arguments.rate, quota=None)
        context: Any = Context()
        result = handler({"plan": plan, "work": work.model_dump(mode="json")}, context)
        if result["drained"]:
            break
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu_seconds": cpu, "batch": RateLimiter(arguments.rate).batch_size}))


if __name__ == "__main__":
    main()
