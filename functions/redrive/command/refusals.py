"""Finds the dead-letter queue that an operator names, and says why a plan refuses one.

The plan's errors say what to change in the input of a run. Here they say what to do in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from redrive.adapters.account import Account
from redrive.command.exits import CommandError, Exit
from redrive.command.shared import again
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.names import short_name
from redrive.domain.plain_text import redrive_command
from redrive.domain.plan.directories import find_queue


def find_dlq(account: Account, name: str) -> QueueRef:
    """Return the queue of that name, ARN, or URL.

    Raises
    ------
    CommandError
        If there is none, with similar names.
    """
    try:
        return find_queue(account.queues, name, "dlq")
    except RejectedError as error:
        raise refused(account, error) from None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question, preceded by a space, that suggests similar names; an empty text if there are none."""
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?" if near else ""


def refused(account: Account, error: RejectedError) -> CommandError:
    """Return what a refusal by the plan means to an operator in a terminal."""
    return CommandError(_in_a_terminal(account, str(error)), Exit.REJECTED)


def unroutable(error: RejectedError, queue: str) -> RejectedError:
    """Return why a sample refuses a queue. If its messages have no known destination, say what to do in a terminal."""
    sentence, found, _ = str(error).partition(" Start the run with a destination")
    if not found:
        return error
    read, start = redrive_command("messages", queue), redrive_command("start", queue, "--dry-run")
    return RejectedError(
        f"{sentence} Pass --destination QUEUE, or name the dead-letter queue that you meant. To read its messages: "
        f"{again(read)}  If it's the quarantine of a stack, the stack knows where they belong: {again(start)}"
    )


def _in_a_terminal(account: Account, error: str) -> str:
    """Return why the plan refuses a queue, with what to do in a terminal instead of in the input of a run."""
    if missing := re.search(r"there is no queue (\S+) in this account", error):
        given = missing[1]
        near = did_you_mean(short_name(given), account.names())
        return f"There is no queue {given} in {account.region}.{near} List them: {again('redrive queues --all')}"
    if found := re.search(r'Start (?:the|a) run with \{"dlq": "([^"]+)"\}', error):
        sentence = error[: found.start()].removeprefix("dlq: ").strip()
        return f"{sentence} Look into that queue: {again(redrive_command('look', found[1]))}"
    if found := re.search(r", where this app is deployed, found (\S+) in ((the account )?\S+)\. Deploy", error):
        there = "a --profile of that account" if found[3] else f"--region {found[2]}"
        return f"{found[1]} is in {found[2]}. Pass {there}."
    return error.removeprefix("dlq: ")
