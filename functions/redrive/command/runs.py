"""`redrive runs`: the runs on a queue, or of a whole stack, one row per run, newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.adapters.stack import find_stack
from redrive.adapters.stack_runs import DAYS, StackRuns
from redrive.command.output import Output
from redrive.command.refusals import did_you_mean
from redrive.command.shared import again, shared, subject, with_stack
from redrive.domain.names import short_name
from redrive.domain.plain_text import redrive_command
from redrive.domain.runs.record import RunRecord

_MOST = 20
# Terminal widths, in columns, below which the table leaves columns out.
_WIDE, _NARROW = 100, 60


@click.command("runs", short_help="List runs of a stack, newest first.")
@subject("queue", required=False)
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Only runs that started on this day in UTC, such as 2026-11-29.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=_MOST, help=f"List at most this many runs. Default: {_MOST}."
)
@with_stack
@shared
@click.pass_obj
def command(output: Output, *, queue: str | None, day: datetime | None, limit: int, stack_name: str) -> None:
    """List the runs on a QUEUE (name, ARN, or URL), or of the whole stack, newest first.

    Who started a run, and why, comes from the run's input.
    """
    account = Account(output.profile, output.region)
    stack = find_stack(account, stack_name)
    runs = StackRuns(account, stack)
    name = None if queue is None else short_name(queue)
    on = day.date() if day else None
    if name is not None:
        found = runs.records.of_queue(name, limit, on)
    elif on is not None:
        found = runs.records.of_day(on, limit)
    else:
        found = runs.latest(limit, datetime.now(UTC))
    statuses = [status or "UNKNOWN" for status in runs.statuses_of(found)]
    if output.as_json:
        output.document(runs=[_document(record, status) for record, status in zip(found, statuses, strict=True)])
        return
    if not found:
        where = f"on {name}" if name else f"in the stack {stack.name}"
        days = stack.parameters.get("RecordDays", "90")
        when = f"that started on {on} (UTC)" if on else f"from the last {days if name else min(int(days), DAYS)} days"
        meant = did_you_mean(name, runs.names()) if name else ""
        output.say(f"There is no record of a run {where} {when}.{meant}")
        return
    _print(output, found, statuses, with_queue=name is None)
    output.say("")
    output.say(f"See one: {again(redrive_command('report', found[0].run_id))}")
    if len(found) == limit:
        output.say("There may be more. Pass a higher --limit, a --day, or a queue.")
    elif name is None and on is None and int(stack.parameters.get("RecordDays", "90")) > DAYS:
        output.say(f"These runs are from the last {DAYS} days. Pass a --day or a queue for earlier ones.")


def _print(output: Output, records: list[RunRecord], statuses: list[str], *, with_queue: bool) -> None:
    width = output.console.width
    started = [record.started_at.astimezone() for record in records]
    # With daylight saving time, runs in summer and winter have different zones.
    zones = {f"{time:%Z}" for time in started}
    form = "%Y-%m-%d %H:%M" if len(zones) == 1 else "%Y-%m-%d %H:%M %Z"
    titles = [
        f"STARTED ({zones.pop()})" if len(zones) == 1 else "STARTED",
        *(["QUEUE"] if with_queue else []),
        "RUN",
        "STATUS",
    ]
    titles += ["REDRIVEN", "LEFT"] if width >= _NARROW else []
    titles += ["QUARANTINED", "BY", "BECAUSE"] if width >= _WIDE else []
    rows = []
    for record, status, time in zip(records, statuses, started, strict=True):
        cells = {
            titles[0]: f"{time:{form}}",
            "QUEUE": record.dlq or "",
            "RUN": record.run_id,
            "STATUS": status,
            "REDRIVEN": f"{record.counts.redriven:,}",
            "LEFT": f"{record.counts.remaining:,}",
            "QUARANTINED": f"{record.counts.quarantined:,}" if record.counts.quarantined else "",
            "BY": _short(record.started_by or ""),
            "BECAUSE": record.because or "",
        }
        rows.append([cells[title] for title in titles])
    numbers = [titles.index(title) for title in ("REDRIVEN", "LEFT", "QUARANTINED") if title in titles]
    output.table(titles, rows, numbers=numbers)


def _short(started_by: str) -> str:
    """Return the session or user name if `startedBy` is an ARN, and the text itself otherwise."""
    return re.split("[:/]", started_by)[-1] if started_by.startswith("arn:") else started_by


def _document(record: RunRecord, status: str) -> dict[str, Any]:
    kept = ("executionArn", "dlq", "startedAt", "updatedAt", "because", "startedBy", "counts")
    found = record.as_json()
    return {"run": record.run_id, "status": status} | {key: found[key] for key in kept}
