"""Decides what an automatic start does next: wait, start a run, notify operators that it is paused, or end.

Called by the automatic handler for each decision of statemachines/automatic.asl.yaml.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import WrapValidator

from redrive.domain.automatic.limits import Answer, Limits, Record, claimed, ended, given_back, rested
from redrive.domain.automatic.triggers import Trigger
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.model import Model
from redrive.domain.plan.directories import ExecutionDirectory, QueueDirectory
from redrive.domain.plan.run_plan import Execution
from redrive.domain.runs.notification import Notification, notification

# An alarm's event and DescribeAlarms can give the time of the same state change with different precision. The next
# change is at least 10 seconds later (Amazon CloudWatch User Guide, "High-resolution alarms").
_SAME_CHANGE_SECONDS = 5.0
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class AlarmState:
    """The state of an alarm."""

    value: str
    #: When the alarm entered the state, in seconds since 1970; None if unknown.
    since: float | None


class AlarmDirectory(Protocol):
    """The alarms of an account and region."""

    def state(self, name: str) -> AlarmState | None:
        """Return the alarm's state, or None if there is no such alarm."""


class AutomaticRecords(Protocol):
    """What is stored between decisions."""

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        """Claim the trigger; return whether no other execution claimed it before."""

    def automatic(self, dlq_arn: str) -> tuple[Record, int]:
        """Return a queue's record and its version."""

    def note_automatic(self, dlq_arn: str, record: Record, version: int) -> bool:
        """Write the record unless it has changed since that version; return whether it was written."""

    def holder(self, dlq_arn: str) -> str | None:
        """Return the ARN of the execution that holds the queue's lock."""


class Progress(Model):
    """How far an execution of the automatic state machine has gotten."""

    #: Decisions so far.
    decisions: int = 0
    #: Runs started so far.
    runs: int = 0
    #: Name of the last run.
    run: str | None = None


#: What the last decision returned, perhaps one of another version: an execution may wait for hours.
AnyProgress = Annotated[Progress, WrapValidator(Progress.as_far_as_readable)]


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

    next: Literal["wait", "start", "notify", "end"]
    reason: str
    wait_seconds: int = 0
    run: AutomaticRun | None = None
    notification: Notification | None = None
    progress: Progress


