"""The sample step: what is wrong with one message isn't taken for a problem of the run."""

import json
from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from redrive.domain.errors import RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueRef
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Peek
from redrive.workflow.sample import sample
from tests.support import factories
from tests.support.fakes import FakeQueues


class PeekedQueues(FakeQueues):
    """Queues of which some messages can be peeked at, and in which nothing is found that isn't known."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        super().__init__()
        self._messages = messages

    def peek(self, peek: Peek, _seconds: float) -> Generator[dict[str, Any]]:
        yield from self._messages
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


def sampled(
    *messages: dict[str, Any], find_contract: Any = lambda _: None, log_error: Any = None, **plan: Any
) -> Sample:
    return sample(
        factories.plan(**plan),
        queues=PeekedQueues(*messages),
        facts=NoFacts(),
        find_contract=find_contract,
        delivery_policy=DeliveryPolicy(),
        confirm=lambda _: None,
        movers=frozenset(),
        log_error=log_error or factories.unlogged,
        seconds=1,
        retries=0,
        pause=lambda _: None,
        now=lambda: datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC),
    )


def test_a_queue_that_a_message_claims_and_that_is_refused_is_no_known_destination():
    target = factories.string("arn:aws:sqs:eu-west-1:123456789012:orders")
    rule = factories.string("arn:aws:events:us-east-1:123456789012:rule/orders")
    attributes = {"TARGET_ARN": target, "RULE_ARN": rule, "ERROR_CODE": factories.string("NO_PERMISSIONS")}
    event = {"version": "0", "id": "1", "detail-type": "x", "source": "x", "detail": {}}
    claims = factories.message(json.dumps(event), source=None, attributes=attributes)
    two = (factories.queue("invoices"), factories.queue("orders"))
    found = sampled(claims, factories.message(), sources=two)
    assert (found.skipped, found.redrivable) == ({"no-destination": 1}, 1)


def test_a_message_that_cannot_be_read_is_counted_and_says_nothing_about_times_and_sizes():
    unreadable = factories.message("secret", message_id="m-1")
    del unreadable["Attributes"]["SentTimestamp"]
    logged: list[tuple[str, str]] = []
    found = sampled(unreadable, factories.message("hello"), log_error=lambda *keys: logged.append(keys))
    assert (found.sampled, found.redrivable, found.skipped) == (2, 1, {"unexpected-error": 1})
    assert (found.oldest_sent_at, found.sizes.smallest) == (found.newest_sent_at, 5)
    assert logged == [("m-1", "KeyError")]


class UnshownContract:
    """A contract that every message satisfies, but whose marks can't be read to show one."""

    name, attributes_schema, sns_delivery = "unshown", {}, None

    @property
    def body_schema(self) -> dict[str, Any]:
        raise RecursionError("secret")

    def parse(self, _body: str, _attributes: object) -> None:
        return None


def test_a_message_that_cannot_be_shown_is_counted_once_and_the_others_are_sampled():
    logged: list[tuple[str, str]] = []
    found = sampled(
        factories.message(message_id="m-1"),
        factories.message(sent_at=factories.STARTED_AT),
        find_contract={"orders": UnshownContract()}.get,
        log_error=lambda *keys: logged.append(keys),
    )
    assert (found.sampled, found.redrivable) == (2, 0)
    assert found.skipped == {"unexpected-error": 1, "arrived-after-start": 1}
    assert [group.messages for group in found.groups] == [1, 1]
    assert logged == [("m-1", "RecursionError")]
