"""What an operator does after a run, by how it ended: in words, and as commands.

Shown in chat and on the report page.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from redrive.domain.names import is_hash, short_name
from redrive.domain.runs.ending import Status
from redrive.domain.runs.report import Report

_TO_DO: Mapping[Status, tuple[str, ...]] = {
    Status.SUCCEEDED: (),
    Status.INCOMPLETE: ("Do what the reason says, then start a new run for the remaining messages.",),
    Status.DRY_RUN: ("Nothing was moved. If the sample looks right, start the same run without dryRun.",),
    Status.STOPPED: ("To redrive the remaining messages, start a new run.",),
    Status.HALTED: ("Too many messages came back. Fix the consumer, then start a new run at a lower rate.",),
    Status.REJECTED: ("Nothing was moved. Fix what the reason describes, then start a new run.",),
    Status.FAILED: ("Check the logs of the run's functions, then start a new run for the remaining messages.",),
}
# An execution's ARN names its state machine (Service Authorization Reference, "AWS Step Functions", "Resource types").
_EXECUTION = re.compile(r"(arn:[a-z-]+:states:([a-z0-9-]+):\d{12}):execution:([A-Za-z0-9_-]+):[A-Za-z0-9_-]+")
# Keys that the next run doesn't get: it moves messages, and has a reason of its own.
_OF_ONE_RUN = frozenset({"dryRun", "sampleSize", "fullScan", "because", "startedBy"})
# Nobody reads or pastes a longer one.
_MAX_INPUT = 2_000


class Command(NamedTuple):
    """A command for a shell, and what it is for."""

    purpose: str
    text: str


def to_do(report: Report) -> tuple[str, ...]:
    """Return what to do next, in words."""
    steps = list(_TO_DO[report.status])
    if report.counts.quarantined:
        steps.append("Some messages were quarantined. See docs/reference/reasons.md for what to do about each reason.")
    if report.status is Status.SUCCEEDED and report.counts.remaining:
        steps.append("Some messages remain in the queue. The reason says why.")
    return tuple(steps)


def next_commands(report: Report, request: Mapping[str, Any] | None) -> tuple[Command, ...]:
    """Return commands that do it.

    Parameters
    ----------
    report : Report
        The report.
    request : Mapping[str, Any] | None
        The run's input, which the next run gets as well; None if it isn't known or was invalid.
    """
    queue = report.dlq
    if queue is None or is_hash(queue):
        return ()
    commands = []
    if report.counts.remaining and report.status is not Status.DRY_RUN:
        commands.append(
            Command("See what is left, and why; nothing moves:", f"redrive look {shlex.quote(short_name(queue))}")
        )
    if report.counts.remaining and (start := _start(report, {"dlq": queue} if request is None else request)):
        commands.append(Command("Start the next run, once the cause is fixed:", start))
    commands += [
        Command("Read messages with their error texts, with your own credentials:", text)
        for text in report.read_messages
    ]
    return tuple(commands)


def _start(report: Report, request: Mapping[str, Any]) -> str | None:
    execution = _EXECUTION.fullmatch(report.execution_arn)
    kept = {key: value for key, value in request.items() if key not in _OF_ONE_RUN}
    text = json.dumps(kept)
    if execution is None or len(text) > _MAX_INPUT:
        return None
    account, region, workflow = execution.groups()
    return (
        f"aws stepfunctions start-execution --region {region} "
        f"--state-machine-arn {account}:stateMachine:{workflow} --input {shlex.quote(text)}"
    )
