"""`redrive move`: moves messages of a dead-letter queue from this process, without a stack.

Runs the steps of the state machine with the operator's credentials. Its state is in a local file, so an interrupted run
can be resumed.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.adapters.error_codes import DENIED, error_code
from redrive.adapters.local_runs import LivingRun, execution_id, outcome, unfinished
from redrive.adapters.local_table import LocalTable
from redrive.adapters.quarantine_queue import NAME, create_quarantine
from redrive.adapters.stack import find_stacks
from redrive.command.confirm import check_terminal, confirm
from redrive.command.contract_files import Contracts, read_contracts, with_contracts
from redrive.command.display import Display
from redrive.command.dry_run import Deployment, dry_run
from redrive.command.exits import CommandError, Exit
from redrive.command.interrupts import Interrupts
from redrive.command.local_run import LocalRun, trusted_in
from redrive.command.move_progress import MoveProgress
from redrive.command.output import Output, ago, moment
from redrive.command.page_file import with_page, write_page
from redrive.command.plan_text import print_plan, seconds_needed
from redrive.command.refusals import find_dlq
from redrive.command.report_text import exit_of, print_report
from redrive.command.run_options import read_input, started_by, with_input
from redrive.command.shared import again, shared, subject, with_stack
from redrive.domain.errors import RedriveError, RejectedError, StateFileError, SuspendedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plain_text import redrive_command, shell_word
from redrive.domain.plan.directories import find_queue
from redrive.domain.plan.request import OnInvalid, parse_request
from redrive.domain.plan.run_plan import Execution
from redrive.domain.runs.record import final_record
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import LANE_MESSAGES, LANE_RATE
from redrive.workflow.whole_run import ContractFile, RunState

# Seconds of a run from which on a stack is recommended.
_LONG = 900.0
_STACK = "A stack runs without this computer, and for a whole team."


@click.command("move", short_help="Move messages from this computer, without a stack.")
@subject("queue", required=False)
@click.option("--resume", is_flag=True, help="Resume the run on QUEUE that was interrupted on this computer.")
@click.option("--quarantine", metavar="QUEUE", help="Where invalid messages go. Without it, they stay.")
@click.option("--create-quarantine", "creates", is_flag=True, help=f"Send them to the queue {NAME}, created if needed.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask before messages are moved.")
@click.option(
    "--state",
    "state_file",
    metavar="FILE",
    help="Where the run's state is kept. Default: redrive/runs.db in XDG_STATE_HOME, or in ~/.local/state.",
)
@with_page
@click.option("--without-stack", is_flag=True, help="Don't check whether a stack covers the queue.")
@with_contracts
@partial(with_input, shows_dry_run=False)
@with_stack
@shared
@click.pass_obj
def command(
    output: Output,
    /,
    *,
    queue: str | None,
    file: str | None,
    resume: bool,
    quarantine: str | None,
    creates: bool,
    yes: bool,
    state_file: str | None,
    page: str | None,
    without_stack: bool,
    stack_name: str,
    contracts: tuple[str, ...],
    **options: Any,
) -> int:
    """Move messages of the dead-letter QUEUE (name, ARN, or URL) from this computer: sampled, judged, and throttled.

    It runs the same steps as a stack and keeps its state in a local file. Ctrl-C stops it at the next safe point. If
    anything else interrupts a run, resume it with --resume.
    """
    if quarantine is not None and creates:
        raise click.UsageError("Pass --quarantine or --create-quarantine, not both.")
    place = Path(state_file) if state_file else default_state_file()
    if resume:
        if file or quarantine or creates or contracts or any(options.values()):
            raise click.UsageError("A resumed run keeps its options, so pass none of them with --resume.")
        if queue is None:
            raise click.UsageError(f"Name the queue whose run to resume: {again('redrive move QUEUE --resume')}")
        return _show(output, _resume(_account(output), queue, _opened(place), output), page)
    given = read_input(queue, file, options)
    if not yes:
        check_terminal(file)
    if given.get("dryRun"):
        raise click.UsageError(f"move moves messages. To see what it would do: {again('redrive plan')}")
    files = read_contracts(contracts)
    account, table = _account(output), _opened(place)
    dlq = find_dlq(account, given["dlq"])
    _say_earlier(output, table, dlq)
    if not without_stack:
        _check_stack(account, stack_name, dlq, output)
    target = _quarantine(account, dlq, quarantine, output)
    if target is None and not creates:
        _leave_invalid(given, output)
    report = dry_run(
        account,
        given,
        output,
        find_contract=Contracts(files).find,
        deployment=Deployment(
            quarantine_arn=target.arn if target else None,
            delivery_policy=trusted_in(parse_request(given)),
            movers=frozenset({account.caller().user_id}),
        ),
    )
    print_plan(output.talk, report, given)
    _recommend_stack(output, report, given)
    if not yes:
        if creates:
            output.say(f"Invalid messages go to {NAME}, which is created if it isn't there: encrypted, for 14 days.")
        confirm(dlq.name, given)
    if creates:
        target = create_quarantine(account)
    return _show(output, _play(account, table, _begun(account, given, files, target), output), page)


def _account(output: Output) -> Account:
    account = Account(output.profile, output.region)
    account.use()
    return account


def _opened(file: Path) -> LocalTable:
    """Return the state file, which is closed when the command ends."""
    return click.get_current_context().with_resource(closing(LocalTable(file)))


def default_state_file() -> Path:
    """Return where the state of runs is kept (XDG Base Directory Specification, "Environment variables")."""
    home = os.environ.get("XDG_STATE_HOME", "")
    # A relative path there is to be ignored.
    folder = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return folder / "redrive" / "runs.db"


def _say_earlier(output: Output, table: LocalTable, dlq: QueueRef) -> None:
    """If another run was interrupted, say what it did, because nobody gets its report.

    Raises
    ------
    CommandError
        If it is in progress.
    """
    earlier = unfinished(table, dlq.arn)
    if earlier is None:
        return
    if LivingRun(table.file, earlier.run_id).is_alive:
        raise CommandError(
            f"The run {earlier.run_id} is moving messages of {dlq.name}, in another terminal on this computer. Nothing "
            "was started.",
            Exit.REJECTED,
        )
    done = outcome(table, earlier)
    twice = f", and up to {done.duplicates_possible:,} may arrive twice" if done.duplicates_possible else ""
    output.warn(
        f"The run {earlier.run_id} was interrupted: {done.counts.moved:,} messages are known to have moved{twice}. "
        f"This run replaces it. To resume that one instead: {again(redrive_command('move', dlq.name, '--resume'))}"
    )


def _check_stack(account: Account, name: str, dlq: QueueRef, output: Output) -> None:
    """Check that no stack covers the queue, whose lock and shares of max rates this process doesn't know."""
    try:
        stacks = find_stacks(account, name)
    except Exception as error:
        if error_code(error) not in DENIED:
            raise
        raise CommandError(
            f"These credentials don't allow cloudformation:DescribeStacks, so it isn't known whether a stack covers "
            f"{dlq.name}. If none does, pass --without-stack."
        ) from None
    for stack in stacks:
        if stack.covers(dlq.name):
            start = again(redrive_command("start", dlq.name), replace(output, stack=stack.name))
            raise CommandError(
                f"The stack {stack.name} covers {dlq.name}. move doesn't see that stack's runs, and together they "
                f"could exceed max rates. Start a run there: {start}",
                Exit.REJECTED,
            )


