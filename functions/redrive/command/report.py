"""`redrive report`: what a run of a stack did, who started it, and why, from its record in the runs table."""

from __future__ import annotations

import json
from typing import NamedTuple, NoReturn

import click
from pydantic import ValidationError

from redrive.adapters.account import Account
from redrive.adapters.error_codes import DENIED, error_code
from redrive.adapters.stack import Stack, find_stack
from redrive.adapters.stack_runs import Execution, StackRuns
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output, moment
from redrive.command.page_file import with_page, write_page
from redrive.command.refusals import did_you_mean
from redrive.command.report_text import print_facts, print_report, record_facts
from redrive.command.shared import again, shared, subject, with_stack
from redrive.command.watching import report_in
from redrive.domain.names import display_name, short_name
from redrive.domain.plain_text import redrive_command
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.report import Report


class _Found(NamedTuple):
    """What is known about a run: its record, or else its execution, or both if the record has no report."""

    record: RunRecord | None
    execution: Execution | None
    #: These credentials may not read the execution.
    denied: bool = False


@click.command("report", short_help="Show what a run did, who started it, and why.")
@subject("run")
@with_page
@with_stack
@shared
@click.pass_obj
def command(output: Output, *, run: str, page: str | None, stack_name: str) -> None:
    """Show what a RUN did (its ID, its execution's ARN, or a queue for its latest run), who started it, and why.

    Who started it comes from the run's input. Without a record, shows the report that Step Functions keeps for 90 days
    after the run.
    """
    account = Account(output.profile, output.region)
    stack = find_stack(account, stack_name)
    found = _find(StackRuns(account, stack), run)
    stored = found.record.report if found.record else None
    # The JSON has it as it was written, even if this version can't read it.
    report = None if output.as_json and page is None and stored is not None else _report_of(found)
    if report is not None:
        write_page(output, page, report, found.record)
    elif page is not None:
        known = ", as far as these credentials can tell" if found.denied else ""
        raise CommandError(
            f"--html: this run has no report{known}, so it has no page. Leave out --html to see the rest."
        )
    if output.as_json:
        output.document(
            record=found.record.as_json() if found.record else None,
            report=json.loads(report.model_dump_json()) if stored is None and report is not None else stored,
            execution=found.execution.status if found.execution else None,
        )
    elif report is None:
        _print_unfinished(output, found)
    else:
        print_report(output, report, record=found.record, given=found.execution.given if found.execution else None)
    _say_source(output, found, report, stack)


def _find(runs: StackRuns, text: str) -> _Found:
    """Find the run with that id or ARN, or else the latest run on the queue of that name.

    An execution that continues a run leads to that run.

    Raises
    ------
    CommandError
        If there is none.
    """
    name = short_name(text)
    arn = runs.stack.execution_arn(name)
    if ":states:" in text and text != arn:
        raise CommandError(
            f"{text} isn't an execution of the stack {runs.stack.name}. Expected one such as "
            f"{runs.stack.execution_arn('RUN')}. Name the stack of the run with --stack.",
            Exit.USAGE,
        )
    denial: Exception | None = None
    try:
        found = _named(runs, name)
    except Exception as error:
        if error_code(error) not in DENIED:
            raise
        # Without a record of that name, it may be a queue.
        found, denial = None, error
    if found is not None and found.execution is not None and found.record is None and found.execution.continues:
        found = _named(runs, found.execution.continues) or found
    if found is None and (latest := runs.records.of_queue(name, 1)):
        found = _recorded(runs, latest[0])
    if found is None:
        raise denial or _unknown(runs, name)
    return found


def _named(runs: StackRuns, name: str) -> _Found | None:
    """Find the run with that id; None if there is none."""
    record = runs.records.find(display_name(name))
    if record is not None:
        return _recorded(runs, record)
    execution = runs.described(runs.stack.execution_arn(name))
    return None if execution is None else _Found(None, execution)


def _recorded(runs: StackRuns, record: RunRecord) -> _Found:
    if record.report is not None:
        return _Found(record, None)
    try:
        return _Found(record, runs.described(record.known_as))
    except Exception as error:
        if error_code(error) not in DENIED:
            raise
        return _Found(record, None, denied=True)


def _unknown(runs: StackRuns, name: str) -> CommandError:
    """Return the error for a name that is neither a run nor a queue with runs."""
    days = runs.stack.parameters.get("RecordDays", "90")
    return CommandError(
        f"The stack {runs.stack.name} has no run {name}, and no run on a queue of that name. Records are kept for "
        f"{days} days, and Step Functions keeps executions for 90.{did_you_mean(name, runs.names())} "
        f"List runs: {again('redrive runs')}"
    )


def _report_of(found: _Found) -> Report | None:
    """Return the report of a run; None if the run is in progress or ended without a report."""
    if found.record is not None and found.record.report is not None:
        try:
            return Report.as_far_as_readable(found.record.report, Report.from_json_object)
        except ValidationError:
            raise CommandError(
                f"The report of {found.record.run_id} was written by another version of sqs-redrive, and this "
                "version can't show it. Pass --json to see it as it is."
            ) from None
    return report_in(found.execution) if found.execution and not found.execution.is_on else None


def _print_unfinished(output: Output, found: _Found) -> None:
    """Print what is known about a run that is in progress or ended without a report."""
    record, execution, denied = found
    if record is None:
        assert execution is not None  # one of the two is known
        _no_report(execution)
    status = f"ended without a report ({execution.status if execution else 'unknown'})"
    if execution is not None and execution.is_on:
        status = "RUNNING"
    elif denied:
        status = "UNKNOWN"
    output.text(f"Redrive of {record.dlq or 'an unnamed queue'}: {status}", style="bold")
    counts = record.counts
    print_facts(
        output,
        [
            ("Run", record.run_id),
            ("Started", moment(record.started_at)),
            *record_facts(record),
            ("So far", f"{counts.redriven:,} redriven, {counts.quarantined:,} quarantined, {counts.skipped:,} skipped"),
            ("As of", moment(record.updated_at)),
        ],
    )
    output.say("")
    if execution is not None and execution.is_on:
        output.say(f"Watch it: {again(redrive_command('watch', execution.reference))}")
    elif not denied:
        output.say(
            "Messages that it didn't move are still in the queue, but may be invisible. Start another run, which makes "
            f"them visible again: {again(redrive_command('start', record.dlq or 'QUEUE'))}"
        )


def _no_report(execution: Execution) -> NoReturn:
    if execution.is_on:
        watch = again(redrive_command("watch", execution.reference))
        raise CommandError(
            f"The run {execution.run_id} is in progress, and has no report or record yet. Watch it: {watch}"
        )
    raise CommandError(
        f"The run {execution.run_id} has no record, and its execution ended without a report: {execution.status}. "
        "Messages that it didn't move are still in the queue."
    )


def _say_source(output: Output, found: _Found, report: Report | None, stack: Stack) -> None:
    if found.denied:
        output.warn(
            "These credentials don't allow states:DescribeExecution, so it isn't known whether this run is in progress "
            "or has ended. This is what its record says. Ask for that permission on the executions of the stack "
            f"{stack.name}."
        )
    if found.record is None:
        days = stack.parameters.get("RecordDays", "90")
        output.warn(
            f"There is no record of this run, perhaps because it is older than {days} days (RecordDays). This is the "
            "report that Step Functions has. The input of its execution may say who started it, and why."
        )
    elif found.record.report is None and report is not None:
        output.warn("The record of this run has no report, so this is the one that Step Functions has.")
    if found.record is not None and found.record.cut:
        output.warn(f"Too large for the record: {', '.join(found.record.cut)}")
