"""Runs the whole workflow in the embedded cloud and counts its state transitions.

Used by `bench.measurements` to measure how a run grows with the queue.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.endpoint import Endpoint, depth, filled_queues
from bench.measured import ToolError

_STACK = "bench"
_RATE = 10_000
# The default in template.yaml; the local configuration uses shorter slices.
_SLICE_SECONDS = "60"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """What a run used."""

    seconds: float
    #: States entered, which is what AWS bills.
    transitions: int
    #: Events in the execution's history, which has a quota.
    history_events: int


class Workflow:
    """The app, deployed to the endpoint's cloud on first use. Its queues are in that cloud, too."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def _machine(self) -> str:
        return self._endpoint.cloud.deploy(_STACK, {"SliceSeconds": _SLICE_SECONDS}).outputs["RedriveStateMachineArn"]

    def run(self, count: int, patience: float) -> WorkflowRun:
        """Redrive a queue of `count` messages at the highest rate, waiting at most `patience` seconds."""
        client, sqs = self._endpoint.cloud.client("stepfunctions"), self._endpoint.cloud.client("sqs")
        machine = self._machine
        with filled_queues(sqs, count) as queues:
            execution = client.start_execution(
                stateMachineArn=machine,
                name=f"bench-{uuid.uuid4().hex[:8]}",
                input=json.dumps({"dlq": queues.dlq, "rate": _RATE}),
            )["executionArn"]
            deadline = time.monotonic() + patience
            while (description := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
                if time.monotonic() > deadline:
                    client.stop_execution(executionArn=execution)
                    raise ToolError(f"the workflow did not move {count} messages within {patience:.0f} seconds")
                time.sleep(0.5)
            moved = depth(sqs, queues.source_url)
        if description["status"] != "SUCCEEDED" or moved != count:
            raise ToolError(f"the workflow ended as {description['status']} and moved {moved} of {count} messages")
        event_types = self._event_types(client, execution)
        return WorkflowRun(
            seconds=(description["stopDate"] - description["startDate"]).total_seconds(),
            transitions=sum(event_type.endswith("StateEntered") for event_type in event_types),
            history_events=len(event_types),
        )

    def _event_types(self, client: Any, execution: str) -> list[str]:
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event["type"] for page in pages for event in page["events"]]
