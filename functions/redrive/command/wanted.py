"""Which messages of a queue a command is about: those with some ids, or of one group, or all.

Used by `messages` and `export`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import click

from redrive.adapters.account import Account
from redrive.command.contract_files import Contracts, read_contracts
from redrive.command.dry_run import Seen, dry_run
from redrive.command.output import Output
from redrive.domain.errors import RejectedError


class _Enough(Exception):  # noqa: N818
    """All that was wanted is found."""


def with_wanted[F: Callable[..., Any]](function: F) -> F:
    """Add the options that choose messages: the arguments `ids` and `group`."""
    ids: Callable[[F], F] = click.option(
        "--id", "ids", multiple=True, metavar="ID", help="A message ID. Can be repeated."
    )
    group: Callable[[F], F] = click.option(
        "--group", metavar="GROUP", callback=_check_group, help="A group, as `look` shows it."
    )
    return ids(group(function))


def _check_group(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9a-f]{6}", value):
        raise click.BadParameter("expected six characters, 0 to 9 and a to f, from the column GROUP of `redrive look`.")
    return value


def find_messages(
    output: Output,
    queue: str,
    each: Callable[[Seen], None],
    *,
    ids: tuple[str, ...],
    group: str | None,
    contracts: tuple[str, ...],
    most: int | None = None,
) -> tuple[int, bool]:
    """Look at the messages of a queue until all that are wanted are found.

    Parameters
    ----------
    output : Output
        Where progress is shown.
    queue : str
        Name, ARN, or URL of the dead-letter queue.
    each : Callable[[Seen], None]
        Gets each wanted message.
    ids, group : tuple[str, ...], str | None
        Ids of messages, the label of a group, or neither for all.
    contracts : tuple[str, ...]
        Files of JSON Schemas.
    most : int | None
        How many messages are wanted at most; None if that isn't limited.

    Returns
    -------
    tuple[int, bool]
        How many messages were looked at, and whether these were all of the queue.
    """
    known = Contracts(read_contracts(contracts))
    account = Account(output.profile, output.region)
    account.use()
    looked_at = found = 0

    def look(seen: Seen) -> None:
        nonlocal looked_at, found
        looked_at += 1
        if (ids and seen.message["MessageId"] not in ids) or group not in {None, seen.group.label}:
            return
        found += 1
        each(seen)
        if found == most or found == len(ids):
            raise _Enough

    try:
        report = dry_run(account, {"dlq": queue, "fullScan": True}, output, find_contract=known.find, seen=look)
    except _Enough:
        return looked_at, False
    except RejectedError:
        # That nothing says where they belong doesn't matter to whoever reads them.
        if not looked_at:
            raise
        return looked_at, False
    return looked_at, report.sample is not None and report.sample.complete


def readable(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return message attributes of ReceiveMessage as JSON has them: binary values in base64, as in the AWS CLI."""
    return {
        name: {key: b64encode(part).decode() if isinstance(part, bytes) else part for key, part in value.items()}
        for name, value in attributes.items()
    }
