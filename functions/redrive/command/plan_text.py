"""What a plan looks like in a terminal: what a run with this input would do, and how long it would take.

Used by the commands that plan or start a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redrive.command.output import Output, ago, messages
from redrive.command.report_text import REASONS, print_forecast, print_groups
from redrive.domain.moving.results import smallest
from redrive.domain.plan.input_options import as_options
from redrive.domain.runs.report import Report


def print_plan(output: Output, report: Report, given: Mapping[str, Any]) -> None:
    """Print what a run would do.

    Parameters
    ----------
    output : Output
        Where.
    report : Report
        The report of a dry run with the same input.
    given : Mapping[str, Any]
        The input.
    """
    sample, forecast = report.sample, report.forecast
    output.text(f"Plan for {report.dlq}: about {messages(report.counts.remaining)}", style="bold")
    for name, value in _facts(report, given):
        output.text(f"{name:<12} {value}")
    if report.reason:
        output.text(report.reason)
    if sample is None or forecast is None or not sample.sampled:
        output.text("None of them is visible now." if report.counts.remaining else "It is empty.")
        return
    output.text()
    print_forecast(output, forecast)
    output.text()
    output.text(f"{'All' if sample.complete else 'A sample of'} {sample.sampled:,} messages:", style="bold")
    print_groups(output, sample)
    if sample.near_expiry:
        output.text(f"SQS deletes {sample.near_expiry:,} of them within a day.")
    if sample.quarantined or sample.skipped:
        output.say(REASONS)


def seconds_needed(report: Report, given: Mapping[str, Any]) -> float | None:
    """Return how long the run would move messages, as far as the sample and the rate tell; None if they don't."""
    rate = smallest(report.rate.requested, report.rate.max_rate)
    if report.forecast is None or not rate:
        return None
    return min(report.forecast.redriven.expected, given.get("maxMessages") or report.forecast.messages) / rate


def _facts(report: Report, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Destination", report.destination_text
    rate = smallest(report.rate.requested, report.rate.max_rate)
    limited = rate is not None and rate != report.rate.requested
    declared = f" (requested {report.rate.requested:g}, but a receiving queue allows no more)" if limited else ""
    yield "Rate", f"{rate or 0:g} messages per second{declared}"
    seconds = seconds_needed(report, given)
    if seconds:
        yield "Takes", f"about {ago(max(1.0, seconds))}"
    asked = [option for option in as_options(given) if not option.startswith(("--rate ", "--dry-run"))]
    if asked:
        yield "Options", " ".join(asked)
