"""`redrive export`: messages of a queue in a file, one JSON object per line, unmasked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from redrive.command.contract_files import with_contracts
from redrive.command.dry_run import Seen
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output
from redrive.command.shared import shared, subject
from redrive.command.wanted import find_messages, readable, with_wanted


@click.command("export", short_help="Write messages to a file, unmasked.")
@subject("queue")
@click.option("--to", "file", required=True, metavar="FILE", help="A new file, or - for standard output.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@with_wanted
@with_contracts
@shared
@click.pass_obj
def command(
    output: Output,
    *,
    queue: str,
    file: str,
    force: bool,
    ids: tuple[str, ...],
    group: str | None,
    contracts: tuple[str, ...],
) -> int:
    """Write the messages of the dead-letter QUEUE (name, ARN, or URL) to a file, unmasked, as JSON Lines.

    All visible messages, up to 120,000, or those with an --id or of a --group. They stay in the queue; their receive
    counts rise by one. Only you can read the file.
    """
    written = 0
    with _opened(file, force=force) as lines:

        def write(seen: Seen) -> None:
            nonlocal written
            lines.write(_line(seen))
            written += 1

        looked_at, complete = find_messages(output, queue, write, ids=tuple(set(ids)), group=group, contracts=contracts)
    all_found = written == len(set(ids)) if ids else complete
    where = "standard output" if file == "-" else file
    if output.as_json and file != "-":
        output.document(file=file, messages=written, complete=all_found)
    output.say(f"{written:,} messages are in {where}, unmasked: they may contain personal data or secrets.")
    if not all_found:
        output.warn(
            f"Not all of the {len(set(ids)):,} were among the {looked_at:,} visible messages."
            if ids
            else f"{looked_at:,} messages were looked at. More are in flight, or wait in their FIFO groups."
        )
    return Exit.DONE if all_found else Exit.LEFT


@contextmanager
def _opened(file: str, *, force: bool) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdout
        return
    path = Path(file)
    if path.exists() and not path.is_file():
        raise CommandError(f"--to: expected a file, found something else at {file}. Pass another name.", Exit.USAGE)
    try:
        # Written next to it, so an export that is interrupted never looks like one that is done.
        part = path.with_name(f"{path.name}.part")
        if path.exists() and not force:
            raise CommandError(f"--to: {file} exists. Pass another name, or --force to replace it.", Exit.USAGE)
        part.unlink(missing_ok=True)
        part.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise CommandError(f"--to: {file} can't be written: {error.strerror}.", Exit.USAGE) from None
    try:
        with part.open("w", encoding="utf-8") as lines:
            yield lines
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _line(seen: Seen) -> str:
    message = seen.message
    document = {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "messageAttributes": readable(message.get("MessageAttributes", {})),
        "attributes": message["Attributes"],
        "verdict": seen.group.verdict,
        "reason": seen.group.reason,
        "destination": seen.group.destination,
        "group": seen.group.label,
    }
    return json.dumps(document) + "\n"
