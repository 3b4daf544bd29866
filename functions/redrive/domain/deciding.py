"""Decides what an automatic start does next: wait, start a run, tell that no more will start, or end.

Called by the automatic handler, once for each decision of statemachines/automatic.asl.yaml.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from redrive.domain.automation import Answer, Limits, Record, claimed, ended, given_back, rested
from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.planning import ExecutionDirectory, QueueDirectory
from redrive.domain.reporting import Notification
from redrive.domain.runs import Execution, QueueRef
from redrive.domain.triggers import Trigger

# The event of a state change and DescribeAlarms may tell its time with another precision. The next change is
# 10 seconds away at least (Amazon CloudWatch User Guide, "High-resolution alarms").
_SAME_CHANGE_SECONDS = 5.0
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class AlarmState:
    """The state of an alarm, and since when in seconds since 1970 (None where that is not known)."""

    value: str
    since: float | None


class AlarmDirectory(Protocol):
    """What an automatic start needs to know about alarms."""

    def state(self, name: str) -> AlarmState | None:
        """Return the alarm's state, or None where there is no such alarm."""


class AutomaticRecords(Protocol):
    """What is kept between decisions."""

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        """Return whether no other execution has taken up the trigger."""

    def automatic(self, dlq_arn: str) -> tuple[Record, int]:
        """Return the record of a queue with its version."""

    def note_automatic(self, dlq_arn: str, record: Record, version: int) -> bool:
        """Write the record unless it has changed since that version; return whether it was written."""

    def holder(self, dlq_arn: str) -> str | None:
        """Return the ARN of the execution that has the queue's lock."""


class Progress(Model):
    """How far an execution of the automatic state machine is.

    Attributes
    ----------
    decisions : int
        Decisions so far.
    runs : int
        Runs that it has started.
    run : str | None
        Name of the last one.
    """

    decisions: int = 0
    runs: int = 0
    run: str | None = None


class Ended(Model):
    """How a run ended: the status of its report, or the error of its execution."""

    status: str | None = None
    error: str | None = None


class AutomaticRun(Model):
    """A run to start: the name and the input of its execution."""

    name: str
    input: dict[str, Any]


class Step(Model):
    """What the automatic state machine does next, and why."""

    next: Literal["wait", "start", "tell", "end"]
    reason: str
    wait_seconds: int = 0
    run: AutomaticRun | None = None
    notification: Notification | None = None
    progress: Progress


