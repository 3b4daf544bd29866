"""Reward payouts: each is paid once, in order for each member, and failures don't block other members."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from examples import batches
from examples.reward_payouts import consumer as reward_payouts_consumer
from examples.reward_payouts.contract import REWARD_PAYOUT, RewardPayout
from examples.reward_payouts.ledger import PayoutConflictError, RewardLedger
from tests.support.definitions import functions
from tests.support.rewards import Rewards, campaign, make_rewards, payout, record
from tests.support.samples import VALUES, load

REDRIVEN = {"redrive": {"DataType": "String", "StringValue": '{"run": "run-1", "count": 1}'}}


@pytest.fixture
def rewards(cloud) -> Rewards:
    return make_rewards(cloud)


Consume = Callable[..., list[str]]


@pytest.fixture
def consume(rewards: Rewards) -> Consume:
    """Return a callable that passes records to the consumer and returns the ids of those to retry."""
    assert rewards
    consumer = load(functions()["RewardPayoutsConsumer"])

    def consumed(*records: dict[str, Any]) -> list[str]:
        response = consumer({"Records": list(records)})
        return [item["itemIdentifier"] for item in response["batchItemFailures"]]

    return consumed


def recorded(rewards: Rewards) -> set[str]:
    return {item["payout_id"] for item in rewards.items("LEDGER_TABLE")}


def test_a_payout_is_paid_recorded_and_added_to_the_members_balance(rewards, consume):
    assert consume(record(payout(1), "member-1"), record(payout(2), "member-1")) == []
    assert rewards.balances() == {"member-1": 300}
    assert rewards.calls() == {"payout-1": 1, "payout-2": 1}
    (first,) = [item for item in rewards.items("LEDGER_TABLE") if item["payout_id"] == "payout-1"]
    assert (first["member_id"], first["amount_minor"], first["currency"]) == ("member-1", 100, "EUR")
    assert first["campaign_id"] == "spring"


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ("hello", campaign()),
        ("", campaign()),
        ('{"payout_id": ', campaign()),
        ("null", campaign()),
        ("[]", campaign()),
        ("{}", campaign()),
        (payout(amount_minor="100"), campaign()),
        (payout(amount_minor=1.0), campaign()),
        (payout(amount_minor=12.5), campaign()),
        (payout(amount_minor=0), campaign()),
        (payout(amount_minor=-100), campaign()),
        (payout(amount_minor=True), campaign()),
        (payout(amount_minor=None), campaign()),
        (payout(amount_minor=10**30), campaign()),
        (payout(currency="DM"), campaign()),
        (payout(currency="eur"), campaign()),
        (payout(payout_id=7), campaign()),
        (payout(payout_id=""), campaign()),
        (payout(member_id=["member-1"]), campaign()),
        (payout(bonus=True), campaign()),
        (payout(), {}),
        (payout(), {"Campaign_Id": {"DataType": "String", "StringValue": "spring"}}),
        (payout(), {"campaign_id": {"DataType": "String"}}),
        (payout(), campaign("a campaign")),
        (payout(), REDRIVEN),
    ],
)
def test_a_payout_that_breaks_the_contract_is_neither_paid_nor_recorded(rewards, consume, body, attributes):
    assert consume(record(body, "member-1", attributes, "bad")) == ["bad"]
    assert (rewards.items("LEDGER_TABLE"), rewards.balances(), rewards.calls()) == ([], {}, {})


def test_only_the_poison_message_of_a_batch_is_retried(rewards, consume):
    records = [record(payout(number, member=number), f"member-{number}") for number in range(1, 11)]
    records[4] = record("poison", "member-5", message_id="poison")
    assert consume(*records) == ["poison"]
    assert recorded(rewards) == {f"payout-{number}" for number in range(1, 11) if number != 5}


def test_later_payouts_of_a_member_wait_behind_a_failed_one(rewards, consume):
    records = [
        record(payout(1, member=1), "member-1", message_id="1"),
        record("poison", "member-1", message_id="poison"),
        record(payout(2, member=2), "member-2", message_id="2"),
        record(payout(3, member=1), "member-1", message_id="3"),
    ]
    assert consume(*records) == ["poison", "3"]
    assert recorded(rewards) == {"payout-1", "payout-2"}


def test_a_batch_of_one_member_that_fails_as_a_whole_is_not_a_function_error(rewards, consume):
    rewards.kind("down")
    assert consume(*(record(payout(n), "member-1", message_id=str(n)) for n in (1, 2, 3))) == ["1", "2", "3"]
    # The consumer didn't even try the other two.
    assert rewards.calls() == {"payout-1": 1}
    assert rewards.balances() == {}


def test_the_gateway_can_be_down_for_only_one_member(rewards, consume):
    rewards.kind("down:member-1")
    records = [record(payout(n, member=n), f"member-{n}", message_id=str(n)) for n in (1, 2)]
    assert consume(*records) == ["1"]
    assert rewards.balances() == {"member-2": 200}


def test_a_message_delivered_twice_pays_once(rewards, consume):
    message = record(payout(1), "member-1")
    assert (consume(message, message), consume(message)) == ([], [])
    assert (rewards.balances(), rewards.calls()) == ({"member-1": 100}, {"payout-1": 1})


def test_a_redriven_message_pays_once(rewards, consume):
    redriven = record(payout(1), "member-1", campaign() | REDRIVEN, message_id="new-id")
    assert (consume(record(payout(1), "member-1")), consume(redriven)) == ([], [])
    assert (rewards.balances(), rewards.calls()) == ({"member-1": 100}, {"payout-1": 1})


@pytest.mark.parametrize("changes", [{"amount_minor": 101}, {"member_id": "member-2"}, {"currency": "USD"}])
def test_another_payout_with_the_same_id_is_rejected(rewards, consume, changes):
    consume(record(payout(1), "member-1"))
    assert consume(record(payout(1, **changes), "member-1", message_id="other")) == ["other"]
    assert rewards.balances() == {"member-1": 100}


def test_a_payout_that_was_paid_before_a_crash_is_not_paid_again(rewards, consume):
    # A function that timed out halfway has paid but not written an entry.
    body = REWARD_PAYOUT.parse(payout(1), campaign()).body
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GATEWAY_TABLE", "GATEWAY_SWITCH"):
            patch.setenv(name, VALUES[name])
        reward_payouts_consumer._gateway.pay(body)
    assert rewards.balances() == {}
    assert consume(record(payout(1), "member-1")) == []
    (paid,) = rewards.items("GATEWAY_TABLE")
    assert (paid["paid_minor"], len(paid["calls"])) == (100, 2)
    assert rewards.balances() == {"member-1": 100}


# The ledger


@pytest.fixture
def ledger(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> RewardLedger:
    assert rewards
    for name in ("LEDGER_TABLE", "BALANCES_TABLE"):
        monkeypatch.setenv(name, VALUES[name])
    return RewardLedger(boto3.client("dynamodb"))


@pytest.fixture
def one() -> RewardPayout:
    return REWARD_PAYOUT.parse(payout(1), campaign()).body


def test_only_one_of_two_concurrent_attempts_counts(rewards, ledger, one):
    ledger.enter(one, "spring")
    ledger.enter(one, "spring")
    assert rewards.balances() == {"member-1": 100}


def test_a_concurrent_payout_with_the_same_id_is_an_error(rewards, ledger, one):
    ledger.enter(one, "spring")
    with pytest.raises(PayoutConflictError, match="Expected payout payout-1 to match its ledger entry"):
        ledger.enter(one.model_copy(update={"amount_minor": 7}), "spring")
    assert rewards.balances() == {"member-1": 100}


def test_a_payout_costs_one_read_and_one_transaction_of_two_writes(cloud, ledger, one):
    cloud.calls.clear()
    ledger.holds(one)
    ledger.enter(one, "spring")
    assert cloud.calls == ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    cloud.calls.clear()
    ledger.holds(one)
    assert cloud.calls == ["dynamodb:GetItem"]


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"])
def test_a_payout_that_dynamodb_throttles_is_retried(rewards, consume, code):
    # Stubbed, because moto never throttles.
    with Stubber(reward_payouts_consumer._client) as dynamodb:
        dynamodb.add_response("get_item", {})
        dynamodb.add_response("update_item", {})
        dynamodb.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": code}, {"Code": "None"}]},
        )
        assert consume(record(payout(1), "member-1", message_id="1")) == ["1"]
    assert consume(record(payout(1), "member-1", message_id="1")) == []
    assert rewards.balances() == {"member-1": 100}


def test_a_payout_is_not_paid_if_the_ledger_cannot_be_read(rewards, consume):
    with Stubber(reward_payouts_consumer._client) as dynamodb:
        dynamodb.add_client_error("get_item", "ProvisionedThroughputExceededException")
        assert consume(record(payout(1), "member-1", message_id="1")) == ["1"]
    assert (rewards.calls(), rewards.balances()) == ({}, {})


# Logs


def test_no_part_of_a_payout_is_logged(rewards, consume):
    stream = StringIO()
    registered = batches.logger.registered_handler
    earlier = registered.setStream(stream)
    secret = "member-7319"
    try:
        rewards.kind(f"down:{secret}")
        consume(
            record(payout(1, member_id=secret), secret),
            record(payout(2, amount_minor=7319.5), "member-2"),
            record(payout(3), "member-3"),
        )
    finally:
        registered.setStream(earlier)
    logs = stream.getvalue()
    assert '"failed":2' in logs
    assert "7319" not in logs


# The producer


def test_the_producer_sends_payouts_grouped_by_member_and_returns_what_is_owed(cloud, rewards):
    result = load(functions()["RewardPayoutsProducer"])({"count": 25, "members": 4, "prefix": "p"})
    sent = cloud.take_all(rewards.queue)
    bodies = [json.loads(message["Body"]) for message in sent]
    assert {body["payout_id"] for body in bodies} == {f"p-{number:05}" for number in range(25)}
    assert all(
        message["Attributes"]["MessageGroupId"] == body["member_id"] for message, body in zip(sent, bodies, strict=True)
    )
    assert all("campaign_id" in message["MessageAttributes"] for message in sent)
    owed: dict[str, int] = {}
    for body in bodies:
        owed[body["member_id"]] = owed.get(body["member_id"], 0) + body["amount_minor"]
    assert result == {"sent": 25, "owed": owed}


def test_an_order_that_is_sent_twice_arrives_once(cloud, rewards):
    producer = load(functions()["RewardPayoutsProducer"])
    producer({"count": 5, "members": 5})
    producer({"count": 5, "members": 5})
    assert len(cloud.take_all(rewards.queue)) == 5


def test_the_consumer_processes_everything_that_the_producer_sends(cloud, rewards, consume):
    result = load(functions()["RewardPayoutsProducer"])({"count": 10, "members": 3})
    records = [
        record(message["Body"], message["Attributes"]["MessageGroupId"], message["MessageAttributes"])
        for message in cloud.take_all(rewards.queue)
    ]
    assert consume(*records) == []
    assert rewards.balances() == result["owed"]
