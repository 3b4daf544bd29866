"""Checks of dead-letter queues and their sources, for `redrive doctor`: permissions, keys, retention, consumers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from redrive.adapters.account import THREADS, Account, ListedQueue
from redrive.adapters.checkup import Checkup, Key, UnreadableError
from redrive.adapters.consumers import ConsumerDirectory
from redrive.adapters.stack import Stack
from redrive.command.consumers_text import placed
from redrive.command.doctor_findings import Finding, Severity, ask_for
from redrive.command.output import Output, ago, moment, names
from redrive.command.shared import again, aws
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.names import display_name
from redrive.domain.plain_text import redrive_command, shell_word
from redrive.domain.plan.lease import LEASE_TAG, lease_in

# Permissions are tested on at most this many dead-letter queues; the others most likely have the same ones.
_MOST_TRIED = 20
# Tags are read for at most this many: an account gets five tag requests per second (SQS developer guide, "Quotas
# related to queues").
_MOST_TAGS = 5
# 14 days (SQS API reference, SetQueueAttributes), and the default.
_LONGEST, _USUAL = 1_209_600, 345_600
# More sources need allowAll (SQS API reference, SetQueueAttributes).
_MOST_ALLOWED = 10


@dataclass(frozen=True)
class Setup:
    """What the doctor checks."""

    output: Output
    account: Account
    checkup: Checkup
    #: All queues that the credentials can read, or those of them that the stack names.
    queues: list[ListedQueue]
    #: Whether the credentials can list queues.
    all_listed: bool
    #: None if there is no stack that this command can work with.
    stack: Stack | None

    @cached_property
    def dlqs(self) -> list[ListedQueue]:
        """The dead-letter queues, the ones with messages first."""
        found = [queue for queue in self.queues if queue.sources]
        return sorted(found, key=lambda queue: (-(queue.messages + queue.in_flight), queue.name))

    def sources_of(self, dlq: ListedQueue) -> list[ListedQueue]:
        """Return the source queues of a dead-letter queue."""
        return [queue for queue in self.queues if queue.dead_letter_queue == dlq.arn]

    def covers(self, queue: ListedQueue) -> bool:
        """Return whether the stack may redrive a queue."""
        return self.stack is not None and self.stack.covers(queue.name)


def permissions(setup: Setup) -> Iterator[Finding]:
    """Report which permissions that the commands need are denied."""
    tried = setup.dlqs[:_MOST_TRIED]
    denied: dict[tuple[str, str], set[str]] = defaultdict(set)

    def attempt(queue: ListedQueue, commands: str, ask: Callable[[str], list[str]]) -> None:
        for permission in ask(queue.url):
            denied[permission, commands].add(queue.name)

    with ThreadPoolExecutor(THREADS) as pool:
        tries = [
            pool.submit(attempt, queue, "look, messages, export, and plan need it", setup.checkup.denied_to_look)
            for queue in tried
        ]
        # `move` refuses the queues of a stack.
        for queue in (queue for queue in tried if not setup.covers(queue)):
            tries.append(pool.submit(attempt, queue, "move needs it", setup.checkup.denied_to_move))
            tries += [
                pool.submit(attempt, source, "move needs it", setup.checkup.denied_to_send)
                for source in setup.sources_of(queue)
            ]
        for done in tries:
            done.result()
    if setup.account.unreadable:
        denied["sqs:GetQueueAttributes", "every command needs it"] = set(setup.account.unreadable)
    for (permission, commands), queues in sorted(denied.items()):
        listed = names(sorted(queues))
        yield Finding(
            Severity.WARNING,
            "permissions",
            f"{permission} is denied on {listed}; {commands}.",
            ask_for(f"{permission} on {listed}"),
        )
    for permission in setup.checkup.denied_on_account():
        yield Finding(
            Severity.WARNING,
            "permissions",
            f"{permission} is denied; without it, `redrive queues` doesn't show changes of the last hour.",
            ask_for(permission),
        )
    if not denied and tried:
        yield Finding(Severity.OK, "permissions", f"No permission needed to look into {_queues(tried)} is denied.")


def leases(setup: Setup) -> Iterator[Finding]:
    """Report the runs of `redrive move` that are in progress or were interrupted."""
    for queue in [queue for queue in setup.dlqs if queue.messages or queue.in_flight][:_MOST_TAGS]:
        try:
            lease = lease_in(setup.account.queues.tags(_address(queue)))
        except RejectedError as error:
            yield Finding(Severity.UNKNOWN, "runs", str(error), ask_for("sqs:ListQueueTags"))
            return
        if lease is None:
            continue
        run, host = display_name(lease.run), display_name(lease.host)
        if lease.until > datetime.now(UTC):
            yield Finding(
                Severity.OK, "runs", f"{run}, a run of `redrive move` on {host}, is moving messages of {queue.name}."
            )
        else:
            yield Finding(
                Severity.WARNING,
                "runs",
                f"{run}, a run of `redrive move` on {host}, was interrupted, and {queue.name} still has its tag "
                f"{LEASE_TAG}. Resume it on {host}, or start another run.",
                again(redrive_command("move", queue.name, "--resume")),
            )


def keys(setup: Setup) -> Iterator[Finding]:
    """Report unusable keys of dead-letter queues, their sources, and the stack's quarantine."""
    users: dict[str, list[str]] = defaultdict(list)
    for queue in setup.queues:
        # AWS's own keys, such as SQS's, can't be disabled (KMS developer guide, "AWS KMS keys").
        if queue.kms_key and not queue.kms_key.split(":")[-1].startswith("alias/aws/") and _takes_part(setup, queue):
            users[queue.kms_key].append(queue.name)
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda key: _key(setup.checkup, key), users))
    usable = 0
    unread: set[str] = set()
    for queues, key in zip(users.values(), read, strict=True):
        if isinstance(key, str):
            unread.add(key)
        elif key.state in {"Enabled", "Updating", "Creating"}:
            usable += 1
        else:
            yield _unusable(key, names(queues))
    if unread:
        yield _unchecked("keys", "The keys that encrypt queues", unread)
    if usable:
        yield Finding(Severity.OK, "keys", f"KMS keys that encrypt queues and are enabled: {usable:,}.")


