"""Ours: the Lambda handler that moves letters, in a process of its own, called until the queue is drained.

`bench.tools` runs it with the environment that template.yaml gives the function.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

from redrive.domain.pacing import Pacer
from redrive.domain.runs import LaneWork
from redrive.handlers.move import handler

# template.yaml: the function's timeout, in seconds.
_TIMEOUT = 720


class Context:
    """What the handler asks of Lambda's context."""

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + _TIMEOUT

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left of the invocation."""
        return int((self._ends_at - time.monotonic()) * 1000)


def main() -> None:
    """Move letters and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", required=True, help="as the plan function returned it, in JSON")
    parser.add_argument("--rate", type=float, required=True, help="of this lane, in messages per second")
    parser.add_argument("--slices", type=int, required=True, help="stop after so many")
    given = parser.parse_args()
    plan = json.loads(given.plan)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for round_ in range(given.slices):
        work = LaneWork(lane=0, round=round_, rate=given.rate, quota=None)
        result = handler({"plan": plan, "work": work.model_dump(mode="json")}, Context())  # type: ignore[arg-type]
        if result["drained"]:
            break
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu_seconds": cpu, "batch": Pacer(given.rate).batch_size}))


if __name__ == "__main__":
    main()
