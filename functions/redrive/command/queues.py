"""`redrive queues`: one row per dead-letter queue across accounts and Regions, the ones with messages first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import click

from redrive.adapters.account import THREADS, Account, ListedQueue
from redrive.adapters.latest_runs import LatestRun, latest_by_queue
from redrive.adapters.stack import existing_stack
from redrive.command.display import Display
from redrive.command.exits import CommandError, Exit, explained
from redrive.command.output import Output, ago, names
from redrive.command.shared import again, shared_in_places, with_stack
from redrive.domain.plain_text import plain, redrive_command

# Accounts and Regions to read in parallel; each has its own request limits.
_PLACES = 8
# Seconds before progress is shown, and between updates.
_SILENT, _EVERY = 2.0, 0.5
_TITLES = (
    *("QUEUE", "PROFILE", "REGION", "MESSAGES", "IN FLIGHT", "LAST HOUR", "FIRST EXPIRES IN", "RUNNING", "LAST RUN"),
    *("SOURCES", "CONSUMERS"),
)
_NUMBERS = (3, 4, 5, 6)


@dataclass
class _Place:
    """An account and a Region, with what was found there."""

    profile: str | None
    region: str | None
    #: None until reading has begun.
    account: Account | None = None
    queues: list[ListedQueue] = field(default_factory=list)
    #: Seconds until the first of the messages looked at expires, by the queue's ARN.
    expire: dict[str, float] = field(default_factory=dict)
    #: The latest run, by the queue's name.
    runs: dict[str, LatestRun] = field(default_factory=dict)
    #: What couldn't be read here, and why.
    notes: list[str] = field(default_factory=list)
    #: Why nothing could be read here.
    error: CommandError | None = None

    @property
    def name(self) -> str:
        """How the operator named it."""
        return " in ".join(part for part in (self.profile, self.region) if part) or "the account"

    def look(self, stack_name: str, now: datetime, *, every: bool, peek: bool) -> None:
        """Find the queues, and read the facts about each."""
        self.account = account = Account(self.profile, self.region)
        self.region = self.region or account.region
        with ThreadPoolExecutor() as pool:
            others = [pool.submit(self._find_runs, account, stack_name)]
            self.queues = [queue for queue in account.listed() if every or queue.sources]
            full = [queue for queue in self.queues if queue.messages]
            others.append(pool.submit(account.add_depth_an_hour_ago, full, now))
            self.expire = _expire(account, full, now) if peek else {}
            for other in others:
                other.result()
        if unreadable := account.unreadable:
            self.notes.append(
                "Couldn't look into some queues, because access was denied or SQS didn't answer: "
                f"{names(sorted(unreadable))}"
            )
        if unreleased := account.unreleased:
            self.notes.append(
                "Up to ten messages of each of these queues stay invisible for 30 seconds, because making them visible "
                f"was denied or failed: {names(sorted(unreleased))}"
            )

    def _find_runs(self, account: Account, stack_name: str) -> None:
        """Find the stack's latest run on each queue: one request for the stack, one for runs, one for executions."""
        try:
            stack = existing_stack(account, stack_name)
            self.runs = {} if stack is None else latest_by_queue(account, stack)
        except Exception as error:
            known = explained(error)
            if known is None:
                raise
            self.notes.append(f"Runs aren't shown: {known}")


@dataclass(frozen=True)
class _Looked:
    """How many queues have been looked at so far."""

    places: list[_Place]
    title: str = "Queues"

    @property
    def total(self) -> int:
        """Queues that have been found."""
        return sum(place.account.queue_count for place in self.places if place.account)

    @property
    def done(self) -> int:
        """Queues that have been looked at."""
        return sum(place.account.listed_so_far for place in self.places if place.account)

    def lines(self) -> Iterator[str]:
        """Yield the line that shows the progress."""
        yield f"{self.done:,} of {self.total:,} looked at"


@click.command("queues", short_help="List dead-letter queues, the ones with messages first.")
@click.option("--all", "every", is_flag=True, help="List all queues, not only dead-letter queues.")
@click.option("--peek/--no-peek", default=True, help="Look at ten messages of each for their age. Default: --peek.")
@with_stack
@shared_in_places
@click.pass_obj
def command(output: Output, *, every: bool, peek: bool, stack_name: str) -> int:
    """List dead-letter queues across accounts and Regions, the ones with messages first.

    FIRST EXPIRES IN is an upper bound: SQS counts from the original send, and the command looks at only ten messages in
    each queue. They become visible again at once, and their receive counts rise by one. RUNNING and LAST RUN are runs
    of the stack, if there is one.
    """
    places = [_Place(profile, region) for profile, region in output.places]
    _look(output, places, stack_name, every=every, peek=peek)
    found = [(queue, place) for place in places for queue in place.queues]
    found.sort(key=lambda pair: (-(pair[0].messages + pair[0].in_flight), pair[0].name))
    if output.as_json:
        output.document(
            places=[_place_document(place) for place in places],
            queues=[_document(queue, place) for queue, place in found],
        )
    elif found:
        output.table(_TITLES, (_row(queue, place, places) for queue, place in found), numbers=_NUMBERS)
    for place in places:
        for note in place.notes:
            output.warn(note if len(places) == 1 else f"{place.name}: {note}")
    failed = [place for place in places if place.error]
    for place in failed:
        click.echo(plain(f"redrive: {place.name}: {place.error}"), err=True)
    if not output.as_json:
        _advise(output, places, found, every=every)
    return Exit.FAILED if failed else Exit.DONE


