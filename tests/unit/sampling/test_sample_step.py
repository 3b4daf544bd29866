"""The sample step: what is wrong with one message isn't taken for a problem of the run."""

import json
from typing import Any

import pytest

from redrive.domain.messages.queues import QueueRef
from tests.support import factories
from tests.support.peeking import PeekedQueues, sampled


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


class FoundQueues(PeekedQueues):
    """Queues of which one can be found, with tags."""

    def __init__(self, *messages: dict[str, Any], tags: dict[str, str]) -> None:
        super().__init__(*messages)
        self._tags = tags
        self.lookups = 0

    def find(self, given: str) -> QueueRef | None:
        self.lookups += 1
        return INVOICES if given == INVOICES.arn else None

    def tags(self, _queue: QueueRef) -> dict[str, str]:
        return self._tags


INVOICES = factories.queue("invoices")


@pytest.mark.parametrize(
    ("tags", "skipped", "explained"),
    [
        ({"redrive:max-rate": "5"}, {}, None),
        ({"team": "invoices"}, {}, None),
        ({"redrive:max-rate": "5/s"}, {"max-rate-invalid": 3}, "invoices: the tag redrive:max-rate is invalid."),
        ({"Redrive:Max-Rate": "5"}, {"max-rate-invalid": 3}, "invoices: expected the tag redrive:max-rate, letter for"),
    ],
)
def test_a_sample_foresees_what_the_tags_of_a_queue_that_the_plan_does_not_know_declare(tags, skipped, explained):
    queues = FoundQueues(*(factories.message(source="invoices") for _ in range(3)), tags=tags)
    found = sampled(queues=queues)
    assert (found.redrivable, found.skipped) == (3 - sum(skipped.values()), skipped)
    assert [text.startswith(explained or "") for text in found.explanations] == ([True] if explained else [])
    assert queues.lookups == 1


def test_a_sample_says_how_large_messages_may_be_that_were_too_large():
    small = factories.queue("orders", max_bytes=1_024)
    found = sampled(factories.message("x" * 2_000), factories.message("x" * 3_000), sources=(small,))
    assert found.skipped == {"too-large": 2}
    assert found.explanations == (
        "orders takes messages of up to 1,024 bytes: raise its MaximumMessageSize, which can be up to 1,048,576.",
    )
