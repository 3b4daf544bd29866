"""What a message on the report topic or the alarm topic tells: counts, reasons, and what to do about it.

Called by the handlers in `chat.handlers`; `chat.formats` makes messages for chat of it. Nothing of a letter
is taken over, neither from a sample's examples nor from anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from redrive.domain.runs import Report, Status

# Of many reasons the most frequent ones are told; the report itself has all.
_REASONS = 5
# The console's address by partition (AWS General Reference, "AWS service endpoints"; China and GovCloud user
# guides).
_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}

_TO_DO = {
    Status.SUCCEEDED: (),
    Status.DRY_RUN: ("Nothing has moved. If the sample looks right, start the same run without dryRun.",),
    Status.STOPPED: ("Start a run again when it may go on: it takes up what is left.",),
    Status.HALTED: ("Mend the consumer first: too much came back. Then start a run again, at a lower rate.",),
    Status.REJECTED: ("Nothing has moved. Mend what the reason says and start the run again.",),
    Status.FAILED: ("See the logs of the functions, then start a run again: it takes up what is left.",),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told, in any format.

    Attributes
    ----------
    title : str
        One line: status and name.
    status : str
        Status of the run, state of the alarm, or the notice's own.
    about : str
        Name of the queue or the alarm.
    thread : str
        What notices of one story have in common: id of the run, name of the alarm or the queue.
    reason : str | None
        Why it ended so, or why the alarm changed.
    facts : tuple[tuple[str, str], ...]
        Names and values, the most important ones first.
    to_do : tuple[str, ...]
        What a person can do about it.
    link : str | None
        Where to look in the console.
    resources : tuple[str, ...]
        ARNs of what it is about.
    """

    title: str
    status: str
    about: str
    thread: str
    reason: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    to_do: tuple[str, ...] = ()
    link: str | None = None
    resources: tuple[str, ...] = ()


class _Alarm(BaseModel):
    """An alarm's notification, as CloudWatch publishes it to SNS.

    Amazon CloudWatch User Guide, "Notifying users on alarm changes". A composite alarm has no trigger.
    """

    model_config = ConfigDict(
        alias_generator=to_pascal, extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    alarm_name: str
    alarm_description: str | None = None
    new_state_value: str
    new_state_reason: str = ""
    alarm_arn: str | None = None


class _Told(BaseModel):
    """What automatic starts tell (docs/automatic.md)."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)

    notice: str
    status: str
    dlq: str
    reason: str


def notice_of(message: str, subject: str | None, state_machine_arn: str) -> Notice:
    """Return what an SNS message tells.

    Parameters
    ----------
    message : str
        Body of the message: a report, a notice of automatic starts, or an alarm's notification, as JSON.
    subject : str | None
        Its subject. Of a message of any other kind only that is told.
    state_machine_arn : str
        The redrive's state machine, whose executions the runs are.
    """
    try:
        told = json.loads(message)
        if isinstance(told, Mapping):
            return _of_known(told, state_machine_arn)
    except (ValueError, ValidationError):
        # Somebody else's message, or one of a later version: that it came is worth telling.
        pass
    title = subject or "A message without a subject"
    return Notice(title=title, status="UNKNOWN", about=title, thread=title)


def _of_known(told: Mapping[str, Any], state_machine_arn: str) -> Notice:
    if "AlarmName" in told:
        return _of_alarm(_Alarm.model_validate(told))
    if "notice" in told:
        return _of_automatic(_Told.model_validate(told))
    return _of_report(Report.model_validate(told), state_machine_arn)


def _of_report(report: Report, state_machine_arn: str) -> Notice:
    dlq = report.dlq or "no queue"
    execution = f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{report.run_id}"
    rate = report.rate
    facts = [
        ("Redriven", str(report.counts.redriven)),
        ("Quarantined", _with_reasons(report.counts.quarantined, report.quarantine_reasons)),
        ("Skipped", _with_reasons(report.counts.skipped, report.skip_reasons)),
        ("Not accepted", _with_reasons(report.counts.failed, report.failure_codes)),
        ("Left in the queue", str(report.counts.remaining)),
        ("Destination", report.destination or "the queue that each letter came from"),
        ("Messages per second", f"{rate.measured or 0:g} (asked: {rate.asked or 0:g})"),
        ("Duration", f"{(report.finished_at - report.started_at).total_seconds():.0f} s"),
    ]
    if report.duplicates_possible:
        facts.append(("Possibly delivered twice", str(report.duplicates_possible)))
    return Notice(
        title=f"Redrive {report.status}: {dlq}",
        status=report.status,
        about=dlq,
        thread=report.run_id,
        reason=report.reason,
        facts=tuple(facts),
        to_do=(*_TO_DO[report.status], *_of_what_is_left(report)),
        link=_console(execution, "states", "/v2/executions/details/" + execution),
        resources=(execution,),
    )


def _of_what_is_left(report: Report) -> list[str]:
    to_do = []
    if report.counts.quarantined:
        to_do.append("Letters went to the quarantine: docs/reasons.md tells what each reason asks for.")
    if report.status is Status.SUCCEEDED and report.counts.remaining:
        to_do.append("Letters are left in the queue: the reasons of what was skipped tell why.")
    return to_do


def _of_automatic(told: _Told) -> Notice:
    paused = ("Find out why letters come back, then start a run by hand.",)
    return Notice(
        title=f"Automatic redrive {told.status}: {told.dlq}",
        status=told.status,
        about=told.dlq,
        thread=told.dlq,
        reason=told.reason,
        to_do=paused if told.status == "PAUSED" else (),
    )


def _of_alarm(alarm: _Alarm) -> Notice:
    arn, description = alarm.alarm_arn, alarm.alarm_description
    place = "alarmsV2:alarm/" + quote(alarm.alarm_name, safe="")
    return Notice(
        title=f"{alarm.new_state_value}: {alarm.alarm_name}",
        status=alarm.new_state_value,
        about=alarm.alarm_name,
        thread=alarm.alarm_name,
        reason=alarm.new_state_reason or None,
        to_do=(description,) if description and alarm.new_state_value == "ALARM" else (),
        link=_console(arn, "cloudwatch", place) if arn else None,
        resources=(arn,) if arn else (),
    )


def _with_reasons(count: int, reasons: Mapping[str, int]) -> str:
    if not reasons:
        return str(count)
    ranked = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    told = [f"{code} {number}" for code, number in ranked[:_REASONS]]
    if len(ranked) > _REASONS:
        told.append(f"{len(ranked) - _REASONS} more reasons")
    return f"{count} ({', '.join(told)})"


def _console(arn: str, service: str, place: str) -> str:
    _, partition, _, region, *_ = arn.split(":")
    host = _CONSOLES.get(partition, "console.aws.amazon.com")
    return f"https://{region}.{host}/{service}/home?region={region}#{place}"
