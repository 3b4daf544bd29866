"""Recalls and records the provenance of messages that can't carry it as an attribute.

They are too large, have too many attributes, or are for a function or state machine, which gets no attributes. Used by
the sample and move steps for what they receive and send.
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

# Rows that one request to the runs table can read (DynamoDB API reference, BatchGetItem).
_IDS_AT_ONCE = 100


class Facts(Protocol):
    """The rows of the runs table that replace the provenance attribute."""

    def recall(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return the provenance recorded under these ids, for those that have any."""

    def record(self, provenance_by_id: Mapping[str, str]) -> None:
        """Record provenance under the ids that destinations returned."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Recalls and records the provenance of a run's messages."""

    plan: RunPlan
    facts: Facts
    #: Unique ids of the roles that the mover has or had.
    movers: frozenset[str]

    def received(self, messages: Sequence[Mapping[str, Any]]) -> list[ReceivedMessage]:
        """Return received messages, each with its provenance from the runs table if there is any."""
        return self.recalled(*self.read(messages))

    def read(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[ReceivedMessage], dict[str, str]]:
        """Return received messages, and by message id, the ids to look up in the runs table."""
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
                # Counted and logged when the message is judged.
                received, under = ReceivedMessage.not_read(message, error), None
            found.append(received)
            if under is not None:
                ids[received.message_id] = under
        return found, ids

    def recalled(self, found: list[ReceivedMessage], ids: Mapping[str, str]) -> list[ReceivedMessage]:
        """Return messages, each with its provenance from the runs table if there is any under its id."""
        if not ids:
            return found
        known: dict[str, str] = {}
        for some in batched(set(ids.values()), _IDS_AT_ONCE, strict=False):
            known |= self.facts.recall(some)
        return [replace(message, recorded=known.get(ids.get(message.message_id, ""))) for message in found]

    def unattached(self, accepted: Iterable[tuple[Outbound, str]]) -> dict[str, str]:
        """Return the provenance that accepted messages couldn't carry, by the ids that their destinations returned."""
        return {sent_id: outbound.unattached for outbound, sent_id in accepted if outbound.unattached is not None}

    def record(self, facts: Mapping[str, str]) -> None:
        """Record the provenance that `unattached` returned."""
        if facts:
            self.facts.record(facts)
