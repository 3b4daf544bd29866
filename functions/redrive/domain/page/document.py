"""The page of a run as a whole: what happened, what to do next, what was asked, and what the messages had in common.

It has what the report has: counts, codes, names, and masked examples, never a message. No script, and no request: the
content security policy allows the page's own style sheet and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from redrive.domain.names import short_name
from redrive.domain.page.elements import Cell, Content, as_json, element, facts, html, isolated, pre, section, table
from redrive.domain.page.groups import sample_section
from redrive.domain.page.plots import bar, counts_plot, rate_plot, span
from redrive.domain.plan.request import TraceHeader
from redrive.domain.runs.ending import Status
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.runs.next_steps import Command, anywhere, next_commands, to_do
from redrive.domain.runs.notification import expected
from redrive.domain.runs.rate_over_time import RatePoint
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.report import Report

#: Where the pages of a bucket are, as the policies of template.yaml name it.
PREFIX = "runs/"
#: A page is never larger, in bytes.
MAX_BYTES = 200_000
# Rows of a table of codes; more say no more.
_MAX_ROWS = 40
_SEPARATORS = re.compile(r"[:/]")
_MAX_POINTS = 60
_MAX_INPUT = 8_000
_MAX_SENTENCES = 2_100
_STATUS = {
    Status.SUCCEEDED: "good",
    Status.DRY_RUN: "neutral",
    Status.STOPPED: "neutral",
    Status.INCOMPLETE: "warning",
    Status.HALTED: "warning",
    Status.REJECTED: "bad",
    Status.FAILED: "bad",
}
# What becomes of the messages that a run has received, in the order in which the page shows it.
_OUTCOMES = ("redriven", "quarantined", "skipped", "failed", "released")


def page_of(report: Report, record: RunRecord | None = None) -> str:
    """Return the page of a run as an HTML document of at most `MAX_BYTES` bytes.

    Parameters
    ----------
    report : Report
        Its report.
    record : RunRecord | None
        What is known of it besides: its input, who started it, why, and how fast it was; None if nothing is. The input
        is shown if it is valid: what isn't can be any text.
    """
    request = record.request if record else None
    points = record.rate_over_time if record else ()
    made = _document(report, record, request, points, examples=True)
    # Every other part is short: at most as many as a report lists, each cut.
    return made if len(made.encode()) <= MAX_BYTES else _document(report, record, None, points, examples=False)


def page_key(report: Report) -> str:
    """Return the key of a run's page in a bucket: its queue, its start, and its ID."""
    queue = short_name(report.dlq or "none")
    return f"{PREFIX}{queue}/{report.started_at:%Y-%m-%dT%H-%M-%SZ}_{_SEPARATORS.sub('-', report.run_id)}.html"


def _document(
    report: Report,
    record: RunRecord | None,
    request: Mapping[str, Any] | None,
    points: Sequence[RatePoint],
    *,
    examples: bool,
) -> str:
    title = f"Redrive of {report.dlq or 'an unnamed queue'}: {_words(report.status)}"
    main = element(
        "main",
        _glance(report),
        _over_time(report, points),
        _next(report, request),
        _reasons(report),
        _forecast(report.forecast),
        sample_section(report.sample, examples=examples),
        section("asked", "What was asked", _asked(report, record), _input(request)),
    )
    header = element(
        "header",
        element("p", element("span", _words(report.status), class_=f"status {_STATUS[report.status]}")),
        element("h1", "Redrive of ", isolated(report.dlq) if report.dlq else "an unnamed queue"),
        element("p", isolated(report.reason, limit=_MAX_SENTENCES), class_="reason") if report.reason else None,
    )
    footer = element("footer", element("p", "Times are in UTC. Made by sqs-redrive from the report of the run."))
    body = element("body", header, main, footer)
    return html(element("html", _head(title), body, lang="en"))


def _head(title: str) -> ET.Element:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", content=policy, http_equiv="Content-Security-Policy"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title[:200]),
        element("style", style),
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def _words(status: Status) -> str:
    return status.value.replace("_", " ").lower()


# What happened


def _glance(report: Report) -> ET.Element:
    counts = report.counts
    took = (report.finished_at - report.started_at).total_seconds()
    names = ["redriven", "quarantined", "skipped", "failed", "remaining"]
    if report.status in {Status.DRY_RUN, Status.REJECTED}:
        names = ["sampled", "remaining"]
    numbers = element(
        "dl",
        [_number(name, getattr(counts, name)) for name in names],
        _number("took", span(took)),
        class_="numbers",
    )
    parts = [(name, getattr(counts, name)) for name in _OUTCOMES]
    notes = [
        (report.duplicates_possible, "may have been delivered twice"),
        (
            report.unaccounted,
            "may have been moved without being counted, because a function was killed: at most so many",
        ),
        (report.without_contract, "were judged on their envelope alone: no contract is set, or their payload is in S3"),
        (report.pushed_on or 0, "were pushed on to the next queue by the dead-letter queue's own redrive policy"),
    ]
    listed = [element("li", f"{number:,} {text}.") for number, text in notes if number]
    if report.pushed_on is None:
        listed.append(element("li", "How many messages were pushed on to the next queue isn't known."))
    moved = bar("outcomes", "What became of the messages that the run received", parts)
    return section(
        "glance",
        "What happened",
        numbers,
        moved,
        element("p", (_key(name) for name, number in parts if number), class_="key") if moved is not None else None,
        element("ul", listed) if listed else None,
        element("details", element("summary", "All counts"), _counts(report)),
    )


