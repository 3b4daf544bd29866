"""Makes the report of a run and the SNS message that carries it: JSON for programs, readable text for mail.

Called by the report handler, for runs that ended well and for those that did not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from redrive.domain import errors
from redrive.domain.runs import (
    Counts,
    Execution,
    Model,
    RateReport,
    Report,
    RunPlan,
    Sample,
    Status,
    Tally,
)
from redrive.domain.verdicts import Reason

# SNS refuses longer subjects, and those with line breaks or other than printable ASCII (SNS API reference,
# Publish).
_SUBJECT_LENGTH = 100
# The report is the cause of a failed execution, which holds 32,768 characters (Step Functions API reference,
# FailExecution).
_TEXT_LENGTH = 2000


class Failure(Model):
    """An error as Step Functions hands it to a Catch."""

    error: Annotated[str, Field(alias="Error")]
    cause: Annotated[str, Field(alias="Cause")] = ""


class Notification(Model):
    """What the workflow publishes to SNS, in the form of the Publish action's parameters."""

    subject: str
    message: str
    message_attributes: dict[str, dict[str, str]]


def status_of(plan: RunPlan | None, tally: Tally | None, failure: Failure | None) -> Status:
    """Return how the run ended."""
    if failure is not None:
        return Status.REJECTED if failure.error == errors.RejectedError.__name__ else Status.FAILED
    if tally is not None and tally.failure is not None:
        return Status.FAILED
    if plan is not None and plan.dry_run:
        return Status.DRY_RUN
    return Status.STOPPED if tally is not None and tally.stopped else Status.SUCCEEDED