def retention(setup: Setup) -> Iterator[Finding]:
    """Report dead-letter queues that lose messages early or don't accept their own sources."""
    short = 0
    for dlq in setup.dlqs:
        sources = setup.sources_of(dlq)
        longest = max((source.retention for source in sources), default=0)
        # A FIFO queue counts from the move (SQS developer guide, "Using dead-letter queues", which recommends that a
        # standard dead-letter queue always retains longer than its sources).
        if longest >= dlq.retention and not dlq.name.endswith(".fifo"):
            short += 1
            yield _too_short(dlq, max(sources, key=lambda source: source.retention))
        refused = [source.name for source in sources if not _accepts(dlq, source)]
        if refused:
            yield Finding(
                Severity.WARNING,
                "retention",
                f"{dlq.name} is the dead-letter queue of {names(refused)}, but its redrive allow policy doesn't allow "
                "that.",
                aws(_allow(dlq, sources)),
            )
    if setup.dlqs and not short:
        text = f"Messages stay in {_queues(setup.dlqs)} longer than in the queues they came from."
        yield Finding(Severity.OK, "retention", text)


def consumers(setup: Setup) -> Iterator[Finding]:
    """Report settings of the source queues' consumers that would hurt a redrive."""
    sources = [source for dlq in setup.dlqs for source in setup.sources_of(dlq)]
    directory = ConsumerDirectory(setup.account)
    found = placed(directory.of(map(_address, sources)))
    for queue in found:
        for warning in queue.warnings:
            yield Finding(Severity.WARNING, "consumers", warning.text, warning.remedy)
    if directory.unreadable:
        yield _unchecked("consumers", "The functions that consume source queues", directory.unreadable)
    without = [queue.queue for queue in found if queue.consumers == ()]
    if without:
        yield Finding(
            Severity.OK,
            "consumers",
            f"No function in this account consumes {names(without)}. That's fine if something else does.",
        )
    if any(queue.consumers for queue in found) and not any(queue.warnings for queue in found):
        yield Finding(Severity.OK, "consumers", "The settings of all functions that consume source queues are fine.")


