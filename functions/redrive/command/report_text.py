"""What a report looks like in a terminal, and which exit code it means.

Used by every command that ends with a report, whether a stack or this process made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from redrive.command.exits import Exit
from redrive.command.output import Output, ago, bars, moment
from redrive.command.shared import again
from redrive.domain.judging.verdicts import Reason
from redrive.domain.plan.request import TraceHeader, valid_request
from redrive.domain.runs.ending import Status
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.runs.next_steps import next_commands
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.report import Report
from redrive.domain.sampling.sample import Sample, SampleGroup

_EXITS = {
    Status.SUCCEEDED: Exit.DONE,
    Status.INCOMPLETE: Exit.LEFT,
    Status.DRY_RUN: Exit.DONE,
    Status.HALTED: Exit.HALTED,
    Status.STOPPED: Exit.STOPPED,
    Status.REJECTED: Exit.REJECTED,
    Status.FAILED: Exit.FAILED,
}
# Longer inputs are cut to this many characters.
_MAX_INPUT = 1_000
#: Where an operator reads on.
REASONS = "For what each reason means and what to do, see docs/reference/reasons.md in the sqs-redrive repository."


def exit_of(report: Report) -> Exit:
    """Return the exit code of a run; of a dry run, whether a run would leave or quarantine any that it applies to."""
    sample = report.sample if report.status is Status.DRY_RUN else None
    if sample and {*sample.quarantined, *sample.skipped} - {Reason.NOT_SELECTED}:
        return Exit.LEFT
    return _EXITS[report.status]


def print_report(
    output: Output, report: Report, *, record: RunRecord | None = None, given: Mapping[str, Any] | None = None
) -> None:
    """Print how a run ended, what happened to the messages, and what to run next.

    Parameters
    ----------
    output, report : Output, Report
        Where to print, and what.
    record : RunRecord | None
        The run's record, which adds details; None if there is none.
    given : Mapping[str, Any] | None
        The run's input, if it's known without a record.
    """
    output.text(f"Redrive of {report.dlq or 'an unnamed queue'}: {report.status}", style="bold")
    if report.reason:
        output.text(report.reason)
    output.text()
    print_facts(output, [*_facts(report), *(record_facts(record) if record else ())])
    if report.status is Status.DRY_RUN:
        _print_dry_run(output, report)
    elif report.status is not Status.REJECTED or report.counts.seen:
        output.text()
        output.table(("MESSAGES", "WHAT", "REASON"), _rows(report), numbers=(0,))
    _advise(output, report, record.request if record else valid_request(given))


def print_facts(output: Output, facts: Iterable[tuple[str, str]]) -> None:
    """Print names with their values."""
    for name, value in facts:
        output.text(f"{name:<12} {value}")


def record_facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what a run's record adds to its report: the reason, who started it, its input, and its rate over time."""
    if record.because is not None:
        yield "Because", record.because
    if record.started_by is not None:
        yield "Started by", f"{record.started_by} (according to its input)"
    if record.input is not None:
        yield "Input", _short(json.dumps(record.input, ensure_ascii=False))
    first, *others = record.rate_over_time or (None,)
    if first is not None and others:
        top = max(point.rate for point in others)
        span = ago((others[-1].seconds - first.seconds) / len(others))
        yield "Over time", f"{bars([point.rate for point in others])} up to {top:g} per second, one bar per {span}"


def print_forecast(output: Output, forecast: Forecast) -> None:
    """Print what a run would do with the messages."""
    rows = [(_expected(forecast.redriven), "redrive", "")]
    for what, whole, by_reason in (
        ("quarantine", forecast.quarantined, forecast.quarantine_reasons),
        ("skip", forecast.skipped, forecast.skip_reasons),
    ):
        if whole.high:
            rows += [(_expected(number), what, reason) for reason, number in sorted(by_reason.items())] or [
                (_expected(whole), what, "")
            ]
    output.table(("MESSAGES", "A RUN WOULD", "REASON"), rows, numbers=(0,))


def print_groups(output: Output, sample: Sample) -> None:
    """Print the groups of a sample, the largest first."""
    titles = ("SHARE", "VERDICT", "DESTINATION", "ERROR", "ENVELOPE", "CONTRACT", "GROUP")
    output.table(titles, [_row(group) for group in sample.groups], numbers=(0,))
    if sample.other_groups:
        output.text(f"... and {sample.in_other_groups:,} messages in {sample.other_groups:,} smaller groups")


