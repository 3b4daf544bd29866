"""Notifies the owner of the store events which messages a redrive quarantined: how many, by store, and why.

Invoked by SNS with the report of a run on the store events dead-letter queue. It peeks at the quarantine and publishes
to the notice topic. No message leaves the quarantine.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import SNSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from examples.store_events.contract import STORE_EVENT, StoreEvent, StoreEventAttributes
from examples.store_events.quarantine import QuarantinePeek
from redrive.aws_session import set_up_boto3
from redrive.contracts.contract import ContractViolationError
from redrive.domain.errors import guarded
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.opened import OpenedMessage, Payload
from redrive.domain.messages.opening import open_message
from redrive.domain.messages.provenance import Belief, QuarantineNote, quarantine_note_of
from redrive.domain.model import Model
from redrive.domain.runs.report import Report

# All dead-letter queues share the quarantine, so messages of other runs may be received before those of this one.
MAX_MESSAGES = 1000
_PEEK_SECONDS = 30
UNKNOWN_STORE = "unknown"
_MAX_PROBLEMS = 20

logger = Logger()
set_up_boto3()
_sqs = boto3.client("sqs")
_sns = boto3.client("sns")


class StoreNotice(Model):
    """One store's quarantined messages."""

    #: The store's number, or `unknown`.
    store: str
    messages: int
    #: Messages by reason code.
    reasons: dict[str, int]
    #: Messages by what failed in validation.
    problems: dict[str, int]
    #: One of the messages, masked.
    example: dict[str, Any] | None


class Notice(Model):
    """What one run quarantined."""

    run_id: str
    dlq: str
    #: Messages that the run quarantined, according to its report.
    quarantined: int
    #: How many of them were found in the quarantine; `stores` covers these.
    found: int
    #: Messages that were peeked at, including those of other runs.
    peeked: int
    stores: tuple[StoreNotice, ...]
    #: Peeking ended before all messages of the run were found.
    cut: bool = False


@guarded()
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Publish a notice if the run quarantined messages; return whether it did."""
    report = Report.model_validate_json(SNSEvent(event).sns_message)
    if not report.counts.quarantined:
        return {"published": False}
    peek = QuarantinePeek(_sqs, os.environ["QUARANTINE_QUEUE_URL"], MAX_MESSAGES, _PEEK_SECONDS)
    with closing(peek.messages()) as messages:
        notice = make_notice(report, messages, frozenset(os.environ["MOVER_ROLE_IDS"].split()))
    if notice.found < notice.quarantined and not peek.complete:
        notice = notice.model_copy(update={"cut": True})
    _sns.publish(TopicArn=os.environ["NOTICE_TOPIC_ARN"], **_message(notice))
    logger.info("notice published", run=notice.run_id, found=notice.found, peeked=notice.peeked, cut=notice.cut)
    return {"published": True, "found": notice.found}


def make_notice(report: Report, messages: Iterable[ReceivedMessage], movers: frozenset[str]) -> Notice:
    """Return the notice of a run.

    Parameters
    ----------
    report : Report
        The run's report.
    messages : Iterable[ReceivedMessage]
        The quarantine's messages; read only until all of the run's are found.
    movers : frozenset[str]
        Unique ids of the roles whose notes are believed: anyone may be able to send to the quarantine.
    """
    stores: dict[str, _Store] = {}
    peeked = found = 0
    belief = Belief(movers, quarantine=True)
    for message in messages:
        peeked += 1
        note = quarantine_note_of(message, movers)
        if note is None or note.run != report.run_id:
            continue
        found += 1
        store, example = _store_and_example(message, belief)
        stores.setdefault(store, _Store()).add(note, example)
        if found == report.counts.quarantined:
            break
    return Notice(
        run_id=report.run_id,
        dlq=report.dlq or "",
        quarantined=report.counts.quarantined,
        found=found,
        peeked=peeked,
        stores=tuple(store.notice(name) for name, store in sorted(stores.items())),
    )


@dataclass(slots=True)
class _Store:
    """One store's quarantined messages so far."""

    reasons: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    example: dict[str, Any] | None = None

    def add(self, note: QuarantineNote, example: dict[str, Any] | None) -> None:
        self.reasons[note.reason] += 1
        self.problems.update(note.problems)
        self.example = self.example or example

    def notice(self, name: str) -> StoreNotice:
        return StoreNotice(
            store=name,
            messages=self.reasons.total(),
            reasons=dict(self.reasons.most_common()),
            problems=dict(self.problems.most_common(_MAX_PROBLEMS)),
            example=self.example,
        )


def _store_and_example(message: ReceivedMessage, belief: Belief) -> tuple[str, dict[str, Any] | None]:
    """Return a message's store and what is shown of it; whatever the message raises, the others are in the notice."""
    try:
        opened = open_message(message, belief)
        return _store_of(opened), _example(opened.payload)
    except Exception as error:  # noqa: BLE001
        logger.error("message could not be read", message_id=message.message_id, error=type(error).__name__)
        return UNKNOWN_STORE, None


def _example(payload: Payload) -> dict[str, Any] | None:
    # Few runs quarantine anything, and this imports a parser of paths.
    from examples.store_events.erasing import erased  # noqa: PLC0415

    try:
        marks, _ = STORE_EVENT.marks(payload.text, payload.attributes)
    except ContractViolationError:
        marks = None
    return erased(payload.text, StoreEvent, marks)


def _store_of(opened: OpenedMessage) -> str:
    """Return the number of the store that the attribute names, or else the body; `unknown` if neither is valid."""
    candidates = [opened.payload.attributes.get("store_id", {}).get("StringValue")]
    try:
        body = json.loads(opened.payload.text)
        candidates.append(body.get("store_id") if isinstance(body, dict) else None)
    except (ValueError, RecursionError):
        pass
    for value in candidates:
        try:
            return str(StoreEventAttributes.model_validate({"store_id": value}).store_id)
        except ValidationError:
            continue
    return UNKNOWN_STORE


def _message(notice: Notice) -> dict[str, Any]:
    """Return the parameters of Publish: JSON for programs, text for email, and the stores for filter policies."""
    stores = [store.store for store in notice.stores] or [UNKNOWN_STORE]
    return {
        "Subject": f"Store events in quarantine: {notice.quarantined}, stores: {', '.join(stores)}",
        "Message": json.dumps({"default": notice.model_dump_json(), "email": _readable(notice)}),
        "MessageStructure": "json",
        "MessageAttributes": {
            "dlq": {"DataType": "String", "StringValue": notice.dlq},
            "stores": {"DataType": "String.Array", "StringValue": json.dumps(stores)},
        },
    }


def _readable(notice: Notice) -> str:
    lines = [
        f"A redrive of {notice.dlq} quarantined {notice.quarantined} store events.",
        f"Run {notice.run_id}",
    ]
    for store in notice.stores:
        lines += ["", f"Store {store.store}: {store.messages}"]
        lines += [f"  {number:>6}  {reason}" for reason, number in store.reasons.items()]
        lines += [f"  {number:>6}  {problem}" for problem, number in store.problems.items()]
        if store.example:
            lines.append(f"  Example: {json.dumps(store.example)}")
    if notice.found < notice.quarantined:
        lines += ["", f"Found {notice.found} of them among the {notice.peeked} quarantined messages peeked at."]
    return "\n".join(lines)
