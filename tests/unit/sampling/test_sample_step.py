"""The sample step: what is wrong with a claim of one message isn't taken for a problem of the run."""

import json
from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueRef
from redrive.workflow.ports import Peek
from redrive.workflow.sample import sample
from tests.support import factories
from tests.support.fakes import FakeQueues


class PeekedQueues(FakeQueues):
    """Queues of which one message can be peeked at, and in which nothing is found that isn't known."""

    def peek(self, peek: Peek, _seconds: float) -> Generator[dict[str, Any]]:
        target = factories.string("arn:aws:sqs:eu-west-1:123456789012:orders")
        rule = factories.string("arn:aws:events:us-east-1:123456789012:rule/orders")
        attributes = {"TARGET_ARN": target, "RULE_ARN": rule, "ERROR_CODE": factories.string("NO_PERMISSIONS")}
        event = {"version": "0", "id": "1", "detail-type": "x", "source": "x", "detail": {}}
        yield factories.message(json.dumps(event), source=None, attributes=attributes)
        yield factories.message()
        peek.complete = True

    def find(self, _given: str) -> QueueRef | None:
        raise RejectedError("found orders in eu-west-1")

    def release(self, _queue: QueueRef, _handles: Any) -> int:
        return 0


class NoFacts:
    """A runs table that knows nothing about any message."""

    def recall(self, _ids: Iterable[str]) -> dict[str, str]:
        return {}

    def record(self, _provenance_by_id: Mapping[str, str]) -> None:
        raise AssertionError("a sample records nothing")


def test_a_queue_that_a_message_claims_and_that_is_refused_is_no_known_destination():
    with pytest.raises(RejectedError, match=r"^1 of 2 sampled messages in orders-dlq have no known destination"):
        sample(
            factories.plan(),
            queues=PeekedQueues(),
            facts=NoFacts(),
            find_contract=lambda _: None,
            delivery_policy=DeliveryPolicy(),
            seconds=1,
            retries=0,
            pause=lambda _: None,
            now=lambda: datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC),
        )
