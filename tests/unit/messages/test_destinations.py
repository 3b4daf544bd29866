"""Destinations: what they are, and what besides queues a deployment may deliver to."""

import pytest

from redrive.domain.messages.destinations import DeliveryPolicy, Kind, quarantine, queue
from tests.support import factories

HOME = factories.queue("orders-dlq").arn
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:redrive-orders"
STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:redrive-orders"
POLICY = DeliveryPolicy(frozenset({FUNCTION, f"{FUNCTION}:live", STATE_MACHINE}))


@pytest.mark.parametrize(("name", "kind"), [("orders", Kind.QUEUE), ("orders.fifo", Kind.FIFO_QUEUE)])
def test_a_queue_is_a_destination_of_its_kind_that_the_rate_applies_to(name, kind):
    found = queue(factories.queue(name))
    assert (found.kind, found.address, found.name) == (kind, factories.queue(name).url, name)
    assert found.throttled
    assert found.takes_batches


def test_the_rate_does_not_apply_to_the_quarantine():
    assert not quarantine(factories.queue("quarantine")).throttled


@pytest.mark.parametrize(
    ("arn", "kind"),
    [(FUNCTION, Kind.FUNCTION), (f"{FUNCTION}:live", Kind.FUNCTION), (STATE_MACHINE, Kind.STATE_MACHINE)],
)
def test_what_the_policy_names_may_be_delivered_to_with_its_qualifier(arn, kind):
    found = POLICY.destination(arn, HOME)
    assert found is not None
    assert (found.kind, found.arn, found.address, found.name) == (kind, arn, arn, "redrive-orders")
    assert not found.takes_batches


ELSEWHERE = [
    FUNCTION.replace("us-east-1", "eu-west-1"),
    FUNCTION.replace("123456789012", "210987654321"),
    "arn:aws:lambda:us-east-1:123456789012:layer:redrive-orders",
    "arn:aws:events:us-east-1:123456789012:rule/redrive-orders",
    FUNCTION.replace("arn:aws:", "arn:aws-cn:"),
    FUNCTION.replace("arn:", "urn:"),
    f"{FUNCTION}:",
    f"{FUNCTION}:live:more",
    f"{FUNCTION}\n",
    f"{FUNCTION}/x",
    f"{FUNCTION}:a b",
    f"{STATE_MACHINE}:live:more",
    f"{STATE_MACHINE}*",
    "redrive-orders",
    "",
]


@pytest.mark.parametrize(
    "arn", [FUNCTION.replace("redrive-orders", "billing"), f"{FUNCTION}:beta", f"{STATE_MACHINE}:1", *ELSEWHERE]
)
def test_what_the_policy_does_not_name_or_is_elsewhere_may_not_be_delivered_to(arn):
    assert DeliveryPolicy(POLICY.arns - {arn}).destination(arn, HOME) is None


@pytest.mark.parametrize("arn", ELSEWHERE)
def test_what_is_no_function_or_state_machine_of_the_queues_account_and_region_is_refused_even_if_it_is_named(arn):
    assert DeliveryPolicy(frozenset({arn})).destination(arn, HOME) is None