@dataclass(frozen=True, slots=True)
class Automation:
    """Makes the decisions of the automatic state machine."""

    limits: Limits
    records: AutomaticRecords
    alarms: AlarmDirectory
    queues: QueueDirectory
    executions: ExecutionDirectory
    #: Never redriven by an alarm, because its messages need a person.
    quarantine_arn: str
    #: Seconds since 1970.
    clock: Callable[[], float]

    def next_step(self, trigger: Trigger, execution: Execution, progress: Progress, run: Ended | None) -> Step:
        """Return what to do next.

        Parameters
        ----------
        trigger : Trigger
            What started the execution.
        execution : Execution
            The execution of the automatic state machine.
        progress : Progress
            What the last decision returned.
        run : Ended | None
            How the run that the last decision started ended; None if it started none.

        Raises
        ------
        RejectedError
            If the queue doesn't exist or can't be redriven automatically.
        """
        dlq = self._queue(trigger)
        after = progress.model_copy(update={"decisions": progress.decisions + 1})
        if progress.decisions == 0:
            if not self.records.is_first(trigger.id, execution.id):
                return _end("another delivery of the same event is being handled", after)
            if trigger.alarm is not None and self.limits.after_alarm > 0:
                return _wait("until the alarm has lasted long enough", self.limits.after_alarm, after)
        if run is not None:
            self._record_end(dlq, progress.run or "", run)
            if trigger.alarm is None:
                return _end("the scheduled run has ended", after)
        return self._next_attempt(trigger, dlq, after)

    def _next_attempt(self, trigger: Trigger, dlq: QueueRef, progress: Progress) -> Step:
        reason = self._reason_to_end(trigger, dlq)
        if reason is not None:
            return _end(reason, progress)
        if self._is_in_use(dlq):
            if trigger.alarm is None:
                return _end("another run is in progress", progress)
            return _wait("another run is in progress", self.limits.delay(progress.decisions), progress)
        return self._claim(trigger, dlq, progress)

    def _queue(self, trigger: Trigger) -> QueueRef:
        dlq = self.queues.find(trigger.dlq)
        if dlq is None:
            raise RejectedError(
                f"Expected {trigger.dlq} to be a queue in this account and region, found none. Name the dead-letter "
                "queue in RedriveScheduleInput, or remove the alarm."
            )
        if trigger.alarm is not None and dlq.arn == self.quarantine_arn:
            raise RejectedError(
                f"Expected {trigger.alarm} to watch a dead-letter queue, found the quarantine, which is never redriven "
                "automatically. Give the alarm a name that does not match RedriveAlarmNamePattern."
            )
        return dlq

    def _reason_to_end(self, trigger: Trigger, dlq: QueueRef) -> str | None:
        if trigger.alarm is None:
            if self.queues.facts(dlq).messages:
                return None
            now = self.clock()
            self._change(dlq, lambda record: rested(record, self.limits, record.last_start or 0.0, now))
            return "the queue is empty"
        state = self.alarms.state(trigger.alarm)
        if state is None or state.value != "ALARM":
            return "the alarm is no longer in the ALARM state"
        if state.since is not None and state.since > trigger.alarm_at + _SAME_CHANGE_SECONDS:
            return "the alarm was OK in the meantime and has started another execution"
        return None

    def _is_in_use(self, dlq: QueueRef) -> bool:
        holder = self.records.holder(dlq.arn)
        return holder is not None and self.executions.is_running(holder)

    def _record_end(self, dlq: QueueRef, run: str, how: Ended) -> None:
        # A run that is rejected while the queue is locked found another run in progress, so it doesn't count.
        found_another = how.error == "Redrive.Rejected" and self._is_in_use(dlq)
        now = self.clock()

        def change(record: Record) -> Record:
            after = ended(record, run, self.limits, now)
            return given_back(after, run) if found_another else after

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
            if answer is Answer.CAPPED and not record.is_notified(now):
                return record.model_copy(update={"notified_at": now, "notified_for": trigger.id})
            return record

        record = self._change(dlq, change)
        match answers[-1]:
            case Answer.START:
                started = progress.model_copy(update={"runs": progress.runs + 1, "run": name})
                run = AutomaticRun(name=name, input=dict(trigger.request))
                return Step(next="start", reason="the queue has messages", run=run, progress=started)
            case Answer.TOO_EARLY if trigger.alarm is None:
                return _end("too soon after the last automatic run", progress)
            case Answer.TOO_EARLY:
                return _wait("too soon after the last automatic run", record.not_before - now, progress)
            case Answer.CAPPED if record.notified_for == trigger.id:
                return notify(paused_text(dlq.name, record, self.limits, now), "PAUSED", dlq.name, progress)
            case Answer.CAPPED:
                return _end("the limit of automatic runs is reached; operators were notified", progress)

    def _change(self, dlq: QueueRef, change: Callable[[Record], Record]) -> Record:
        for _ in range(_ATTEMPTS):
            before, version = self.records.automatic(dlq.arn)
            after = change(before)
            if after == before or self.records.note_automatic(dlq.arn, after, version):
                return after
        raise RuntimeError(
            f"Expected to update the record of automatic runs on {dlq.name} within {_ATTEMPTS} attempts, but another "
            "execution changed it each time. Reduce the alarms and schedules that start runs on this queue."
        )


def paused_text(dlq: str, record: Record, limits: Limits, now: float) -> str:
    """Return the text that notifies operators that automatic starts are paused."""
    until = datetime.fromtimestamp(now, UTC)
    return (
        f"Automatic starts on {dlq} are paused: {record.in_a_row} runs started in a row and {record.in_a_day(now)} in "
        f"the 24 hours before {until:%Y-%m-%d %H:%M} UTC; the limit is {limits.most_runs}. Messages keep coming back: "
        "find out why their consumer fails, fix it, and start a run manually. Automatic starts resume with the first "
        f"alarm or schedule after {limits.longest_delay / 60:g} minutes without messages and with fewer than "
        f"{limits.most_runs} starts in 24 hours."
    )


def notify(text: str, status: str, dlq: str, progress: Progress) -> Step:
    """Return the step that notifies operators through SNS and ends.

    The message is JSON for programs and text for email, with the same attributes as a report.
    """
    body = {"notice": "automatic-redrive", "status": status, "dlq": dlq, "reason": text}
    message = notification(subject=f"Redrive {status}: {dlq}", body=json.dumps(body), text=text, status=status, dlq=dlq)
    return Step(next="notify", reason=text, notification=message, progress=progress)


def _wait(reason: str, seconds: float, progress: Progress) -> Step:
    return Step(next="wait", reason=reason, wait_seconds=max(1, math.ceil(seconds)), progress=progress)


def _end(reason: str, progress: Progress) -> Step:
    return Step(next="end", reason=reason, progress=progress)