def _unchecked(check: str, what: str, permissions: Iterable[str]) -> Finding:
    missing = ", ".join(sorted(permissions))
    return Finding(Severity.UNKNOWN, check, f"{what} couldn't be checked: {missing}.", ask_for(missing))


def _takes_part(setup: Setup, queue: ListedQueue) -> bool:
    is_quarantine = setup.stack is not None and queue.url == setup.stack.quarantine_url
    return is_quarantine or bool(queue.sources) or any(queue.dead_letter_queue == dlq.arn for dlq in setup.dlqs)


def _key(checkup: Checkup, key: str) -> Key | str:
    try:
        return checkup.key(key)
    except UnreadableError as error:
        return str(error)


def _unusable(key: Key, queues: str) -> Finding:
    def command(verb: str) -> str:
        return aws(f"aws kms {verb} --key-id {key.key_id}")

    text = f"The KMS key {key.key_id} of {queues} can't be used: its state is {key.state}."
    remedy = command("describe-key")
    if key.state == "Disabled":
        remedy = command("enable-key")
    elif key.state == "PendingDeletion":
        when = f" on {moment(key.deleted_at)}" if key.deleted_at else ""
        text = f"The KMS key {key.key_id} of {queues} is scheduled for deletion{when}, so their messages can't be read."
        remedy = f"{command('cancel-key-deletion')} && {command('enable-key')}"
    return Finding(Severity.PROBLEM, "keys", text, remedy)


def _too_short(dlq: ListedQueue, source: ListedQueue) -> Finding:
    queue, seconds = (dlq, _LONGEST) if dlq.retention < _LONGEST else (source, _USUAL)
    change = f"aws sqs set-queue-attributes --queue-url {queue.url} --attributes MessageRetentionPeriod={seconds}"
    return Finding(
        Severity.WARNING,
        "retention",
        f"{dlq.name} keeps messages for {ago(dlq.retention)} and its source {source.name} for {ago(source.retention)}. "
        "Both count from the original send, so messages can expire before they fail, or soon after.",
        aws(change),
    )


def _accepts(dlq: ListedQueue, source: ListedQueue) -> bool:
    """Return whether a redrive allow policy allows a source queue (SQS API reference, SetQueueAttributes)."""
    policy = json.loads(dlq.allow_policy or "{}")
    permission = policy.get("redrivePermission", "allowAll")
    return permission == "allowAll" or (permission == "byQueue" and source.arn in policy.get("sourceQueueArns", ()))


def _allow(dlq: ListedQueue, sources: list[ListedQueue]) -> str:
    """Return the command that makes a dead-letter queue accept its sources. A policy can name at most ten."""
    arns = {*json.loads(dlq.allow_policy or "{}").get("sourceQueueArns", ()), *(source.arn for source in sources)}
    by_queue = {"redrivePermission": "byQueue", "sourceQueueArns": sorted(arns)}
    policy = json.dumps(by_queue if len(arns) <= _MOST_ALLOWED else {"redrivePermission": "allowAll"})
    attributes = shell_word(json.dumps({"RedriveAllowPolicy": policy}))
    return f"aws sqs set-queue-attributes --queue-url {dlq.url} --attributes {attributes}"


def _queues(queues: list[ListedQueue]) -> str:
    return queues[0].name if len(queues) == 1 else f"{len(queues):,} dead-letter queues"


def _address(queue: ListedQueue) -> QueueAddress:
    return QueueAddress(name=queue.name, arn=queue.arn, url=queue.url)
