"""Reward payouts on the deployed app: what dies, what waits, what a redrive does; nobody is paid twice."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3.dynamodb.types
import pytest

from tests.support.app import App, Pair
from tests.support.eventually import eventually
from tests.support.rewards import campaign, payout

# Longer than the consumer's timeout and a slow start of its process, so no message is received during its processing.
VISIBILITY = "9"
_runs = itertools.count(1)


class Rewards:
    """The app's own rewards queues and tables; every instance has members and payouts of its own."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.pair = Pair(app.own("RewardsQueue"), app.own("RewardsDLQ"))
        self.name = f"case{next(_runs)}"

    def member(self, number: int) -> str:
        return f"{self.name}-m{number}"

    def payout_id(self, number: int) -> str:
        return f"{self.name}-p{number}"

    def body(self, number: int, member: int, **changes: Any) -> str:
        values = {"payout_id": self.payout_id(number), "member_id": self.member(member)}
        return payout(number, **(values | changes))

    def send(self, *messages: tuple[str, int] | tuple[str, int, dict[str, Any]]) -> None:
        """Send messages, each given as body, member, and headers if they differ from the usual ones."""
        entries = []
        for body, member, *headers in messages:
            entry = {
                "MessageBody": body,
                "MessageGroupId": self.member(member),
                "MessageDeduplicationId": f"{self.name}-{next(_runs)}",
                "MessageAttributes": headers[0] if headers else campaign(),
            }
            entries.append({name: value for name, value in entry.items() if value})
        self.app.send(self.pair.source, entries)

    @contextmanager
    def nobody_consuming(self) -> Iterator[None]:
        """Switch the consumer's event source mapping off for a while."""
        client = self.app.cloud.client("lambda")
        (found,) = client.list_event_source_mappings(EventSourceArn=self.pair.source.arn)["EventSourceMappings"]
        client.update_event_source_mapping(UUID=found["UUID"], Enabled=False)
        yield
        client.update_event_source_mapping(UUID=found["UUID"], Enabled=True)

    def set_gateway(self, state: str) -> None:
        """Set the payment gateway's switch, and wait until every consumer has read it again."""
        name = self.app.resource("PaymentGatewaySwitch")
        self.app.cloud.client("ssm").put_parameter(Name=name, Value=state, Type="String", Overwrite=True)
        cached_until = time.monotonic() + 1.1
        eventually(lambda: time.monotonic() > cached_until)

    def dead(self, number: int) -> None:
        """Wait until the queue is empty and its dead-letter queue has `number` messages."""
        eventually(lambda: (self.app.depth(self.pair.source), self.app.depth(self.pair.dlq)) == (0, number))

    def done(self) -> None:
        eventually(lambda: self.app.depth(self.pair.source) == 0)

    def items(self, table: str, key: str) -> dict[str, dict[str, Any]]:
        plain = boto3.dynamodb.types.TypeDeserializer().deserialize
        found = self.app.cloud.client("dynamodb").scan(TableName=self.app.resource(table))["Items"]
        read = [{name: plain(value) for name, value in item.items()} for item in found]
        return {item[key]: item for item in read if item[key].startswith(f"{self.name}-")}

    def balances(self) -> dict[str, int]:
        return {member: int(item["EUR"]) for member, item in self.items("RewardsBalancesTable", "member_id").items()}

    def calls(self) -> dict[str, int]:
        paid = self.items("PaymentGatewayTable", "payout_id")
        return {name: len(item["calls"]) for name, item in paid.items()}


@pytest.fixture
def rewards(app: App) -> Iterator[Rewards]:
    made = Rewards(app)
    url = made.pair.source.url
    before = app.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    app.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": VISIBILITY})
    yield made
    made.set_gateway("none")
    app.take(made.pair.dlq)
    app.sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def test_the_producer_owes_each_member_what_the_consumer_pays(rewards: Rewards):
    order = {"count": 10, "members": 2, "prefix": rewards.member(1)}
    answer = rewards.app.invoke("RewardPayoutsProducer", order)
    rewards.done()
    assert answer == {"sent": 10, "owed": rewards.balances()}


def test_a_poison_message_among_nine_good_ones_is_the_only_one_that_dies(rewards: Rewards):
    rewards.send(*((rewards.body(n, n), n) for n in range(1, 10)), ("poison", 10))
    rewards.dead(1)
    assert rewards.balances() == {rewards.member(n): 100 * n for n in range(1, 10)}
    assert set(rewards.calls().values()) == {1}
    (message,) = rewards.app.take(rewards.pair.dlq)
    assert message["Body"] == "poison"