def verdict_of(group: SampleGroup) -> str:
    """Return what a run does with a group, and why."""
    return group.verdict + (f": {group.reason}" if group.reason else "")


def by_reason(counts: Mapping[str, int]) -> str:
    """Return counts in one line, the largest first: `contract-violated 500, too-large 3`."""
    return ", ".join(f"{reason} {number:,}" for reason, number in sorted(counts.items(), key=lambda pair: -pair[1]))


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "Run", report.run_id
    if report.status is not Status.REJECTED:
        yield "Destination", report.destination_text
    yield "Started", moment(report.started_at)
    yield "Took", ago((report.finished_at - report.started_at).total_seconds())
    if report.rate.requested is not None and report.status not in {Status.REJECTED, Status.DRY_RUN}:
        measured = f"{report.rate.measured:,g}" if report.rate.measured is not None else "none"
        maximum = "" if report.rate.max_rate is None else f", maximum {report.rate.max_rate:g}"
        yield "Rate", f"{measured} messages per second (requested {report.rate.requested:g}{maximum})"
    if report.trace_header is TraceHeader.FRESH:
        yield "Traces", "fresh"
    if report.page is not None:
        yield "Page", report.page


def _rows(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield what happened to how many messages and why; what happened to none is left out."""
    counts = report.counts
    yield f"{counts.redriven:,}", "redriven", ""
    more = [
        ("... of them repaired", counts.repaired, {}),
        ("... of them without a contract", report.without_contract, {}),
        ("quarantined", counts.quarantined, report.quarantine_reasons),
        ("skipped", counts.skipped, report.skip_reasons),
        ("failed", counts.failed, report.failure_codes),
        ("released", counts.released, {}),
        ("possibly delivered twice", report.duplicates_possible, {}),
        ("pushed on to the next queue", report.pushed_on or 0, {}),
    ]
    for what, number, reasons in more:
        known = sorted(reasons.items(), key=lambda pair: -pair[1])
        rest = number - sum(reasons.values())
        yield from ((f"{some:,}", what, reason) for reason, some in known)
        if rest > 0:
            yield f"{rest:,}", what, ""
    if report.pushed_on is None:
        yield "?", "pushed on to the next queue", ""
    yield f"{counts.remaining:,}", "remaining", ""


def _print_dry_run(output: Output, report: Report) -> None:
    sample = report.sample
    if report.forecast is not None:
        output.text()
        print_forecast(output, report.forecast)
    if sample is not None and sample.groups:
        output.text()
        output.text(f"{'All' if sample.complete else 'A sample of'} {sample.sampled:,} messages:", style="bold")
        print_groups(output, sample)
        if sample.near_expiry:
            output.text(f"SQS deletes {sample.near_expiry:,} of them within a day.")


def _advise(output: Output, report: Report, given: Mapping[str, Any] | None) -> None:
    if report.dlq is None or report.status is Status.REJECTED:
        return
    output.say("")
    sampled = report.sample if report.status is Status.DRY_RUN else None
    if report.quarantine_reasons or report.skip_reasons or (sampled and (sampled.quarantined or sampled.skipped)):
        output.say(REASONS)
    if report.status is Status.DRY_RUN:
        output.say("Nothing was moved.")
    for command in next_commands(report, given):
        output.say(f"{command.purpose} {again(command.text) if command.text.startswith('redrive ') else command.text}")


def _short(text: str) -> str:
    return text if len(text) <= _MAX_INPUT else f"{text[:_MAX_INPUT]} ... (--json has all of it)"


def _expected(number: Expected) -> str:
    """Return how many messages are expected, with the bounds unless the number is exact."""
    exact = number.low == number.high
    return f"{number.expected:,}" if exact else f"about {number.expected:,} ({number.low:,} to {number.high:,})"


def _row(group: SampleGroup) -> tuple[str, ...]:
    share = f"{group.share:.0%}"
    verdict = verdict_of(group) + (" (recursive loop)" if group.in_a_loop else "")
    destination, error_type, contract = group.destination or "", group.error_type or "", group.contract or ""
    return share, verdict, destination, error_type, group.envelope.value, contract, group.label
