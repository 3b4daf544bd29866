"""`redrive start`: shows what a run of a stack would do, asks, and starts it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.adapters.contract_store import ContractStore
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.stack import Judging, Stack, find_stack, judging_of
from redrive.adapters.stack_runs import Execution, StackRuns
from redrive.command.confirm import check_terminal, confirm
from redrive.command.dry_run import Deployment, dry_run
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output, moment
from redrive.command.plan_text import print_plan
from redrive.command.refusals import find_dlq
from redrive.command.run_options import read_input, started_by, with_input
from redrive.command.shared import again, shared, subject, with_stack
from redrive.command.watching import Watch, show_end
from redrive.contracts.contract import MessageContract
from redrive.contracts.registry import PYTHON
from redrive.domain.errors import RejectedError, UnavailableError
from redrive.domain.messages.destinations import DeliveryPolicy, unqualified
from redrive.domain.plain_text import redrive_command
from redrive.domain.plan.input_options import STARTED_BY

# Step Functions API reference, StartExecution: up to 80 characters, of which these are safe everywhere.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MAX_QUEUE_IN_NAME = 50


@click.command("start", short_help="Start a run in a stack, after showing its plan.")
@subject("queue", required=False)
@with_input
@click.option("--name", metavar="RUN", help="ID of the run. Default: the queue's name and the time.")
@click.option("--yes", "-y", is_flag=True, help="Start without asking. Required without a terminal.")
@click.option("--watch", "-w", "watched", is_flag=True, help="Show the run's progress, and its report at the end.")
@with_stack
@shared
@click.pass_obj
def command(
    output: Output,
    /,
    *,
    queue: str | None,
    file: str | None,
    name: str | None,
    yes: bool,
    watched: bool,
    stack_name: str,
    **options: Any,
) -> int:
    """Start a run on the dead-letter QUEUE (name, ARN, or URL) in a stack.

    Shows the plan first, and asks for confirmation. If nothing is selected or limited, type the queue's name to
    confirm. A dry run moves nothing, so it starts at once and shows its report.
    """
    given = read_input(queue, file, options)
    dry = bool(given.get("dryRun"))
    asks = not (yes or dry)
    if asks:
        check_terminal(file)
    if name is not None and not _NAME.fullmatch(name):
        raise click.UsageError("--name: expected 1 to 80 letters, digits, hyphens, and underscores.")
    account = Account(output.profile, output.region)
    account.use()
    stack = find_stack(account, stack_name)
    runs = StackRuns(account, stack)
    dlq = _free_queue(account, runs, given)
    _check_reason(stack, given)
    if asks or not (dry or output.quiet):
        _show_plan(account, stack, output, given)
    if asks:
        confirm(dlq, given)
    made = f"{dlq.removesuffix('.fifo')[:_MAX_QUEUE_IN_NAME]}-{_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    arn = runs.start(name or made, given | started_by(account, given), is_new=name is None)
    name = name or made
    started = Execution(arn, name, "RUNNING", _now(), given, None, None)
    watch = Watch(output, account, runs)
    output.say(f"Started the run {name}.")
    if watched or dry or watch.has_ended_early(started):
        ended, report = watch.until_ended(started)
        return show_end(output, name, ended, report)
    if output.as_json:
        output.document(run=name, executionArn=arn)
    else:
        output.text(name)
    output.say(f"Watch it: {again(redrive_command('watch', name))}  Stop it: {again(redrive_command('stop', name))}")
    return Exit.DONE


def _free_queue(account: Account, runs: StackRuns, given: Mapping[str, Any]) -> str:
    """Return the name of the queue, on which no run is on.

    Raises
    ------
    CommandError
        If there is no such queue, or another run holds it.
    """
    queue = find_dlq(account, str(given["dlq"]))
    lock = runs.holder(queue.arn)
    holder = None if lock is None else runs.described(lock.execution_arn)
    if lock is not None and holder is not None and holder.is_on:
        who = holder.given.get(STARTED_BY)
        by = f" by {who}" if isinstance(who, str) else ""
        watch, stop = (again(redrive_command(verb, holder.reference)) for verb in ("watch", "stop"))
        raise CommandError(
            f"The run {lock.run_id}, started{by} at {moment(lock.started_at)}, is moving messages of {queue.name}. "
            f"Nothing was started. Watch it: {watch}  Stop it: {stop}",
            Exit.REJECTED,
        )
    return queue.name


def _check_reason(stack: Stack, given: Mapping[str, Any]) -> None:
    if stack.parameters.get("RequireReason") == "true" and "because" not in given and not given.get("dryRun"):
        raise click.UsageError(f"The stack {stack.name} requires a reason for every run. Pass --because TEXT.")


def _show_plan(account: Account, stack: Stack, output: Output, given: Mapping[str, Any]) -> None:
    known = judging_of(account, stack)
    if known is None:
        output.warn(
            "These credentials don't allow lambda:GetFunctionConfiguration or cloudformation:DescribeStackResource, so "
            "this plan doesn't know all contracts of the stack, nor what its earlier runs wrote into messages."
        )
    judging = known or Judging(stack.parameters.get("QueueContracts", ""), frozenset(), frozenset())
    store = ContractStore(judging.contracts, stack.account_id)
    unread: set[str] = set()

    def find_contract(name: str) -> MessageContract | None:
        try:
            return store.find(name)
        except (RejectedError, UnavailableError):
            if name not in unread:
                dry_run_there = again(redrive_command("start", given["dlq"], "--dry-run"))
                output.warn(
                    f"The contract of {name} {_why_unread(store, name)}, so this plan judges its messages without it. "
                    f"To let the stack judge them, without moving any: {dry_run_there}"
                )
            unread.add(name)
            return None

    deployment = Deployment(
        quarantine_arn=stack.quarantine_url,
        facts=MessageFacts(stack.run_table, account.client("dynamodb")),
        delivery_policy=DeliveryPolicy(frozenset(map(unqualified, judging.destinations))),
        movers=judging.movers,
    )
    try:
        report = dry_run(account, given, output, find_contract=find_contract, deployment=deployment)
    except RejectedError as error:
        if known is not None:
            raise
        output.talk.text(f"There is no plan, because without that knowledge, a run would be rejected: {error}")
        return
    print_plan(output.talk, report, given)
    output.say("")


def _why_unread(store: ContractStore, name: str) -> str:
    with suppress(RejectedError, UnavailableError):
        if (store.mapping().location(name) or "").startswith(PYTHON):
            return "is Python code that only the stack has"
    return "can't be read here"


def _now() -> datetime:
    return datetime.now(UTC)
