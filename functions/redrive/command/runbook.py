"""`redrive runbook`: a page for the engineer on call, generated from what's deployed around a dead-letter queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click
from click.core import ParameterSource

from redrive.adapters.account import Account
from redrive.adapters.consumers import ConsumerDirectory
from redrive.adapters.contract_store import ContractStore
from redrive.adapters.error_codes import DENIED, error_code
from redrive.adapters.stack import Stack, StackError, StackNotFoundError, find_stack, judging_of
from redrive.command.consumers_text import placed
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output
from redrive.command.refusals import find_dlq
from redrive.command.runbook_text import DESCRIBE_STACKS, Runbook
from redrive.command.shared import again, shared, subject, with_stack
from redrive.domain.errors import RejectedError, UnavailableError
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plain_text import redrive_command
from redrive.domain.plan.rates import declared_max_rate


@click.command("runbook", short_help="Print a runbook for a dead-letter queue, as Markdown.")
@subject("queue")
@with_stack
@shared
@click.pass_context
def command(context: click.Context, *, queue: str, stack_name: str) -> None:
    """Print a runbook for the dead-letter QUEUE (name, ARN, or URL) as Markdown, based on what's deployed.

    The page names the queue's owner (from its tags), its consumers with their settings and logs, the deadline, and the
    exact commands to look, redrive, and stop. Receives no messages.
    """
    output = context.ensure_object(Output)
    account = Account(output.profile, output.region)
    account.use()
    dlq = find_dlq(account, queue)
    sources = account.queues.sources(dlq)
    facts = account.queues.facts(dlq)
    if not sources and facts.has_redrive_policy:
        other = arn_name(facts.dead_letter_queue) or "QUEUE"
        there = again(redrive_command("runbook", other))
        raise CommandError(f"{dlq.name} isn't a dead-letter queue; it has one. Its runbook: {there}", Exit.REJECTED)
    # Others read the page later, in other environments.
    output.region, output.elsewhere = account.region, True
    directory = ConsumerDirectory(account)
    unread: set[str] = set()
    stack = _stack(context, account, stack_name, dlq, unread)
    page = str(
        Runbook(
            dlq=dlq,
            retention=facts.retention,
            tags=_tags(account, dlq, unread),
            consumed=placed(directory.of(sources)),
            max_rates={source.name: _max_rate(account, source, unread) for source in sources},
            contracts={} if stack is None else dict(_contracts(account, stack, sources)),
            stack=stack,
            unreadable=sorted(directory.unreadable | unread),
            made_at=datetime.now(UTC),
        )
    )
    if output.as_json:
        output.document(queue=dlq.name, markdown=page)
    else:
        click.echo(page, nl=False)
    output.say(
        f"Save it where your team keeps its runbooks: {again(redrive_command('runbook', dlq.name))} > {dlq.name}.md"
    )


def _stack(context: click.Context, account: Account, name: str, dlq: QueueRef, unread: set[str]) -> Stack | None:
    """Return the stack if it covers the queue and can be read; it must exist only if the operator named it."""
    output = context.ensure_object(Output)
    try:
        stack = find_stack(account, name)
    except StackNotFoundError:
        if context.get_parameter_source("stack_name") is not ParameterSource.DEFAULT:
            raise
        return None
    except StackError as error:
        output.warn(str(error))
        return None
    except Exception as error:
        if error_code(error) not in DENIED:
            raise
        unread.add(DESCRIBE_STACKS)
        output.warn(f"These credentials don't allow {DESCRIBE_STACKS}, so the page doesn't say what a stack does here.")
        return None
    if not stack.covers(dlq.name):
        output.warn(
            f"The stack {stack.name} doesn't cover {dlq.name}, so the page says how to redrive it without a stack."
        )
        return None
    return stack


def _tags(account: Account, queue: QueueRef, unread: set[str]) -> dict[str, str]:
    try:
        return account.queues.tags(queue)
    except RejectedError:
        unread.add("sqs:ListQueueTags")
        return {}


def _max_rate(account: Account, queue: QueueRef, unread: set[str]) -> float | None:
    try:
        return declared_max_rate(queue, _tags(account, queue, unread))
    except RejectedError as error:
        raise CommandError(str(error)) from None


def _contracts(account: Account, stack: Stack, sources: tuple[QueueRef, ...]) -> Iterator[tuple[str, str]]:
    judging = judging_of(account, stack)
    store = ContractStore("" if judging is None else judging.contracts, stack.account_id)
    try:
        mapping = store.mapping()
    except (RejectedError, UnavailableError):
        return
    for source in sources:
        if (location := mapping.location(source.name)) is not None:
            yield source.name, location