def _quarantine(account: Account, dlq: QueueRef, name: str | None, output: Output) -> QueueRef | None:
    """Return the queue where invalid messages go, if the operator names one that fits."""
    if name is None:
        return None
    try:
        found = find_queue(account.queues, name, "--quarantine")
    except RejectedError as error:
        raise CommandError(str(error), Exit.REJECTED) from None
    if found.fifo:
        raise CommandError(
            f"{found.name} is a FIFO queue. Expected a standard queue as quarantine, also for messages of FIFO queues: "
            "nothing consumes them there, and their group is kept.",
            Exit.REJECTED,
        )
    if found.arn in {source.arn for source in account.queues.sources(dlq)}:
        raise CommandError(
            f"Messages of {found.name} go to {dlq.name} when they fail, so its consumer would receive the invalid ones "
            "again. Name a queue without a consumer, or pass --create-quarantine.",
            Exit.REJECTED,
        )
    days = account.queues.facts(found).retention / 86_400
    if days < 14:
        output.warn(f"{found.name} keeps messages for {days:g} days only. SQS allows 14.")
    return found


def _leave_invalid(given: dict[str, Any], output: Output) -> None:
    """Let the run leave invalid messages where they are, because there is nowhere to send them."""
    if given.get("onInvalid") == OnInvalid.QUARANTINE:
        raise CommandError(
            "Expected a quarantine for --on-invalid quarantine, found none. Name one with --quarantine QUEUE, or pass "
            "--create-quarantine.",
            Exit.USAGE,
        )
    if "onInvalid" not in given:
        given["onInvalid"] = OnInvalid.LEAVE.value
        output.say(
            "Invalid messages stay where they are. To move them out of the way: --quarantine QUEUE, or "
            "--create-quarantine"
        )


