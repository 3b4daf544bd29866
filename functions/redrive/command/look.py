"""`redrive look`: what is in a dead-letter queue, as the dry run of a stack would show it, without a stack.

Plays the plan's and the sample's steps in this process, with the operator's credentials. Moves nothing and keeps
nothing; messages become visible again at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import click

from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output, ago
from redrive.command.shared import shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from redrive.adapters.account import Account
    from redrive.adapters.sqs import Queues
    from redrive.contracts.contract import MessageContract
    from redrive.domain.runs.report import Report
    from redrive.domain.sampling.sample import SampleGroup
    from redrive.workflow.ports import Peek

_SAMPLE = 100
# A full scan of 120,000 messages takes a minute.
_SECONDS = 300.0
_SIGNS = "▁▂▃▄▅▆▇█"
_COLUMNS = 48
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
@click.option(
    "--contract",
    "contracts",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A JSON Schema that valid messages match, for one queue or function, or for all. Can be repeated.",
)
@shared
@click.pass_obj
def command(  # noqa: PLR0917
    output: Output,
    queue: str,
    size: int | None,
    full: bool,
    destination: str | None,
    contracts: tuple[str, ...],
) -> int:
    """Show what is in the dead-letter QUEUE (name, ARN, or URL): groups, where they would go, and masked examples.

    Nothing is moved, and no message's content is shown. Receive counts rise by one.
    """
    from redrive.adapters.account import Account  # noqa: PLC0415

    if full and size is not None:
        raise click.UsageError("--full looks at all messages and --sample at some. Pass one of them.")
    if not queue:
        raise click.UsageError("Expected the name, ARN, or URL of a queue, found an empty text.")
    find_contract, unused = _contracts(contracts)
    account = Account(output.profile, output.region)
    account.use()
    given: dict[str, Any] = {"dlq": queue, "dryRun": True}
    given |= {"fullScan": True} if full else {"sampleSize": size or _SAMPLE}
    given |= {"destination": destination} if destination is not None else {}
    sent: list[int] = []
    report = _looked(account, given, find_contract, output, sent)
    if output.as_json:
        output.document(report=json.loads(report.model_dump_json()), arrivals=_arrivals(sent))
    else:
        _print(output, report, sent, full=full)
    for name in sorted(unused):
        output.say(f"No message would go to {name}, so its contract wasn't used.")
    sample = report.sample
    return Exit.LEFT if sample and (sample.quarantined or sample.skipped) else Exit.DONE


def _contracts(given: Iterable[str]) -> tuple[Callable[[str], MessageContract | None], set[str]]:
    """Return how to find a contract by the name of a queue or function, and the names that nobody asked for yet.

    Raises
    ------
    CommandError
        If a file can't be read or isn't a JSON Schema.
    """
    from pathlib import Path  # noqa: PLC0415

    from redrive.contracts.wildcards import matches  # noqa: PLC0415

    by_name: dict[str, MessageContract] = {}
    for text in given:
        name, sign, file = text.partition("=")
        by_name[name if sign else ""] = _contract(Path(file if sign else text))
    unused = by_name.keys() - {""}

    def find(name: str) -> MessageContract | None:
        # As in QueueContracts: an exact name takes precedence over a pattern.
        pattern = name if name in by_name else next((each for each in by_name if each and matches(each, name)), "")
        unused.discard(pattern)
        return by_name.get(pattern)

    return find, unused


def _contract(file: Path) -> MessageContract:
    from decimal import Decimal  # noqa: PLC0415

    from redrive.contracts.json_schema import SchemaContract  # noqa: PLC0415
    from redrive.contracts.schema_parts import InvalidSchemaError  # noqa: PLC0415

    try:
        return SchemaContract(file.name, json.loads(file.read_bytes(), parse_float=Decimal))
    except OSError as error:
        raise CommandError(f"--contract: {str(file)!r} can't be read: {error.strerror}.", Exit.USAGE) from None
    except InvalidSchemaError as error:
        raise CommandError(f"--contract: {file} isn't a JSON Schema that can be used: {error}", Exit.USAGE) from None
    except (ValueError, RecursionError):
        raise CommandError(f"--contract: expected a JSON Schema in {file}, found no JSON.", Exit.USAGE) from None


def _looked(
    account: Account,
    given: dict[str, Any],
    find_contract: Callable[[str], MessageContract | None],
    output: Output,
    sent: list[int],
) -> Report:
    """Return the report of a dry run in this process; `sent` gets when each message was sent, in milliseconds."""
    import secrets  # noqa: PLC0415
    import time  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from redrive.adapters.failure_destinations import FailureDestinations  # noqa: PLC0415
    from redrive.domain.errors import RejectedError  # noqa: PLC0415
    from redrive.domain.messages.destinations import DeliveryPolicy  # noqa: PLC0415
    from redrive.domain.plan.planning import check_contracts, plan_run  # noqa: PLC0415
    from redrive.domain.plan.request import parse_request  # noqa: PLC0415
    from redrive.domain.plan.run_plan import Execution  # noqa: PLC0415
    from redrive.domain.runs.report import make_report  # noqa: PLC0415
    from redrive.workflow.sample import sample  # noqa: PLC0415

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
    from difflib import get_close_matches  # noqa: PLC0415

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


def _print(output: Output, report: Report, sent: list[int], *, full: bool) -> None:
    sample = report.sample
    assert sample is not None  # a dry run that wasn't rejected has one
    output.text(f"{report.dlq}: about {report.counts.remaining:,} messages", style="bold")
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
    titles = ("SHARE", "VERDICT", "DESTINATION", "ERROR", "ENVELOPE", "CONTRACT")
    output.table(titles, [_row(group) for group in sample.groups], numbers=(0,))
    if sample.other_groups:
        output.text(f"... and {sample.in_other_groups:,} messages in {sample.other_groups:,} smaller groups")
    # What needs a person comes first.
    problems_first = sorted(
        (group for group in sample.groups if group.example), key=lambda group: group.verdict == "redrivable"
    )
    if problems_first and (example := problems_first[0].example):
        output.text()
        output.text(f"One that is {_verdict(problems_first[0])}, masked:", style="bold")
        output.text(json.dumps(example.body, ensure_ascii=False))
    for sentence in sample.explanations:
        output.say(sentence)
    _advise(output, report, full=full)


def _row(group: SampleGroup) -> tuple[str, ...]:
    share = f"{group.share:.0%}"
    verdict = _verdict(group) + (" (recursive loop)" if group.in_a_loop else "")
    return share, verdict, group.destination or "", group.error_type or "", group.envelope.value, group.contract or ""


def _verdict(group: SampleGroup) -> str:
    return group.verdict + (f": {group.reason}" if group.reason else "")


def _ages(report: Report) -> str:
    sample = report.sample
    if sample is None or sample.oldest_sent_at is None or sample.newest_sent_at is None:
        return ""
    now = report.finished_at
    oldest = ago((now - sample.oldest_sent_at).total_seconds())
    newest = ago((now - sample.newest_sent_at).total_seconds())
    expiring = f" SQS drops {sample.near_expiry:,} of them within a day." if sample.near_expiry else ""
    span = oldest if newest == oldest else f"{newest} to {oldest}"
    return f"Sent {span} ago.{expiring}"


def _advise(output: Output, report: Report, *, full: bool) -> None:
    sample = report.sample
    assert sample is not None
    output.say("")
    if sample.quarantined or sample.skipped:
        output.say("docs/reference/reasons.md says what the reasons mean and what to do.")
    if sample.fifo_groups and not sample.complete:
        output.say(
            "SQS returns no more of a FIFO group while one of its messages is in flight, so not all can be seen."
        )
    elif not sample.complete and not full:
        output.say(f"Look at all of them: redrive look {report.dlq} --full")


def _arrivals(sent: list[int]) -> dict[str, Any] | None:
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
    from datetime import UTC, datetime  # noqa: PLC0415

    if len(sent) < 2 or max(sent) - min(sent) < 1000:
        return ""
    first, last = min(sent), max(sent)
    counts = _counts(sent, first, last)
    top = max(counts)
    bars = "".join(" " if not count else _SIGNS[max(0, count * len(_SIGNS) // top - 1)] for count in counts)
    form = "%H:%M:%S" if last - first < 86_400_000 else "%b %d %H:%M"
    start, end = (datetime.fromtimestamp(each / 1000, UTC).astimezone() for each in (first, last))
    return f"{start:{form}} {bars} {end:{form}} {end:%Z}"
