"""Ours: the Lambda handler that moves letters, in a process of its own, called until the queue is drained.

`bench.tools` runs it with the environment that template.yaml gives the function.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from types import SimpleNamespace
from typing import Any

from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.pacing import Pacer
from redrive.domain.runs import LaneWork, OnInvalid, RunPlan
from redrive.handlers.move import handler

# template.yaml: the function's timeout, in seconds.
_TIMEOUT = 720


class Context(SimpleNamespace):
    """What the handler asks of Lambda's context."""

    def __init__(self) -> None:
        super().__init__()
        self._ends_at = time.monotonic() + _TIMEOUT

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left of the invocation."""
        return int((self._ends_at - time.monotonic()) * 1000)


def plan_of(dlq: str, quarantine: str, waiting: int) -> RunPlan:
    """Return the plan of a run at the highest rate."""
    queues = Queues(sqs_client())
    found, quarantined = queues.find(dlq), queues.find(quarantine)
    assert found is not None
    assert quarantined is not None
    run_id = f"bench-{time.time_ns()}"
    return RunPlan(
        run_id=run_id,
        execution_arn=f"arn:aws:states:us-east-1:000000000000:execution:bench:{run_id}",
        started_at=int(time.time() * 1000),
        dlq=found,
        sources=queues.sources(found),
        destination=None,
        quarantine_url=quarantined.url,
        dry_run=False,
        rate=10_000,
        max_messages=None,
        sample_size=10,
        on_invalid=OnInvalid.QUARANTINE,
        max_redrives=3,
        retention=1_209_600,
        waiting=waiting,
    )


def main() -> None:
    """Move letters and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dlq", required=True)
    parser.add_argument("--quarantine", required=True)
    parser.add_argument("--waiting", type=int, required=True)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--slices", type=int, default=1000)
    given = parser.parse_args()
    plan = plan_of(given.dlq, given.quarantine, given.waiting)
    RunTable(os.environ["RUN_TABLE"]).lock(plan)
    told: dict[str, Any] = {"redriven": 0, "slices": 0, "batch": Pacer(given.rate).batch_size}
    before = resource.getrusage(resource.RUSAGE_SELF)
    for round_ in range(given.slices):
        work = LaneWork(lane=0, round=round_, rate=given.rate, quota=None)
        event = {"plan": plan.model_dump(mode="json"), "work": work.model_dump(mode="json")}
        result = handler(event, Context())  # type: ignore[arg-type]
        told["redriven"] += result["redriven"]
        told["slices"] += 1
        if result["drained"]:
            break
    after = resource.getrusage(resource.RUSAGE_SELF)
    told["cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps(told))


if __name__ == "__main__":
    main()
