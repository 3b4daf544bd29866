"""What `redrive look` prints about a queue: its ages, its groups, an example, and what to run next."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from redrive.command.output import Output, ago, bars, messages
from redrive.command.report_text import REASONS, print_groups, verdict_of
from redrive.command.shared import again
from redrive.domain.plain_text import redrive_command
from redrive.domain.runs.report import Report

_COLUMNS = 48


def print_look(output: Output, report: Report, sent: list[int]) -> None:
    """Print the report of a dry run; `sent` is when each message was sent, in milliseconds since 1970."""
    sample = report.sample
    assert sample is not None  # a dry run that wasn't rejected has one
    output.text(f"{report.dlq}: about {messages(report.counts.remaining)}", style="bold")
    if not sample.sampled:
        output.say(
            "None of them is visible now: they are in flight or delayed. Try again when they are back."
            if report.counts.remaining
            else "It is empty."
        )
        return
    looked_at = "all of them" if sample.complete else f"{sample.sampled:,} of them, so shares are estimates"
    output.text(f"Looked at {looked_at}. {_ages(report)}")
    if spark := _sparkline(sent):
        output.text(f"Sent: {spark}")
    output.text()
    print_groups(output, sample)
    # What needs a person comes first.
    problems_first = sorted(
        (group for group in sample.groups if group.example), key=lambda group: group.verdict == "redrivable"
    )
    if problems_first and (example := problems_first[0].example):
        output.text()
        output.text(f"One that is {verdict_of(problems_first[0])}, masked:", style="bold")
        output.text(json.dumps(example.body, ensure_ascii=False))
    for sentence in sample.explanations:
        output.warn(sentence)


def _ages(report: Report) -> str:
    sample = report.sample
    if sample is None or sample.oldest_sent_at is None or sample.newest_sent_at is None:
        return ""
    now = report.finished_at
    oldest = ago((now - sample.oldest_sent_at).total_seconds())
    newest = ago((now - sample.newest_sent_at).total_seconds())
    expiring = f" SQS deletes {sample.near_expiry:,} of them within a day." if sample.near_expiry else ""
    span = oldest if newest == oldest else f"{newest} to {oldest}"
    return f"Sent {span} ago.{expiring}"


def advise(output: Output, report: Report, options: list[str], *, full: bool) -> None:
    """Suggest what to read and run next. `options` are this look's options that the next command needs, too."""
    sample = report.sample
    if sample is None or not sample.sampled:
        return
    output.say("")
    if sample.quarantined or sample.skipped:
        output.say(REASONS)
    if sample.fifo_groups and not sample.complete:
        output.say(
            "SQS returns no more of a FIFO group while one of its messages is in flight, so not all can be seen."
        )
    elif not sample.complete and not full:
        output.say(f"Look at all of them: {again(redrive_command('look', str(report.dlq), *options, '--full'))}")
    else:
        output.say(f"See what a run would do: {again(redrive_command('plan', str(report.dlq), *options))}")


def arrivals(sent: list[int]) -> dict[str, Any] | None:
    """Return when messages were sent, as counts in equal spans of time."""
    if not sent:
        return None
    first, last = min(sent), max(sent)
    counts = _counts(sent, first, last)
    return {"from": first, "to": last, "counts": counts}


def _counts(sent: list[int], first: int, last: int) -> list[int]:
    counts = [0] * _COLUMNS
    for each in sent:
        counts[min(_COLUMNS - 1, (each - first) * _COLUMNS // max(1, last - first))] += 1
    return counts


def _sparkline(sent: list[int]) -> str:
    """Return the arrivals as a line of bars, or nothing if there is too little to see."""
    if len(sent) < 2 or max(sent) - min(sent) < 1000:
        return ""
    first, last = min(sent), max(sent)
    form = "%H:%M:%S" if last - first < 86_400_000 else "%b %d %H:%M"
    start, end = (datetime.fromtimestamp(each / 1000, UTC).astimezone() for each in (first, last))
    return f"{start:{form}} {bars(_counts(sent, first, last))} {end:{form}} {end:%Z}"