def reason_of(failure: Failure | None) -> str | None:
    """Return what an operator is told of a failure.

    The texts of this app's own errors are made for operators. Of all others only the name is told, since
    their text may quote a message.
    """
    if failure is None:
        return None
    kind = getattr(errors, failure.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.RedriveError):
        try:
            return str(json.loads(failure.cause)["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return failure.error
    return (
        f"{failure.error}: see the logs of the run's functions. Letters that are not counted as moved are "
        "in the queue still."
    )


def make_report(
    *,
    given: Any,
    execution: Execution,
    plan: RunPlan | None,
    sample: Sample | None,
    tally: Tally | None,
    failure: Failure | None,
    in_queue: int | None,
    now: datetime,
) -> Report:
    """Return the report of a run.

    Parameters
    ----------
    given : Any
        The execution's input as it came, for runs that were refused before they had a plan.
    execution : Execution
        The execution.
    plan, sample, tally : RunPlan | None, Sample | None, Tally | None
        How far the run came.
    failure : Failure | None
        What ended it early.
    in_queue : int | None
        Letters in the dead-letter queue now, approximately; None where it cannot be read.
    now : datetime
        When the run ended.
    """
    tally = tally or Tally()
    asked = given.get("dlq") if isinstance(given, Mapping) else None
    wanted = given.get("destination") if isinstance(given, Mapping) else None
    return Report(
        run_id=plan.run_id if plan else execution.name,
        status=status_of(plan, tally, failure),
        reason=_short(reason_of(failure) or tally.failure),
        dlq=plan.dlq.name if plan else _text(asked),
        destination=_destination(plan) if plan else _text(wanted),
        started_at=plan.started if plan else execution.started_at,
        finished_at=now,
        counts=Counts(
            sampled=sample.sampled if sample else 0,
            redriven=tally.redriven,
            repaired=tally.repaired,
            quarantined=tally.quarantined,
            skipped=sum(tally.skipped.values()),
            bounced=tally.skipped.get(Reason.CAME_BACK, 0),
            failed=tally.failed,
            remaining=_remaining(tally, in_queue),
        ),
        without_contract=tally.without_contract,
        quarantine_reasons=tally.quarantine_reasons,
        skip_reasons=tally.skipped,
        failure_codes=tally.failure_codes,
        duplicates_possible=tally.duplicates_possible,
        rate=RateReport(
            asked=plan.asked_rate if plan else None,
            ceiling=plan.ceiling if plan else None,
            measured=round(tally.redriven / tally.seconds, 2) if tally.seconds else None,
        ),
        sample=sample,
    )


def notification_of(report: Report) -> Notification:
    """Return the SNS message of a report: one body for programs and mail programs each."""
    body = report.model_dump_json()
    return Notification(
        subject=_ascii(f"Redrive {report.status}: {report.dlq or 'no queue'}, {_told(report)}"),
        message=json.dumps({"default": body, "email": _readable(report)}),
        message_attributes={
            "status": {"DataType": "String", "StringValue": report.status},
            "dlq": {"DataType": "String", "StringValue": _ascii(report.dlq or "none")},
        },
    )


def _remaining(tally: Tally, in_queue: int | None) -> int:
    # Where the lanes saw the queue empty, what they left there is known better than SQS's approximate count.
    if tally.drained or in_queue is None:
        return tally.left
    return max(in_queue, tally.left)


def _destination(plan: RunPlan) -> str | None:
    if plan.destination is not None:
        return plan.destination.name
    return _short(", ".join(sorted(source.name for source in plan.sources)) or None)


def _text(value: Any) -> str | None:
    return _short(value) if isinstance(value, str) else None


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + " ..."


def _ascii(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text)[:_SUBJECT_LENGTH]


def _told(report: Report) -> str:
    counts = report.counts
    if report.status is Status.REJECTED:
        return "nothing was moved"
    if report.status is Status.DRY_RUN:
        return f"{counts.sampled} sampled, {counts.remaining} in the queue"
    return f"{counts.redriven} redriven, {counts.quarantined} quarantined, {counts.remaining} left"


def _readable(report: Report) -> str:
    counts = report.counts
    lines = [
        f"Redrive of {report.dlq or 'an unnamed queue'}: {report.status}",
        *([f"Reason: {report.reason}"] if report.reason else []),
        "",
        f"Run          {report.run_id}",
        f"Destination  {report.destination or 'the queue that each letter came from'}",
        f"From         {report.started_at:%Y-%m-%d %H:%M:%S} UTC",
        f"To           {report.finished_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Rate         {report.rate.measured or 0} messages per second (asked: {report.rate.asked or 0}"
        + (f", ceiling: {report.rate.ceiling})" if report.rate.ceiling is not None else ")"),
        "",
        *(f"{name:<12} {number}" for name, number in counts.model_dump().items()),
        *_listed("Quarantined because", report.quarantine_reasons),
        *_listed("Skipped because", report.skip_reasons),
        *_listed("Not accepted by the destination", report.failure_codes),
    ]
    if report.without_contract:
        lines += ["", f"Judged on their envelope alone, for want of a contract: {report.without_contract}"]
    if report.duplicates_possible:
        lines += ["", f"Possibly delivered twice: {report.duplicates_possible}"]
    return "\n".join([*lines, *_look(report.sample)])


def _look(sample: Sample | None) -> list[str]:
    """Return what the look at letters showed, for a person."""
    if sample is None or not sample.sampled:
        return []
    lines = ["", f"{'All' if sample.complete else 'A sample of'} {sample.sampled} letters showed:"]
    for group in sample.groups:
        share = f"{group.share:.0%}"
        if not sample.complete:
            share += f" ({group.share_low:.0%} to {group.share_high:.0%})"
        told = [
            group.verdict + (f", {group.reason}" if group.reason else ""),
            f"envelope {group.envelope}",
            *([f"from {group.origin}"] if group.origin else []),
            *([f"to {group.destination}"] if group.destination else []),
            *([f"failed with {group.error_type}"] if group.error_type else []),
            *(["repaired"] if group.repaired else []),
            f"contract {group.contract}" if group.contract else "no contract",
        ]
        lines.append(f"  {group.letters:>6}  {share:<20}  {'; '.join(told)}")
    if sample.other_groups:
        lines.append(f"  {sample.in_other_groups:>6}  in {sample.other_groups} smaller groups")
    sizes = sample.sizes
    lines.append(
        f"Sizes in bytes: {sizes.smallest} to {sizes.largest}, median {sizes.median}, 90 % up to {sizes.p90}"
    )
    if sample.near_expiry:
        lines.append(f"SQS drops {sample.near_expiry} of them within a day.")
    return lines


def _listed(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    return ["", f"{title}:", *(f"  {code:<24} {number}" for code, number in sorted(counts.items()))]
