"""The SNS message of a report: JSON for programs, readable text for mail.

Called by the report step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from redrive.domain.model import Model
from redrive.domain.plan.request import TraceHeader
from redrive.domain.runs.ending import Status
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.runs.report import Report
from redrive.domain.sampling.sample import Sample, SampleGroup

# SNS refuses longer subjects, and any that hold line breaks or anything but printable ASCII (SNS API reference,
# Publish).
_SUBJECT_LENGTH = 100


class Notification(Model):
    """What the workflow publishes to SNS, in the form of the Publish action's parameters."""

    subject: str
    message: str
    message_attributes: dict[str, dict[str, str]]


def notification_of(report: Report) -> Notification:
    """Return the SNS message of a report, with one body for programs and one for mail."""
    return notification(
        subject=f"Redrive {report.status}: {report.dlq or 'no queue'}, {_headline(report)}",
        body=report.model_dump_json(),
        text=_readable(report),
        status=report.status,
        dlq=report.dlq or "none",
    )


def notification(*, subject: str, body: str, text: str, status: str, dlq: str) -> Notification:
    """Return an SNS message with the attributes that subscriptions can filter on.

    Parameters
    ----------
    subject : str
        Cut and cleaned to what SNS accepts.
    body : str
        JSON for programs.
    text : str
        Text for mail.
    status, dlq : str
        Values of the message attributes.
    """
    return Notification(
        subject=_ascii(subject),
        message=json.dumps({"default": body, "email": text}),
        message_attributes={
            "status": {"DataType": "String", "StringValue": status},
            "dlq": {"DataType": "String", "StringValue": _ascii(dlq)},
        },
    )


def _ascii(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text)[:_SUBJECT_LENGTH]


def _headline(report: Report) -> str:
    counts = report.counts
    if report.status is Status.REJECTED:
        return "nothing was moved"
    if report.status is Status.DRY_RUN:
        forecast = report.forecast
        redrivable = f", {expected(forecast.redriven)} redrivable" if forecast else ""
        return f"{counts.sampled} sampled, {counts.remaining} in the queue{redrivable}"
    return f"{counts.redriven} redriven, {counts.quarantined} quarantined, {counts.remaining} remaining"


def _readable(report: Report) -> str:
    counts = report.counts
    lines = [
        f"Redrive of {report.dlq or 'an unnamed queue'}: {report.status}",
        *([f"Reason: {report.reason}"] if report.reason else []),
        "",
        f"Run          {report.run_id}",
        f"Destination  {report.destination_text}",
        f"Started      {report.started_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Finished     {report.finished_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Rate         {report.rate.measured or 0} messages per second (requested: {report.rate.requested or 0}"
        + (f", maximum: {report.rate.max_rate})" if report.rate.max_rate is not None else ")"),
        *(["Traces       fresh"] if report.trace_header is TraceHeader.FRESH else []),
        "",
        *(f"{name:<12} {number}" for name, number in counts.model_dump().items()),
        *_listed("Quarantined, by reason", report.quarantine_reasons),
        *_listed("Skipped, by reason", report.skip_reasons),
        *_listed("Refused by the destination, by error code", report.failure_codes),
    ]
    if report.without_contract:
        lines += [
            "",
            "Judged on their envelope alone, because their payload is in S3 or no contract is set: "
            f"{report.without_contract}",
        ]
    if report.duplicates_possible:
        lines += ["", f"Possibly delivered twice: {report.duplicates_possible}"]
    if report.pushed_on != 0:
        lines += ["", f"Pushed on to the next queue: {'unknown' if report.pushed_on is None else report.pushed_on}"]
    lines += _forecast(report.forecast)
    lines += _sampled(report.sample)
    if report.page:
        lines += ["", "All of this as a page, in AWS's console:", report.page]
    if report.read_messages:
        lines += ["", "Error texts are in the messages. To read them with your own credentials:", *report.read_messages]
    return "\n".join(lines)


def _forecast(forecast: Forecast | None) -> list[str]:
    """Return what a run would do, for a person."""
    if forecast is None:
        return []
    return [
        "",
        f"A run would do this with the {forecast.messages} messages:",
        f"  {'redrive':<24} {expected(forecast.redriven)}",
        f"  {'quarantine':<24} {expected(forecast.quarantined)}",
        *(f"    {reason:<22} {expected(number)}" for reason, number in sorted(forecast.quarantine_reasons.items())),
        f"  {'skip':<24} {expected(forecast.skipped)}",
        *(f"    {reason:<22} {expected(number)}" for reason, number in sorted(forecast.skip_reasons.items())),
    ]


def expected(number: Expected) -> str:
    """Return how many messages are expected, with the bounds unless the number is exact."""
    exact = number.low == number.high
    return str(number.expected) if exact else f"about {number.expected} ({number.low} to {number.high})"


def _sampled(sample: Sample | None) -> list[str]:
    """Return what peeking at messages showed, for a person."""
    if sample is None or not sample.sampled:
        return []
    lines = ["", f"{'All' if sample.complete else 'A sample of'} {sample.sampled} messages:"]
    for group in sample.groups:
        share = f"{group.share:.0%}"
        if not sample.complete:
            share += f" ({group.share_low:.0%} to {group.share_high:.0%})"
        facts = [
            group.verdict + (f", {group.reason}" if group.reason else ""),
            f"envelope {group.envelope}",
            *_origin(group),
            *([f"to {group.destination}"] if group.destination else []),
            *([f"failed with {group.error_type}"] if group.error_type else []),
            *([f"error text {group.error_message or group.error_text_hash}"] if group.error_text_hash else []),
            *(["recursive loop"] if group.in_a_loop else []),
            *(["repaired"] if group.repaired else []),
            *([f"events {group.events:,}"] if group.events is not None else []),
            f"contract {group.contract}" if group.contract else "no contract",
        ]
        lines.append(f"  {group.messages:>6}  {share:<20}  {'; '.join(facts)}")
    if sample.other_groups:
        lines.append(f"  {sample.in_other_groups:>6}  in {sample.other_groups} smaller groups")
    sizes = sample.sizes
    lines.append(
        f"Sizes in bytes: {sizes.smallest} to {sizes.largest}, median {sizes.median}, 90th percentile {sizes.p90}"
    )
    if sample.near_expiry:
        lines.append(f"SQS will drop {sample.near_expiry} of them within a day.")
    return lines


def _origin(group: SampleGroup) -> list[str]:
    if group.origin:
        return [f"from {group.origin}"]
    return [f"from a {group.origin_kind} that AWS doesn't confirm"] if group.origin_kind else []


def _listed(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    return ["", f"{title}:", *(f"  {code:<24} {number}" for code, number in sorted(counts.items()))]
