"""Turns a message on the report or alarm topic into a notice: counts, reasons, and what to do next.

Called by the handlers in `chat.handlers`; `chat.formats` formats notices for chat. A notice never contains any part of
a redriven message, not even a sample's masked examples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from redrive.domain.messages.arns import console_address
from redrive.domain.names import is_hash
from redrive.domain.runs.next_steps import to_do
from redrive.domain.runs.notification import expected
from redrive.domain.runs.report import Report

# A notice lists the most frequent reasons; the report has all of them.
_MAX_REASONS = 5


@dataclass(frozen=True, slots=True)
class Notice:
    """The content of a chat message, independent of its format."""

    #: Status and name in one line.
    title: str
    #: The run's status, the alarm's state, or the status of an automatic start.
    status: str
    #: Name of the queue or alarm.
    about: str
    #: What related notices share: the run's id, or the name of the alarm or queue.
    thread: str
    #: Why the run ended that way, or why the alarm changed.
    reason: str | None = None
    #: Names and values, the most important first.
    facts: tuple[tuple[str, str], ...] = ()
    #: What a person can do next.
    to_do: tuple[str, ...] = ()
    #: The resource's page in the console.
    link: str | None = None
    #: The report page of a run in the console.
    page: str | None = None
    #: ARNs of the execution or alarm.
    resources: tuple[str, ...] = ()


class _Alarm(BaseModel):
    """An alarm's notification, as CloudWatch publishes it to SNS.

    Source: Amazon CloudWatch User Guide, "Notifying users on alarm changes". A composite alarm has no trigger.
    """

    model_config = ConfigDict(
        alias_generator=to_pascal, extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    alarm_name: str
    alarm_description: str | None = None
    new_state_value: str
    new_state_reason: str = ""
    alarm_arn: str | None = None


class _AutomaticNotice(BaseModel):
    """A notification of automatic starts (docs/guides/automatic.md)."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)

    notice: str
    status: str
    dlq: str
    reason: str


def notice_of(message: str, subject: str | None) -> Notice:
    """Return the notice for an SNS message.

    Parameters
    ----------
    message : str
        The message's body: a report, a notification of automatic starts, or an alarm's notification, as JSON.
    subject : str | None
        The message's subject. For any other type of message, the notice contains only the subject.
    """
    try:
        content = json.loads(message)
        if isinstance(content, Mapping):
            return _of_known(content)
    except (ValueError, ValidationError):
        # Published by something else or by a later version: worth a notice with the subject alone.
        pass
    title = subject or "A message without a subject"
    return Notice(title=title, status="UNKNOWN", about=title, thread=title)


def _of_known(content: Mapping[str, Any]) -> Notice:
    if "AlarmName" in content:
        return _of_alarm(_Alarm.model_validate(content))
    if "notice" in content:
        return _of_automatic(_AutomaticNotice.model_validate(content))
    return _of_report(Report.model_validate(content))


def _of_report(report: Report) -> Notice:
    dlq = report.dlq or "no queue"
    execution = None if is_hash(report.execution_arn) else report.execution_arn
    rate = report.rate
    facts = [
        ("Redriven", str(report.counts.redriven)),
        ("Quarantined", _with_reasons(report.counts.quarantined, report.quarantine_reasons)),
        ("Skipped", _with_reasons(report.counts.skipped, report.skip_reasons)),
        ("Not accepted", _with_reasons(report.counts.failed, report.failure_codes)),
        ("Remaining in the queue", str(report.counts.remaining)),
        ("Destination", report.destination_text),
        ("Messages per second", f"{rate.measured or 0:g} (requested: {rate.requested or 0:g})"),
        ("Duration", f"{(report.finished_at - report.started_at).total_seconds():.0f} s"),
    ]
    if report.duplicates_possible:
        facts.append(("Possibly delivered twice", str(report.duplicates_possible)))
    if report.pushed_on != 0:
        facts.append(("Pushed on to the next queue", "unknown" if report.pushed_on is None else str(report.pushed_on)))
    if report.forecast:
        facts += [
            ("A run would redrive", expected(report.forecast.redriven)),
            ("A run would quarantine", expected(report.forecast.quarantined)),
            ("A run would skip", expected(report.forecast.skipped)),
        ]
    return Notice(
        title=f"Redrive {report.status}: {dlq}",
        status=report.status,
        about=dlq,
        thread=report.run_id,
        reason=report.reason,
        facts=tuple(facts),
        to_do=to_do(report),
        link=console_address(execution, "states", "/v2/executions/details/" + execution) if execution else None,
        page=report.page,
        resources=(execution,) if execution else (),
    )


def _of_automatic(notice: _AutomaticNotice) -> Notice:
    paused = ("Find out why messages keep coming back, then start a run manually.",)
    return Notice(
        title=f"Automatic redrive {notice.status}: {notice.dlq}",
        status=notice.status,
        about=notice.dlq,
        thread=notice.dlq,
        reason=notice.reason,
        to_do=paused if notice.status == "PAUSED" else (),
    )


def _of_alarm(alarm: _Alarm) -> Notice:
    arn, description = alarm.alarm_arn, alarm.alarm_description
    page = "alarmsV2:alarm/" + quote(alarm.alarm_name, safe="")
    return Notice(
        title=f"{alarm.new_state_value}: {alarm.alarm_name}",
        status=alarm.new_state_value,
        about=alarm.alarm_name,
        thread=alarm.alarm_name,
        reason=alarm.new_state_reason or None,
        to_do=(description,) if description and alarm.new_state_value == "ALARM" else (),
        link=console_address(arn, "cloudwatch", page) if arn else None,
        resources=(arn,) if arn else (),
    )


def _with_reasons(count: int, reasons: Mapping[str, int]) -> str:
    if not reasons:
        return str(count)
    ranked = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    listed = [f"{code} {number}" for code, number in ranked[:_MAX_REASONS]]
    if len(ranked) > _MAX_REASONS:
        listed.append(f"{len(ranked) - _MAX_REASONS} more reasons")
    return f"{count} ({', '.join(listed)})"