def _number(name: str, value: int | str) -> ET.Element:
    text = f"{value:,}" if isinstance(value, int) else value
    return element("div", element("dt", name), element("dd", text))


def _key(name: str) -> ET.Element:
    square = element("rect", class_=name, width="10", height="10")
    view = {"viewBox": "0 0 10 10"}
    return element("span", element("svg", square, aria_hidden="true", **view), f" {name} ")


def _counts(report: Report) -> ET.Element:
    return table("Messages by what happened to them", ("Count", "Messages"), report.counts.model_dump().items())


def _next(report: Report, request: Mapping[str, Any] | None) -> ET.Element | None:
    steps = to_do(report)
    commands = next_commands(report, request)
    if not steps and not commands:
        return section("next", "What to do next", element("p", "Nothing. Everything was moved."))
    return section(
        "next",
        "What to do next",
        element("ul", (element("li", step) for step in steps)) if steps else None,
        chain.from_iterable(_command(command, report) for command in commands[:_MAX_ROWS]),
    )


def _command(command: Command, report: Report) -> tuple[Content, Content]:
    return element("p", command.purpose), pre(anywhere(command, report), _MAX_INPUT)


def _over_time(report: Report, points: Sequence[RatePoint]) -> ET.Element | None:
    points = points[-_MAX_POINTS:]
    if len(points) < 2:
        return None
    limits = [rate for rate in (report.rate.requested, report.rate.max_rate) if rate is not None]
    rows = [(span(point.seconds), f"{point.rate:,.2f}", point.redriven, point.quarantined) for point in points]
    numbers = table("How far the run was", ("After", "Messages per second", "Redriven", "Quarantined"), rows)
    return section(
        "time",
        "Over time",
        element("div", rate_plot(points, min(limits, default=None)), counts_plot(points), class_="plots"),
        element("details", element("summary", "The numbers of both plots"), numbers),
    )


def _reasons(report: Report) -> ET.Element | None:
    tables = [
        _codes("Quarantined, by reason", report.quarantine_reasons),
        _codes("Skipped, by reason", report.skip_reasons),
        _codes("Refused by their destination, by error code", report.failure_codes),
    ]
    if not any(each is not None for each in tables):
        return None
    return section("reasons", "Reasons", tables, element("p", "docs/reference/reasons.md explains each reason."))


def _codes(caption: str, counts: Mapping[str, int]) -> ET.Element | None:
    if not counts:
        return None
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda code: (-code[1], code[0]))
    rows: list[tuple[Cell, int, str]] = [
        (isolated(code), number, f"{number / total:.1%}" if total else "") for code, number in ranked[:_MAX_ROWS]
    ]
    if others := ranked[_MAX_ROWS:]:
        rows.append((f"{len(others)} others", sum(number for _, number in others), ""))
    return table(caption, ("Code", "Messages", "Share"), rows)


def _forecast(forecast: Forecast | None) -> ET.Element | None:
    if forecast is None:
        return None
    rows: list[tuple[Cell, str]] = [
        ("redrive", expected(forecast.redriven)),
        ("quarantine", expected(forecast.quarantined)),
        *_reasons_of("quarantine", forecast.quarantine_reasons),
        ("skip", expected(forecast.skipped)),
        *_reasons_of("skip", forecast.skip_reasons),
    ]
    caption = f"Of the {forecast.messages:,} messages, a run would"
    return section("forecast", "What a run would do", table(caption, ("What", "Messages, with 95 % confidence"), rows))


def _reasons_of(verdict: str, numbers: Mapping[str, Expected]) -> list[tuple[Cell, str]]:
    listed = sorted(numbers.items())[:_MAX_ROWS]
    return [(isolated(f"{verdict}: {reason}"), expected(number)) for reason, number in listed]


# What was asked


def _asked(report: Report, record: RunRecord | None) -> ET.Element:
    rate = report.rate
    speed = f"{rate.measured or 0:g} messages per second"
    if rate.requested is not None:
        speed += f" (requested: {rate.requested:g}"
        speed += f", maximum: {rate.max_rate:g})" if rate.max_rate is not None else ")"
    because, started_by = (record.because, record.started_by) if record else (None, None)
    return facts(
        [
            ("Because", isolated(because, limit=_MAX_SENTENCES) if because else None),
            ("Started by", element("span", isolated(started_by), ", according to the input") if started_by else None),
            ("Run", isolated(report.run_id)),
            ("Destination", isolated(report.destination_text)),
            ("Rate", speed),
            ("Trace headers", "fresh" if report.trace_header is TraceHeader.FRESH else None),
            ("Started", f"{report.started_at:%Y-%m-%d %H:%M:%S}"),
            ("Finished", f"{report.finished_at:%Y-%m-%d %H:%M:%S}"),
            ("Execution", isolated(report.execution_arn)),
        ]
    )


def _input(request: Mapping[str, Any] | None) -> Iterable[Content]:
    if request is None:
        return [element("p", "The input isn't shown, because it isn't valid, too large, or not known here.")]
    return [element("h3", "Input"), pre(as_json(request), _MAX_INPUT)]