def _recommend_stack(output: Output, report: Report, given: Mapping[str, Any]) -> None:
    seconds = seconds_needed(report, given)
    if seconds is not None and seconds > _LONG:
        output.say(f"This takes about {ago(seconds)}, and this computer must stay awake and signed in. {_STACK}")
    many = report.forecast is not None and report.forecast.messages > LANE_MESSAGES
    if many and (report.rate.requested or 0) > LANE_RATE:
        output.say(
            "One computer's speed depends on its processor and its distance to AWS. A stack spreads a run over up "
            "to 20 functions next to the queue."
        )


def _begun(
    account: Account, given: dict[str, Any], files: dict[str, ContractFile], quarantine: QueueRef | None
) -> RunState:
    """Return what is known of a run that begins now, by AWS's clock: what is sent from now on isn't moved."""
    given |= started_by(account, given)
    now = datetime.now(UTC) + account.caller().clock_error
    name = f"move-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return RunState(
        given=given,
        given_text=json.dumps(given),
        execution=Execution(id=execution_id(platform.node(), name), name=name, started_at=now),
        quarantine_arn=None if quarantine is None else quarantine.arn,
        contracts=files,
    )


def _resume(account: Account, queue: str, table: LocalTable, output: Output) -> RunState:
    dlq = find_dlq(account, queue)
    state = unfinished(table, dlq.arn)
    if state is None:
        raise CommandError(
            f"No run on {dlq.name} was interrupted on this computer, as far as {table.file} says. Start one: "
            f"{again(redrive_command('move', dlq.name))}",
            Exit.REJECTED,
        )
    output.say(f"Resuming the run {state.run_id}, started at {moment(state.execution.started_at)}.")
    return _play(account, table, state, output, resumed=True)


def _play(account: Account, table: LocalTable, state: RunState, output: Output, *, resumed: bool = False) -> RunState:
    """Play a run to its end, and return what is known of it then."""
    stop = Event()
    elsewhere = "" if table.file == default_state_file() else f" --state {shell_word(str(table.file))}"
    resume = again(redrive_command("move", _name_of(state), f"--resume{elsewhere}"))
    with Display(output) as display:
        run = LocalRun(account, table, state, output, stop=stop, progress=MoveProgress(display))
        living = LivingRun(table.file, state.run_id).take()
        try:
            with Interrupts(stop, output, resume):
                if resumed:
                    run.take_over(state)
                return run.whole.play(state, resumed=resumed)
        except (SuspendedError, StateFileError) as error:
            if isinstance(error, StateFileError):
                # AWS can be reached, so nothing has to wait for its timeout.
                with suppress(RedriveError):
                    run.suspend(state.run_id)
            raise CommandError(f"{error} Nothing is lost. Resume the run: {resume}") from None
        finally:
            run.runs.leave()
            living.end()


def _show(output: Output, ended: RunState, page: str | None) -> int:
    """Print the report of a run, write its page, and return the exit code."""
    report = ended.report
    assert report is not None  # the last state has made it
    if output.as_json:
        output.document(run=report.run_id, report=report.model_dump(mode="json"))
    else:
        print_report(output, report, given=ended.given)
    write_page(output, page, report, final_record(report, ended.plan, ended.tally, given=ended.given))
    return exit_of(report)


def _name_of(state: RunState) -> str:
    return state.plan.dlq.name if state.plan else str(state.given.get("dlq"))
