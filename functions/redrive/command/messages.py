"""`redrive messages`: individual messages of a queue, masked unless the operator asks for clear text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from redrive.command.contract_files import with_contracts
from redrive.command.dry_run import Seen
from redrive.command.exits import Exit
from redrive.command.output import Output, ago, moment
from redrive.command.shared import again, shared, subject
from redrive.command.wanted import find_messages, readable, with_wanted
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.provenance import ATTRIBUTE
from redrive.domain.plain_text import redrive_command
from redrive.domain.sampling.summary import example_of


@click.command("messages", short_help="Show individual messages, masked or unmasked.")
@subject("queue")
@with_wanted
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Show at most this many messages, unless you pass --id.",
)
@click.option("--clear", is_flag=True, help="Show bodies and attributes as they are, personal data included.")
@with_contracts
@shared
@click.pass_obj
def command(
    output: Output,
    *,
    queue: str,
    ids: tuple[str, ...],
    group: str | None,
    limit: int,
    clear: bool,
    contracts: tuple[str, ...],
) -> int:
    """Show messages of the dead-letter QUEUE (name, ARN, or URL): those with an --id, or the first of a --group.

    Values are masked unless you pass --clear. Moves nothing. Receives messages until it finds the ones to show, so
    receive counts rise by one.
    """
    if clear:
        click.echo("The following is unmasked and may contain personal data or secrets.", err=True)
    ids = tuple(dict.fromkeys(ids))
    documents: list[dict[str, Any]] = []
    has_own_attribute = False

    def keep(seen: Seen) -> None:
        nonlocal has_own_attribute
        document = _document(seen, clear=clear)
        documents.append(document)
        lost = document["reason"] == Reason.NO_DESTINATION
        has_own_attribute |= lost and ATTRIBUTE in seen.message.get("MessageAttributes", {})

    find_messages(
        output,
        queue,
        keep,
        ids=ids,
        group=group,
        contracts=contracts,
        most=None if ids else limit,
    )
    if output.as_json:
        output.document(messages=documents)
    else:
        for number, document in enumerate(documents):
            if number:
                output.text()
            _print(output, document)
    missing = [each for each in ids if each not in {document["messageId"] for document in documents}]
    if missing:
        found = "It may be" if len(missing) == 1 else "They may be"
        output.warn(f"Not among the visible messages: {', '.join(missing)}. {found} in flight, moved, or gone.")
    elif not documents and group is None:
        output.warn("No message is visible.")
    elif not documents:
        look = again(redrive_command("look", queue))
        output.warn(f"No visible message is in the group {group}. List the groups: {look}")
    if has_own_attribute:
        there = again(redrive_command("start", queue, "--dry-run"))
        output.say(
            f"The attribute {ATTRIBUTE} may say where a message belongs, but only the stack whose run wrote it trusts "
            f"it. See what that stack would do: {there}"
        )
    return Exit.DONE if documents and not missing else Exit.LEFT


def _document(seen: Seen, *, clear: bool) -> dict[str, Any]:
    group, system = seen.group, seen.message["Attributes"]
    masked = example_of(seen.judgment)
    body, attributes = (masked.body, masked.attributes) if masked else (None, {})
    return {
        "messageId": seen.message["MessageId"],
        "sentAt": datetime.fromtimestamp(seen.sent_at / 1000, UTC).isoformat(),
        "receives": int(system.get("ApproximateReceiveCount", "0")),
        "group": group.label,
        "verdict": group.verdict,
        "reason": group.reason,
        "destination": group.destination,
        "envelope": group.envelope.value,
        "errorType": group.error_type,
        "contract": group.contract,
        "clear": clear,
        "messageGroupId": system.get("MessageGroupId") if clear else None,
        "attributes": readable(seen.message.get("MessageAttributes", {})) if clear else attributes,
        "body": seen.message["Body"] if clear else body,
    }


def _print(output: Output, document: dict[str, Any]) -> None:
    output.text(f"Message {document['messageId']}", style="bold")
    sent = datetime.fromisoformat(document["sentAt"])
    lines = {
        "Sent": f"{moment(sent)}, {ago((datetime.now(UTC) - sent).total_seconds())} ago",
        "Receives": f"{document['receives']:,}",
        "Verdict": document["verdict"] + (f": {document['reason']}" if document["reason"] else ""),
        "Destination": document["destination"],
        "Envelope": document["envelope"],
        "Error": document["errorType"],
        "Contract": document["contract"],
        "Group": document["group"],
        "FIFO group": document["messageGroupId"],
    }
    for name, value in lines.items():
        if value:
            output.text(f"{name:<12} {value}")
    for name, value in document["attributes"].items():
        output.text(f"Attribute    {name}: {value if isinstance(value, str) else json.dumps(value)}")
    body = document["body"]
    if not document["clear"]:
        body = json.dumps(body, indent=2, ensure_ascii=False)
    output.text("Body")
    for line in body.splitlines():
        output.text(f"  {line}")
