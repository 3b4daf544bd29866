"""Plays the sample step on messages, without AWS."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from redrive.domain.errors import RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueAddress, QueueRef
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Peek
from redrive.workflow.sample import sample
from tests.support import factories
from tests.support.fakes import FakeQueues


class PeekedQueues(FakeQueues):
    """Queues of which some messages can be peeked at, and in which nothing is found that isn't known."""

    def __init__(self, *messages: dict[str, Any], complete: bool = True) -> None:
        super().__init__()
        self._messages = messages
        self._complete = complete

    def peek(self, peek: Peek, _seconds: float) -> Generator[dict[str, Any]]:
        yield from self._messages
        peek.complete = self._complete

    def find(self, _given: str) -> QueueRef | None:
        raise RejectedError("found orders in eu-west-1")

    def release(self, _queue: QueueAddress, _handles: Any) -> int:
        return 0


class NoFacts:
    """A runs table that knows nothing about any message."""

    def recall(self, _ids: Iterable[str]) -> dict[str, str]:
        return {}

    def record(self, _provenance_by_id: Mapping[str, str]) -> None:
        raise AssertionError("a sample records nothing")


def sampled(
    *messages: dict[str, Any],
    queues: PeekedQueues | None = None,
    find_contract: Any = lambda _: None,
    log_error: Any = None,
    **plan: Any,
) -> Sample:
    """Return the sample of messages, or of those in queues."""
    return sample(
        factories.plan(**plan),
        queues=queues or PeekedQueues(*messages),
        facts=NoFacts(),
        find_contract=find_contract,
        delivery_policy=DeliveryPolicy(),
        confirm=factories.confirmed,
        movers=frozenset(),
        log_error=log_error or factories.unlogged,
        seconds=1,
        retries=0,
        pause=lambda _: None,
        now=lambda: datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC),
    )
