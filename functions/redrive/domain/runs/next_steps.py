"""The next steps after a run, depending on how it ended, in words and as commands.

Shown in chat, on the report page, and in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from redrive.domain.names import is_hash, short_name
from redrive.domain.plain_text import redrive_command, with_options
from redrive.domain.plan.input_options import as_options
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
_EXECUTION = re.compile(r"arn:[a-z-]+:states:([a-z0-9-]+):\d{12}:execution:([^:]+):[^:]+")
# The name that CloudFormation generates. Step Functions allows 80 characters, so a name that long may have lost part of
# the stack's name.
_STACK = re.compile(r"(?!.{80})([A-Za-z0-9-]+)-RedriveStateMachine-[A-Za-z0-9]+")
# The next run doesn't get these keys: it moves messages, and has its own reason.
_OF_ONE_RUN = frozenset({"dryRun", "sampleSize", "fullScan", "because", "startedBy"})
# Nobody reads or pastes a longer one.
_MAX_INPUT = 2_000


class Command(NamedTuple):
    """A command for a shell, and what it is for."""

    purpose: str
    #: Without the options for profile, Region, and stack, which may differ for the reader.
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
            Command("See what is left, and why; nothing moves:", redrive_command("look", short_name(queue)))
        )
    if report.counts.remaining and request is not None and (start := _start(report, request)):
        dry = report.status is Status.DRY_RUN
        commands.append(Command("Start the run:" if dry else "Start the next run, once the cause is fixed:", start))
    commands += [
        Command("Read messages and their error texts, with your own credentials:", text)
        for text in report.read_messages
    ]
    return tuple(commands)


def anywhere(command: Command, report: Report) -> str:
    """Return a command with the Region and stack of a run, if its execution's ARN names them."""
    execution = _EXECUTION.fullmatch(report.execution_arn)
    if execution is None or not command.text.startswith("redrive "):
        return command.text
    region, machine = execution.groups()
    stack = _STACK.fullmatch(machine) if command.text.startswith("redrive start ") else None
    return with_options(command.text, f"--region {region}", *([f"--stack {stack[1]}"] if stack else []))


def _start(report: Report, request: Mapping[str, Any]) -> str | None:
    kept = {key: value for key, value in request.items() if key not in _OF_ONE_RUN}
    verb = "start" if _EXECUTION.fullmatch(report.execution_arn) else "move"
    text = redrive_command(verb, request["dlq"], *as_options(kept))
    return text if len(text) <= _MAX_INPUT else None
