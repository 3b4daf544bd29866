"""`redrive plan`: what a run with these options would do, without a stack, and without moving anything."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.command.contract_files import Contracts, contract_options, read_contracts, with_contracts
from redrive.command.dry_run import dry_run
from redrive.command.output import Output
from redrive.command.plan_text import print_plan, seconds_needed
from redrive.command.report_text import exit_of
from redrive.command.run_options import read_input, with_input
from redrive.command.shared import again, shared, subject
from redrive.domain.plain_text import redrive_command
from redrive.domain.plan.input_options import as_options


@click.command("plan", short_help="Show what a run would do, without moving anything.")
@subject("queue", required=False)
@partial(with_input, shows_dry_run=False)
@with_contracts
@shared
@click.pass_obj
def command(
    output: Output, /, *, queue: str | None, file: str | None, contracts: tuple[str, ...], **options: Any
) -> int:
    """Show what a run on the dead-letter QUEUE (name, ARN, or URL) would do with these options: the forecast.

    It takes the same options as `redrive start`, needs no stack, and moves nothing. Receive counts rise by one.
    """
    given = read_input(queue, file, options)
    known = Contracts(read_contracts(contracts))
    account = Account(output.profile, output.region)
    account.use()
    report = dry_run(account, given, output, find_contract=known.find)
    if output.as_json:
        output.document(input=given, report=report.model_dump(mode="json"), seconds=seconds_needed(report, given))
    else:
        print_plan(output, report, given)
    known.say_unused(output)
    output.say("")
    dlq, given_options = str(report.dlq), as_options({**given, "dryRun": False})
    start = again(redrive_command("start", dlq, *given_options))
    output.say(f"Start it in a stack: {start}")
    move = again(redrive_command("move", dlq, *given_options, *contract_options(contracts)))
    output.say(f"Or move the messages from this computer: {move}")
    return exit_of(report)
