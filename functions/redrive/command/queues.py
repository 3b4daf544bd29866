"""`redrive queues`: one row per dead-letter queue, those with messages first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import click

from redrive.adapters.account import THREADS, Account, ListedQueue
from redrive.command.output import Output, ago
from redrive.command.shared import again, shared

# Messages that are looked at for their age.
_PEEKED_AT = 10
_TITLES = ("QUEUE", "MESSAGES", "IN FLIGHT", "LAST HOUR", "FIRST EXPIRES IN", "SOURCES", "CONSUMERS")


@click.command("queues", short_help="List dead-letter queues, those with messages first.")
@click.option("--all", "every", is_flag=True, help="List all queues, not only dead-letter queues.")
@click.option("--peek/--no-peek", default=True, help="Look at ten messages of each for their age. Default: --peek.")
@shared
@click.pass_obj
def command(output: Output, *, every: bool, peek: bool) -> None:
    """List the dead-letter queues of the account and Region, those with messages first.

    FIRST EXPIRES IN is at most that: SQS counts from the original send, and only ten messages of a queue are looked at.
    They become visible again at once; their receive counts rise by one.
    """
    account = Account(output.profile, output.region)
    now = datetime.now(UTC)
    found = [queue for queue in account.listed() if every or queue.sources]
    found.sort(key=lambda queue: (-(queue.messages + queue.in_flight), queue.name))
    full = [queue for queue in found if queue.messages]
    account.add_depth_an_hour_ago(full, now)
    expire = _expire(account, full, now) if peek else {}
    if output.as_json:
        output.document(region=account.region, queues=[_document(queue, expire.get(queue.arn)) for queue in found])
        return
    if not found:
        kind = "queue" if every else "dead-letter queue"
        advice = "" if every else f", or list all queues: {again('redrive queues --all')}"
        output.say(f"No {kind} in {account.region}. Check the Region{advice or '.'}")
        return
    output.table(_TITLES, (_row(queue, expire.get(queue.arn)) for queue in found), numbers=(1, 2, 3, 4))
    if account.unreadable:
        unreadable = ", ".join(account.unreadable)
        output.say(f"Not looked into, because access is denied or SQS didn't answer: {unreadable}")
    if full:
        output.say("")
        output.say(f"Look into the first one: {again(f'redrive look {full[0].name}')}")


def _expire(account: Account, queues: list[ListedQueue], now: datetime) -> dict[str, float]:
    """Return in how many seconds the first of the messages looked at expires, by the queue's ARN."""
    # Work queues belong to their consumers, and receiving from a queue that has a redrive policy may push messages on.
    safe = [queue for queue in queues if queue.sources and queue.dead_letter_queue is None]
    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.map(lambda queue: account.first_sent(queue, min(_PEEKED_AT, queue.messages)), safe)
        return {
            queue.arn: sent + queue.retention - now.timestamp()
            for queue, sent in zip(safe, first, strict=True)
            if sent is not None
        }


def _row(queue: ListedQueue, expires: float | None) -> tuple[str, ...]:
    change = "" if queue.hour_ago is None else _signed(queue.messages - queue.hour_ago)
    return (
        queue.name,
        f"{queue.messages:,}",
        f"{queue.in_flight:,}" if queue.in_flight else "",
        change,
        "" if expires is None else ago(expires) if expires > 0 else "now",
        ", ".join(queue.sources),
        "?" if queue.consumers is None else ", ".join(queue.consumers),
    )


def _signed(number: int) -> str:
    return "still" if number == 0 else f"{number:+,}"


def _document(queue: ListedQueue, expires: float | None) -> dict[str, Any]:
    return {
        "name": queue.name,
        "arn": queue.arn,
        "url": queue.url,
        "messages": queue.messages,
        "inFlight": queue.in_flight,
        "messagesAnHourAgo": queue.hour_ago,
        "firstExpiresInSeconds": None if expires is None else round(expires),
        "sources": queue.sources,
        "consumers": queue.consumers,
    }
