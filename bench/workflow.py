"""One run of the whole workflow on the embedded cloud, and how many state transitions it took.

Used by `bench.measurements` for the growth of a run with the queue.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.endpoint import Endpoint
from bench.measured import ToolError

_STACK = "bench"
_RATE = 10_000
# As template.yaml has it; the local settings have shorter slices.
_SLICE_SECONDS = "60"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """What a run took. AWS bills each state entered as a transition; the history quota counts events."""

    seconds: float
    transitions: int
    history_events: int


class Workflow:
    """The app, deployed to the endpoint's cloud when it is first needed. Its functions go past the proxy."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def _machine(self) -> str:
        outputs = self._endpoint.cloud.deploy(_STACK, {"SliceSeconds": _SLICE_SECONDS})
        return outputs["RedriveStateMachineArn"]

    def run(self, count: int, patience: float) -> WorkflowRun:
        """Redrive a queue of `count` letters at the highest rate, waiting `patience` seconds at most."""
        client = self._endpoint.cloud.client("stepfunctions")
        machine = self._machine
        with self._endpoint.queues(count) as queues:
            execution = client.start_execution(
                stateMachineArn=machine,
                name=f"bench-{uuid.uuid4().hex[:8]}",
                input=json.dumps({"dlq": queues.dlq, "rate": _RATE}),
            )["executionArn"]
            deadline = time.monotonic() + patience
            while (told := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
                if time.monotonic() > deadline:
                    client.stop_execution(executionArn=execution)
                    raise ToolError(
                        f"the workflow did not move {count} letters within {patience:.0f} seconds"
                    )
                time.sleep(0.5)
            moved = self._endpoint.depth(queues.source_url)
        if told["status"] != "SUCCEEDED" or moved != count:
            raise ToolError(f"the workflow ended as {told['status']} and moved {moved} of {count} letters")
        types = self._event_types(client, execution)
        return WorkflowRun(
            seconds=(told["stopDate"] - told["startDate"]).total_seconds(),
            transitions=sum(kind.endswith("StateEntered") for kind in types),
            history_events=len(types),
        )

    def _event_types(self, client: Any, execution: str) -> list[str]:
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event["type"] for page in pages for event in page["events"]]