def _look(output: Output, places: list[_Place], stack_name: str, *, every: bool, peek: bool) -> None:
    """Look at all places. If one of several fails, it keeps its error, and the others still show."""
    now = datetime.now(UTC)
    with ThreadPoolExecutor(_PLACES) as pool:
        looks = [pool.submit(place.look, stack_name, now, every=every, peek=peek) for place in places]
        output.prepare()
        _, waiting = wait(looks, _SILENT)
        if waiting:
            _show(output, _Looked(places), waiting)
    for place, look in zip(places, looks, strict=True):
        error = look.exception()
        if isinstance(error, Exception):
            place.error = explained(error) if len(places) > 1 else None
        if error is not None and place.error is None:
            raise error


def _show(output: Output, looked: _Looked, waiting: set[Future[None]]) -> None:
    with Display(output) as display:
        while waiting:
            if looked.total:
                display.show(looked, time.monotonic())
            _, waiting = wait(waiting, _EVERY)


def _advise(output: Output, places: list[_Place], found: list[tuple[ListedQueue, _Place]], *, every: bool) -> None:
    """Suggest what to do next."""
    if not found:
        kind = "queue" if every else "dead-letter queue"
        where = ", ".join(place.name if len(places) > 1 else str(place.region) for place in places if not place.error)
        advice = "" if every else f", or list all queues: {again('redrive queues --all')}"
        if where:
            output.say(f"No {kind} in {where}. Check the Region{advice or '.'}")
    elif found[0][0].messages:
        queue, place = found[0]
        profile, region = output.places[0] if len(places) == 1 else (place.profile, place.region)
        there = replace(output, profile=profile, region=region, profiles=(), regions=())
        output.say("")
        output.say(f"Look into the first one: {again(redrive_command('look', queue.name), there)}")


def _expire(account: Account, queues: list[ListedQueue], now: datetime) -> dict[str, float]:
    """Return in how many seconds the first of the messages looked at expires, by the queue's ARN."""
    # Work queues belong to their consumers, and receiving from a queue that has a redrive policy may push messages on.
    safe = [queue for queue in queues if queue.sources and queue.dead_letter_queue is None]
    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.map(account.first_sent, safe)
        return {
            queue.arn: sent + queue.retention - now.timestamp()
            for queue, sent in zip(safe, first, strict=True)
            if sent is not None
        }


def _row(queue: ListedQueue, place: _Place, places: list[_Place]) -> tuple[str, ...]:
    change = "" if queue.hour_ago is None else _signed(queue.messages - queue.hour_ago)
    expires, run = place.expire.get(queue.arn), place.runs.get(queue.name)
    several = [len({getattr(each, name) for each in places}) > 1 for name in ("profile", "region")]
    return (
        queue.name,
        (place.profile or "") if several[0] else "",
        (place.region or "") if several[1] else "",
        f"{queue.messages:,}",
        f"{queue.in_flight:,}" if queue.in_flight else "",
        change,
        "" if expires is None else ago(expires) if expires > 0 else "now",
        run.run_id if run is not None and run.is_on else "",
        "" if run is None else _latest(run),
        ", ".join(queue.sources),
        "?" if queue.consumers is None else ", ".join(queue.consumers),
    )


def _latest(run: LatestRun) -> str:
    since = ago((datetime.now(UTC) - run.started_at).total_seconds())
    return f"{run.status or 'not ended'}, started {since} ago"


def _signed(number: int) -> str:
    return "unchanged" if number == 0 else f"{number:+,}"


def _place_document(place: _Place) -> dict[str, Any]:
    error = None if place.error is None else str(place.error)
    return {"profile": place.profile, "region": place.region, "error": error, "notes": place.notes}


def _document(queue: ListedQueue, place: _Place) -> dict[str, Any]:
    expires, run = place.expire.get(queue.arn), place.runs.get(queue.name)
    latest = run and {"run": run.run_id, "status": run.status, "startedAt": run.started_at.isoformat()}
    return {
        "name": queue.name,
        "profile": place.profile,
        "region": place.region,
        "arn": queue.arn,
        "url": queue.url,
        "messages": queue.messages,
        "inFlight": queue.in_flight,
        "messagesAnHourAgo": queue.hour_ago,
        "firstExpiresInSeconds": None if expires is None else round(expires),
        "runningRun": run.run_id if run is not None and run.is_on else None,
        "lastRun": latest,
        "sources": queue.sources,
        "consumers": queue.consumers,
    }