@dataclass(frozen=True, slots=True)
class Automation:
    """Makes the decisions of an execution of the automatic state machine.

    Attributes
    ----------
    quarantine_arn : str
        The queue that no alarm redrives: what lies there needs a person.
    clock : Callable[[], float]
        Seconds since 1970.
    """

    limits: Limits
    records: AutomaticRecords
    alarms: AlarmDirectory
    queues: QueueDirectory
    executions: ExecutionDirectory
    quarantine_arn: str
    clock: Callable[[], float]

    def next_step(
        self, trigger: Trigger, execution: Execution, progress: Progress, run: Ended | None
    ) -> Step:
        """Return what to do next.

        Parameters
        ----------
        trigger : Trigger
            What asks for a run.
        execution : Execution
            The execution that asks for the decision.
        progress : Progress
            As the last decision returned it.
        run : Ended | None
            How the run ended that the last decision started.

        Raises
        ------
        RejectedError
            Where the queue cannot be redriven by itself.
        """
        dlq = self._queue(trigger)
        after = progress.model_copy(update={"decisions": progress.decisions + 1})
        if progress.decisions == 0:
            if not self.records.is_first(trigger.id, execution.id):
                return _end("another delivery of the same event is being handled", after)
            if trigger.alarm is not None and self.limits.after_alarm > 0:
                return _wait("until the alarm has lasted long enough", self.limits.after_alarm, after)
        if run is not None:
            self._note_end(dlq, progress.run or "", run)
            if trigger.alarm is None:
                return _end("the scheduled run has ended", after)
        return self._next_try(trigger, dlq, after)

    def _next_try(self, trigger: Trigger, dlq: QueueRef, progress: Progress) -> Step:
        over = self._is_over(trigger, dlq)
        if over is not None:
            return _end(over, progress)
        if self._is_in_use(dlq):
            if trigger.alarm is None:
                return _end("another run is in progress", progress)
            return _wait("another run is in progress", self.limits.delay(progress.decisions), progress)
        return self._claim(trigger, dlq, progress)

    def _queue(self, trigger: Trigger) -> QueueRef:
        dlq = self.queues.find(trigger.dlq)
        if dlq is None:
            raise RejectedError(
                f"There is no queue {trigger.dlq} in this account and region, so no run can start on it. "
                "Name the dead-letter queue in RedriveScheduleInput, or remove the alarm."
            )
        if trigger.alarm is not None and dlq.arn == self.quarantine_arn:
            raise RejectedError(
                f"{trigger.alarm} watches the quarantine, which is not redriven by itself. Look at what lies "
                "there, or give the alarm a name that does not match RedriveAlarmNamePattern."
            )
        return dlq

    def _is_over(self, trigger: Trigger, dlq: QueueRef) -> str | None:
        if trigger.alarm is None:
            if self.queues.facts(dlq).letters:
                return None
            now = self.clock()
            self._change(dlq, lambda record: rested(record, self.limits, record.last_start or 0.0, now))
            return "the queue is empty"
        state = self.alarms.state(trigger.alarm)
        if state is None or state.value != "ALARM":
            return "the alarm is not raised any more"
        if state.since is not None and state.since > trigger.alarm_at + _SAME_CHANGE_SECONDS:
            return "the alarm was OK in between and has started another execution"
        return None

    def _is_in_use(self, dlq: QueueRef) -> bool:
        holder = self.records.holder(dlq.arn)
        return holder is not None and self.executions.is_running(holder)

    def _note_end(self, dlq: QueueRef, run: str, how: Ended) -> None:
        # A run that was refused although nobody asked for anything impossible met another one.
        met_another = how.error == "Redrive.Rejected" and self._is_in_use(dlq)
        now = self.clock()

        def change(record: Record) -> Record:
            after = ended(record, run, self.limits, now)
            return given_back(after, run) if met_another else after

        self._change(dlq, change)

    def _claim(self, trigger: Trigger, dlq: QueueRef, progress: Progress) -> Step:
        now = self.clock()
        name = f"auto-{trigger.id}-{progress.runs + 1}"
        answers: list[Answer] = []

        def change(record: Record) -> Record:
            if trigger.ok_since is not None:
                record = rested(record, self.limits, trigger.ok_since, trigger.alarm_at)
            answer, record = claimed(record, name, self.limits, now)
            answers.append(answer)
            if answer is Answer.CAPPED and not record.is_told(now):
                return record.model_copy(update={"told_at": now, "told_for": trigger.id})
            return record

        record = self._change(dlq, change)
        match answers[-1]:
            case Answer.START:
                started = progress.model_copy(update={"runs": progress.runs + 1, "run": name})
                run = AutomaticRun(name=name, input=dict(trigger.request))
                return Step(next="start", reason="the queue has letters", run=run, progress=started)
            case Answer.TOO_EARLY if trigger.alarm is None:
                return _end("too soon after the last automatic run", progress)
            case Answer.TOO_EARLY:
                return _wait("too soon after the last automatic run", record.not_before - now, progress)
            case Answer.CAPPED if record.told_for == trigger.id:
                return told(paused_text(dlq.name, record, self.limits, now), "PAUSED", dlq.name, progress)
            case Answer.CAPPED:
                return _end("as many runs have started by themselves as may; that has been told", progress)

    def _change(self, dlq: QueueRef, change: Callable[[Record], Record]) -> Record:
        for _ in range(_ATTEMPTS):
            before, version = self.records.automatic(dlq.arn)
            after = change(before)
            if after == before or self.records.note_automatic(dlq.arn, after, version):
                return after
        raise RuntimeError(
            f"The record of the automatic runs on {dlq.name} changed {_ATTEMPTS} times while it was being "
            "written, expected once at most. Too many alarms or schedules are about this one queue."
        )


def paused_text(dlq: str, record: Record, limits: Limits, now: float) -> str:
    """Return what an operator is told when no more runs start by themselves."""
    until = datetime.fromtimestamp(now, UTC)
    return (
        f"No more runs start by themselves on {dlq} for now: {record.in_a_row} have started in a row and "
        f"{record.in_a_day(now)} in the 24 hours before {until:%Y-%m-%d %H:%M} UTC, where "
        f"{limits.most_runs} may. Letters that come back time after time need a look: see why their consumer "
        "fails and mend it, then start a run by hand. Automatic runs go on with an alarm or a schedule that "
        f"comes after {limits.longest_delay / 60:g} quiet minutes and fewer starts in 24 hours."
    )


def told(text: str, status: str, dlq: str, progress: Progress) -> Step:
    """Return the step that tells operators something by SNS and ends.

    The message is JSON for programs and text for mail, with the attributes that reports have.
    """
    body = {"notice": "automatic-redrive", "status": status, "dlq": dlq, "reason": text}
    notification = Notification(
        subject=f"Redrive {status}: {dlq}"[:100],
        message=json.dumps({"default": json.dumps(body), "email": text}),
        message_attributes={
            "status": {"DataType": "String", "StringValue": status},
            "dlq": {"DataType": "String", "StringValue": dlq[:100]},
        },
    )
    return Step(next="tell", reason=text, notification=notification, progress=progress)


def _wait(reason: str, seconds: float, progress: Progress) -> Step:
    return Step(next="wait", reason=reason, wait_seconds=max(1, math.ceil(seconds)), progress=progress)


def _end(reason: str, progress: Progress) -> Step:
    return Step(next="end", reason=reason, progress=progress)