def test_payouts_that_waited_behind_a_poison_message_are_paid_by_a_redrive_which_quarantines_the_poison(
    rewards: Rewards,
):
    # The consumer gets them together: what comes later than the poison would outlive it.
    with rewards.nobody_consuming():
        rewards.send(("poison", 1), (rewards.body(1, 1), 1), (rewards.body(2, 1), 1))
    rewards.dead(3)
    assert rewards.balances() == {}
    run = rewards.app.redrive(rewards.pair.dlq, rate=500)
    assert (run.report["counts"]["redriven"], run.report["quarantineReasons"]) == (2, {"not-json": 1})
    assert (run.report["rate"]["asked"], run.report["rate"]["ceiling"]) == (500, 40)
    rewards.done()
    assert rewards.balances() == {rewards.member(1): 300}
    ledger = rewards.items("RewardsLedgerTable", "payout_id")
    assert {item["campaign_id"] for item in ledger.values()} == {"spring"}
    assert ledger[rewards.payout_id(1)]["entered_at"] < ledger[rewards.payout_id(2)]["entered_at"]


def test_what_breaks_the_contract_is_never_paid_and_ends_in_quarantine_with_its_reason(rewards: Rewards):
    rewards.send(
        ("{", 1),
        (rewards.body(1, 2), 2, {}),
        (rewards.body(2, 3), 3, {"campaign_id": {"DataType": "String", "StringValue": "no campaign"}}),
        (rewards.body(3, 4, amount_minor=12.5), 4),
        (rewards.body(4, 5, bonus=1), 5),
    )
    rewards.dead(5)
    assert (rewards.balances(), rewards.calls()) == ({}, {})
    run = rewards.app.redrive(rewards.pair.dlq)
    assert run.report["quarantineReasons"] == {
        "not-json": 1,
        "missing-attribute": 1,
        "invalid-attribute": 1,
        "invalid-body": 2,
    }


def test_the_same_payout_in_two_messages_is_paid_once(rewards: Rewards):
    rewards.send((rewards.body(1, 1), 1), (rewards.body(1, 1), 1), (rewards.body(1, 1), 2))
    rewards.done()
    assert rewards.balances() == {rewards.member(1): 100}
    assert sum(rewards.calls().values()) <= 2


def test_a_function_that_times_out_half_way_through_a_batch_pays_nobody_twice(rewards: Rewards):
    rewards.set_gateway(f"mute:{rewards.member(2)}")
    rewards.send(*((rewards.body(n, n), n) for n in (1, 2, 3)))
    eventually(lambda: rewards.payout_id(2) in rewards.calls())
    rewards.set_gateway("none")
    rewards.done()
    if rewards.app.depth(rewards.pair.dlq):  # on a slow machine, the second attempt may have timed out too
        rewards.app.redrive(rewards.pair.dlq)
        rewards.done()
    assert rewards.balances() == {rewards.member(n): 100 * n for n in (1, 2, 3)}
    # The gateway had paid the second one before its answer got lost. Called again, it did not pay again.
    paid = rewards.items("PaymentGatewayTable", "payout_id")
    assert {name: int(item["paid_minor"]) for name, item in paid.items()} == {
        rewards.payout_id(n): 100 * n for n in (1, 2, 3)
    }
    assert rewards.calls()[rewards.payout_id(1)] == 1
    assert rewards.calls()[rewards.payout_id(2)] >= 2


def test_a_payout_that_died_after_the_gateway_had_paid_it_is_entered_by_a_redrive_and_not_paid_again(
    rewards: Rewards,
):
    rewards.set_gateway(f"mute:{rewards.member(1)}")
    rewards.send((rewards.body(7, 1), 1))
    rewards.dead(1)
    rewards.set_gateway("none")
    assert rewards.balances() == {}
    run = rewards.app.redrive(rewards.pair.dlq)
    assert run.report["counts"]["redriven"] == 1
    rewards.done()
    assert rewards.balances() == {rewards.member(1): 700}
    (paid,) = rewards.items("PaymentGatewayTable", "payout_id").values()
    assert int(paid["paid_minor"]) == 700
    # Asked before it died, once or twice as the function's start took, and by the redrive.
    assert len(paid["calls"]) in {2, 3}


# Max rates


def test_a_run_is_never_faster_than_the_receiving_queue_declares(app: App):
    pair = app.pair()
    app.sqs.tag_queue(QueueUrl=pair.source.url, Tags={"redrive:max-rate": "10"})
    app.bury(pair, [{"MessageBody": str(number)} for number in range(40)])
    run = app.redrive(pair.dlq, rate=1000)
    assert run.report["counts"]["redriven"] == 40
    assert (run.report["rate"]["asked"], run.report["rate"]["ceiling"]) == (1000, 10)
    assert run.report["rate"]["measured"] < 11


def test_a_max_rate_that_is_no_number_is_refused_before_anything_moves(app: App):
    pair = app.pair()
    app.sqs.tag_queue(QueueUrl=pair.source.url, Tags={"redrive:max-rate": "slow"})
    app.bury(pair, [{"MessageBody": "message"}])
    run = app.redrive(pair.dlq)
    assert run.report["status"] == "REJECTED"
    assert run.report["reason"].startswith(f"{pair.source.name}: the tag redrive:max-rate is invalid.")
    assert "found 'slow'" in run.report["reason"]
    assert app.depth(pair.dlq) == 1
