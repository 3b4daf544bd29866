"""`redrive look`: what is in a dead-letter queue, as the dry run of a stack would show it, without a stack.

Plays the plan's and the sample's steps in this process, with the operator's credentials. Moves nothing and keeps
nothing; messages become visible again at once.
"""

from __future__ import annotations

from typing import Any

import click

from redrive.adapters.account import Account
from redrive.adapters.consumers import ConsumerDirectory
from redrive.command.consumers_text import placed, print_consumers
from redrive.command.contract_files import Contracts, contract_options, read_contracts, with_contracts
from redrive.command.dry_run import SAMPLE, Seen, dry_run
from redrive.command.look_text import advise, arrivals, print_look
from redrive.command.output import Output
from redrive.command.report_text import exit_of
from redrive.command.shared import shared, subject
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.plain_text import shell_word


@click.command("look", short_help="Show what is in a dead-letter queue, without moving anything.")
@subject("queue")
@click.option(
    "--sample",
    "size",
    type=click.IntRange(1, 1000),
    help=f"Messages to look at. Default: {SAMPLE}.",
)
@click.option("--full", is_flag=True, help="Look at all messages, up to 120,000.")
@click.option("--destination", metavar="QUEUE", help="Judge as if all messages went to this queue.")
@with_contracts
@shared
@click.pass_obj
def command(
    output: Output,
    *,
    queue: str,
    size: int | None,
    full: bool,
    destination: str | None,
    contracts: tuple[str, ...],
) -> int:
    """Show what is in the dead-letter QUEUE (name, ARN, or URL): groups, where they would go, and masked examples.

    Also lists the functions that consume the destination queues, and warns about settings that would hurt
    a redrive.

    Moves nothing and shows no message content. Receive counts rise by one.
    """
    if full and size is not None:
        raise click.UsageError("--full looks at all messages and --sample at some. Pass one of them.")
    known = Contracts(read_contracts(contracts))
    account = Account(output.profile, output.region)
    account.use()
    given: dict[str, Any] = {"dlq": queue}
    given |= {"fullScan": True} if full else {"sampleSize": size or SAMPLE}
    given |= {"destination": destination} if destination is not None else {}
    sent: list[int] = []
    receivers: dict[str, QueueAddress] = {}

    def note(seen: Seen) -> None:
        sent.append(seen.sent_at)
        if (receiver := seen.receiver) is not None:
            receivers.setdefault(receiver.arn, receiver)

    report = dry_run(
        account,
        given,
        output,
        find_contract=known.find,
        planned=lambda plan: receivers.update((queue.arn, queue) for queue in plan.receivers),
        seen=note,
    )
    directory = ConsumerDirectory(account)
    consumed = placed(directory.of(receivers.values()))
    if output.as_json:
        consumers = [queue.model_dump(mode="json") for queue in consumed]
        output.document(report=report.model_dump(mode="json"), arrivals=arrivals(sent), consumers=consumers)
    else:
        print_look(output, report, sent)
        print_consumers(output, consumed, directory.unreadable)
        to = [] if destination is None else [f"--destination {shell_word(destination)}"]
        advise(output, report, [*to, *contract_options(contracts)], full=full)
    known.say_unused(output)
    return exit_of(report)
