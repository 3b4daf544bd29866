"""What earlier runs did with messages that can't carry it: too large, full of attributes, or without any.

Used by the sample and the move step, around what they receive and send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass
from itertools import batched
from typing import Any, Protocol

from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.outbound import Outbound
from redrive.domain.messages.provenance import recorded_under
from redrive.domain.plan.run_plan import RunPlan

# What one request to the runs table reads (DynamoDB API reference, BatchGetItem).
_IDS_AT_ONCE = 100


class Facts(Protocol):
    """The rows of the runs table that stand for an attribute."""

    def recall(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return the provenance that is recorded under some of these ids."""

    def record(self, provenance_by_id: Mapping[str, str]) -> None:
        """Record provenance under the ids that destinations returned."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Recalls and records the provenance of messages of one run."""

    plan: RunPlan
    facts: Facts
    #: Unique ids of the roles that the mover has, and had.
    movers: frozenset[str]

    def received(self, messages: Sequence[Mapping[str, Any]]) -> list[ReceivedMessage]:
        """Return received messages, each with what the runs table has about it."""
        return self.recalled(*self.read(messages))

    def read(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[ReceivedMessage], dict[str, str]]:
        """Return received messages, and the ids to look up in the runs table for some of them, by message id."""
        plan = self.plan
        limits = {source.arn: source.max_bytes for source in plan.sources}
        here = plan.quarantine.max_bytes if plan.in_quarantine else None
        found: list[ReceivedMessage] = []
        ids: dict[str, str] = {}
        for message in messages:
            try:
                received = ReceivedMessage.from_sqs(message)
                under = recorded_under(received, limits, here, self.movers)
            except Exception as error:  # noqa: BLE001
                # Its own fate: the judge says so, and logs it.
                received, under = ReceivedMessage.not_read(message, error), None
            found.append(received)
            if under is not None:
                ids[received.message_id] = under
        return found, ids

    def recalled(self, found: list[ReceivedMessage], ids: Mapping[str, str]) -> list[ReceivedMessage]:
        """Return messages, each with what the runs table has about it under its id."""
        if not ids:
            return found
        known: dict[str, str] = {}
        for some in batched(set(ids.values()), _IDS_AT_ONCE, strict=False):
            known |= self.facts.recall(some)
        return [replace(message, recorded=known.get(ids.get(message.message_id, ""))) for message in found]

    def unattached(self, accepted: Iterable[tuple[Outbound, str]]) -> dict[str, str]:
        """Return what to record of accepted messages, because they couldn't carry it.

        Each comes with the id that its destination returned. The result is by that id.
        """
        return {sent_id: outbound.unattached for outbound, sent_id in accepted if outbound.unattached is not None}

    def record(self, facts: Mapping[str, str]) -> None:
        """Record what messages couldn't carry, by the ids that their destinations returned."""
        if facts:
            self.facts.record(facts)
