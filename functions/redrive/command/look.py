"""`redrive look`: what is in a dead-letter queue, as the dry run of a stack would show it, without a stack.

Plays the plan's and the sample's steps in this process, with the operator's credentials. Moves nothing and keeps
nothing; messages become visible again at once.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.sqs import Queues
from redrive.command.contract_files import Contracts, read_contracts, with_contracts
from redrive.command.exits import CommandError, Exit
from redrive.command.look_text import arrivals, print_look
from redrive.command.output import Output
from redrive.command.report_text import exit_of
from redrive.command.shared import shared
from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.plan.planning import check_contracts, plan_run
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.run_plan import Execution
from redrive.domain.runs.report import Report, make_report
from redrive.workflow.ports import Peek
from redrive.workflow.sample import sample

_SAMPLE = 100
# A full scan of 120,000 messages takes a minute.
_SECONDS = 300.0
_PROGRESS_EVERY = 1_000


@click.command("look", short_help="Show what is in a dead-letter queue, without moving anything.")
@click.argument("queue")
@click.option(
    "--sample",
    "size",
    type=click.IntRange(1, 1000),
    help=f"Messages to look at. Default: {_SAMPLE}.",
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

    Nothing is moved, and no message's content is shown. Receive counts rise by one.
    """
    if full and size is not None:
        raise click.UsageError("--full looks at all messages and --sample at some. Pass one of them.")
    if not queue:
        raise click.UsageError("Expected the name, ARN, or URL of a queue, found an empty text.")
    known = Contracts(read_contracts(contracts))
    account = Account(output.profile, output.region)
    account.use()
    given: dict[str, Any] = {"dlq": queue, "dryRun": True}
    given |= {"fullScan": True} if full else {"sampleSize": size or _SAMPLE}
    given |= {"destination": destination} if destination is not None else {}
    sent: list[int] = []
    report = _looked(account, given, known.find, output, sent)
    if output.as_json:
        output.document(report=json.loads(report.model_dump_json()), arrivals=arrivals(sent))
    else:
        print_look(output, report, sent, full=full)
    for name in sorted(known.unused):
        output.say(f"No message would go to {name}, so its contract wasn't used.")
    return exit_of(report)


def _looked(
    account: Account,
    given: dict[str, Any],
    find_contract: Callable[[str], MessageContract | None],
    output: Output,
    sent: list[int],
) -> Report:
    """Return the report of a dry run in this process; `sent` gets when each message was sent, in milliseconds."""
    now = datetime.now(UTC)
    execution = Execution(id="", name=f"look-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", started_at=now)
    queues = _Watched(account.queues, output, sent)
    try:
        plan = plan_run(parse_request(given), execution, queues, quarantine_arn=None)
    except RejectedError as error:
        raise CommandError(_in_a_terminal(account, given["dlq"], str(error)), Exit.REJECTED) from None
    check_contracts(plan, find_contract)
    errors: list[str] = []
    found = sample(
        plan,
        queues=queues,
        facts=_NoFacts(),
        find_contract=find_contract,
        delivery_policy=DeliveryPolicy(frozenset()),
        confirm=FailureDestinations().confirm,
        movers=frozenset(),
        log_error=lambda message_id, error: errors.append(f"{message_id}: {error}"),
        seconds=_SECONDS,
        retries=0,
        pause=time.sleep,
        now=lambda: datetime.now(UTC),
    )
    for text in errors[:10]:
        output.say(f"Message {text} (unexpected error)")
    facts = account.queues.readable_facts(plan.dlq)
    return make_report(
        given=given,
        execution=execution,
        plan=plan,
        sample=found,
        tally=None,
        error=None,
        queue=facts.counts if facts else None,
        in_next_queue=None,
        now=datetime.now(UTC),
    )


class _NoFacts:
    """There is no runs table: nothing is known of what earlier runs did."""

    def recall(self, _ids: Iterable[str]) -> Mapping[str, str]:
        return {}

    def record(self, _provenance_by_id: Mapping[str, str]) -> None:
        raise NotImplementedError("nothing is moved")


class _Watched:
    """The queues, with progress while messages are peeked at, and when each was sent."""

    def __init__(self, queues: Queues, output: Output, sent: list[int]) -> None:
        self._queues = queues
        self._output = output
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages, each once; all are visible again at the end."""
        for message in self._queues.peek(peek, seconds):
            self._sent.append(int(message["Attributes"]["SentTimestamp"]))
            if len(self._sent) % _PROGRESS_EVERY == 0:
                self._output.say(f"{len(self._sent):,} messages looked at ...")
            yield message


def _in_a_terminal(account: Account, given: str, error: str) -> str:
    """Return why the plan refuses a queue, with what to do in a terminal instead of in the input of a run."""
    if "there is no queue" in error:
        names = account.names()
        near = get_close_matches(given.rsplit("/", 1)[-1].rsplit(":", 1)[-1], names, n=3, cutoff=0.5)
        nearest = f" The nearest: {', '.join(near)}." if near else ""
        return f"There is no queue {given} in {account.region}.{nearest} List them: redrive queues --all"
    if found := re.search(r'Start (?:the|a) run with \{"dlq": "([^"]+)"\}', error):
        sentence = error[: found.start()].removeprefix("dlq: ").strip()
        return f"{sentence} Look into that one: redrive look {found[1]}"
    if found := re.search(r", where this app is deployed, found (\S+) in ((the account )?\S+)\. Deploy", error):
        there = "a --profile of that account" if found[3] else f"--region {found[2]}"
        return f"{found[1]} is in {found[2]}. Pass {there}."
    return error.removeprefix("dlq: ")
