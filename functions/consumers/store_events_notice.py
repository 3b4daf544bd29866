"""Tells the owner of the store events what a redrive has put into quarantine: how many, of which store, why.

Invoked by SNS with the report of a run on the store events dead-letter queue. It looks into the quarantine
and publishes to the notice topic; every letter stays where it is.
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

from contracts.erasing import erased
from contracts.store_event import StoreEvent, StoreEventAttributes
from redrive.adapters.sqs import Look, Queues, sqs_client
from redrive.domain.envelopes import Unwrapped, unwrap
from redrive.domain.history import QuarantineNote, quarantine_note_of
from redrive.domain.letters import Letter
from redrive.domain.runs import Model, QueueRef, Report

# All dead-letter queues share the quarantine, so that letters of others may lie before those of this run.
MOST_LETTERS = 1000
_LOOK_SECONDS = 30
UNKNOWN_STORE = "unknown"
_MOST_PROBLEMS = 20

logger = Logger()
_queues = Queues(sqs_client())
_sns = boto3.client("sns")


class StoreNotice(Model):
    """What was quarantined of one store.

    Attributes
    ----------
    store : str
        Number of the store, or `unknown`.
    letters : int
        How many.
    reasons, problems : dict[str, int]
        Letters by reason code and by what failed in validation.
    example : dict[str, Any] | None
        One of them, masked.
    """

    store: str
    letters: int
    reasons: dict[str, int]
    problems: dict[str, int]
    example: dict[str, Any] | None


class Notice(Model):
    """What one run has quarantined.

    Attributes
    ----------
    run_id, dlq : str
        The run and its dead-letter queue.
    quarantined : int
        Letters that the run put into quarantine, as its report says.
    found : int
        Those of them that were found there; `stores` tells about these.
    looked_at : int
        Letters in the quarantine that were looked at, those of other runs included.
    stores : tuple[StoreNotice, ...]
        What was found, by store.
    cut : bool
        Whether the look ended before the quarantine did.
    """

    run_id: str
    dlq: str
    quarantined: int
    found: int
    looked_at: int
    stores: tuple[StoreNotice, ...]
    cut: bool = False


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Publish the notice of a run that has quarantined letters; return what was done."""
    report = Report.model_validate_json(SNSEvent(event).sns_message)
    if not report.counts.quarantined:
        return {"published": False}
    look = Look(_quarantine(), MOST_LETTERS)
    with closing(_queues.look(look, _LOOK_SECONDS)) as messages:
        notice = make_notice(report, (Letter.from_message(message) for message in messages))
    if notice.found < notice.quarantined and not look.complete:
        notice = notice.model_copy(update={"cut": True})
    _sns.publish(TopicArn=os.environ["NOTICE_TOPIC_ARN"], **_message(notice))
    logger.info("noticed", run=notice.run_id, found=notice.found, lookedAt=notice.looked_at, cut=notice.cut)
    return {"published": True, "found": notice.found}


def make_notice(report: Report, letters: Iterable[Letter]) -> Notice:
    """Return the notice of a run.

    Parameters
    ----------
    report : Report
        The run's report.
    letters : Iterable[Letter]
        What lies in the quarantine; not read further than to the last one of the run.
    """
    stores: dict[str, _Store] = {}
    looked_at = found = 0
    for letter in letters:
        looked_at += 1
        note = quarantine_note_of(letter)
        if note is None or note.run != report.run_id:
            continue
        found += 1
        unwrapped = unwrap(letter)
        stores.setdefault(_store_of(unwrapped), _Store()).add(note, unwrapped)
        if found == report.counts.quarantined:
            break
    return Notice(
        run_id=report.run_id,
        dlq=report.dlq or "",
        quarantined=report.counts.quarantined,
        found=found,
        looked_at=looked_at,
        stores=tuple(store.notice(name) for name, store in sorted(stores.items())),
    )


@dataclass(slots=True)
class _Store:
    """What was found of one store so far."""

    reasons: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    example: dict[str, Any] | None = None

    def add(self, note: QuarantineNote, unwrapped: Unwrapped) -> None:
        self.reasons[note.reason] += 1
        self.problems.update(note.problems)
        self.example = self.example or erased(unwrapped.payload, StoreEvent)

    def notice(self, name: str) -> StoreNotice:
        return StoreNotice(
            store=name,
            letters=self.reasons.total(),
            reasons=dict(self.reasons.most_common()),
            problems=dict(self.problems.most_common(_MOST_PROBLEMS)),
            example=self.example,
        )


def _store_of(unwrapped: Unwrapped) -> str:
    """Return the store that the attribute names, else the body: as a number of a store or not at all."""
    told = [unwrapped.payload_attributes.get("store_id", {}).get("StringValue")]
    try:
        body = json.loads(unwrapped.payload)
        told.append(body.get("store_id") if isinstance(body, dict) else None)
    except (ValueError, RecursionError):
        pass
    for value in told:
        try:
            return str(StoreEventAttributes.model_validate({"store_id": value}).store_id)
        except ValidationError:
            continue
    return UNKNOWN_STORE


def _quarantine() -> QueueRef:
    arn = os.environ["QUARANTINE_QUEUE_ARN"]
    return QueueRef(name=arn.rsplit(":", 1)[1], arn=arn, url=os.environ["QUARANTINE_QUEUE_URL"], fifo=False)


def _message(notice: Notice) -> dict[str, Any]:
    """Return what Publish takes: JSON for programs, text for mail, the stores for filter policies."""
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
        f"A redrive of {notice.dlq} has put {notice.quarantined} store events into quarantine.",
        f"Run {notice.run_id}",
    ]
    for store in notice.stores:
        lines += ["", f"Store {store.store}: {store.letters}"]
        lines += [f"  {number:>6}  {reason}" for reason, number in store.reasons.items()]
        lines += [f"  {number:>6}  {problem}" for problem, number in store.problems.items()]
        if store.example:
            lines.append(f"  for example {json.dumps(store.example)}")
    if notice.found < notice.quarantined:
        lines += ["", f"Found {notice.found} of them among {notice.looked_at} letters that were looked at."]
    return "\n".join(lines)
