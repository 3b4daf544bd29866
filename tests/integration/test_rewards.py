"""The reward payouts consumer and producer: who is paid, who waits, and that nobody is paid twice."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from consumers import batches, reward_payouts_consumer
from consumers.reward_ledger import PayoutConflictError, RewardLedger
from contracts.reward_payout import REWARD_PAYOUT, RewardPayout
from tests.support.definitions import functions
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.rewards import Rewards, campaign, make_rewards, payout, record
from tests.support.samples import VALUES, load

REDRIVEN = {"redrive": {"DataType": "String", "StringValue": '{"run": "run-1", "count": 1}'}}


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as made:
        yield made


@pytest.fixture
def rewards(cloud) -> Rewards:
    return make_rewards(cloud)


Consume = Callable[..., list[str]]


@pytest.fixture
def consume(rewards: Rewards) -> Consume:
    """Return what hands records to the consumer and returns the ids of those to be tried again."""
    assert rewards
    consumer = load(functions()["RewardPayoutsConsumer"])

    def consumed(*records: dict[str, Any]) -> list[str]:
        answer = consumer({"Records": list(records)})
        return [item["itemIdentifier"] for item in answer["batchItemFailures"]]

    return consumed


def entered(rewards: Rewards) -> set[str]:
    return {item["payout_id"] for item in rewards.items("LEDGER_TABLE")}


def test_a_payout_is_paid_entered_and_added_to_the_members_balance(rewards, consume):
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
def test_what_breaks_the_contract_is_neither_paid_nor_entered(rewards, consume, body, attributes):
    assert consume(record(body, "member-1", attributes, "bad")) == ["bad"]
    assert (rewards.items("LEDGER_TABLE"), rewards.balances(), rewards.calls()) == ([], {}, {})


def test_a_poison_message_among_nine_good_ones_is_the_only_one_tried_again(rewards, consume):
    records = [record(payout(number, member=number), f"member-{number}") for number in range(1, 11)]
    records[4] = record("poison", "member-5", message_id="poison")
    assert consume(*records) == ["poison"]
    assert entered(rewards) == {f"payout-{number}" for number in range(1, 11) if number != 5}


def test_later_payouts_of_a_member_wait_behind_one_that_failed(rewards, consume):
    records = [
        record(payout(1, member=1), "member-1", message_id="1"),
        record("poison", "member-1", message_id="poison"),
        record(payout(2, member=2), "member-2", message_id="2"),
        record(payout(3, member=1), "member-1", message_id="3"),
    ]
    assert consume(*records) == ["poison", "3"]
    assert entered(rewards) == {"payout-1", "payout-2"}


def test_a_batch_of_one_member_that_fails_as_a_whole_is_no_error_of_the_function(rewards, consume):
    rewards.trouble("down")
    assert consume(*(record(payout(n), "member-1", message_id=str(n)) for n in (1, 2, 3))) == ["1", "2", "3"]
    # The two behind the first were not even tried.
    assert rewards.calls() == {"payout-1": 1}
    assert rewards.balances() == {}


def test_the_gateway_can_be_down_for_one_member_alone(rewards, consume):
    rewards.trouble("down:member-1")
    records = [record(payout(n, member=n), f"member-{n}", message_id=str(n)) for n in (1, 2)]
    assert consume(*records) == ["1"]
    assert rewards.balances() == {"member-2": 200}


def test_the_same_message_twice_pays_once(rewards, consume):
    message = record(payout(1), "member-1")
    assert (consume(message, message), consume(message)) == ([], [])
    assert (rewards.balances(), rewards.calls()) == ({"member-1": 100}, {"payout-1": 1})


def test_the_same_message_after_a_redrive_pays_once(rewards, consume):
    again = record(payout(1), "member-1", campaign() | REDRIVEN, message_id="new-id")
    assert (consume(record(payout(1), "member-1")), consume(again)) == ([], [])
    assert (rewards.balances(), rewards.calls()) == ({"member-1": 100}, {"payout-1": 1})


@pytest.mark.parametrize("changes", [{"amount_minor": 101}, {"member_id": "member-2"}, {"currency": "USD"}])
def test_another_payout_under_the_same_id_is_refused(rewards, consume, changes):
    consume(record(payout(1), "member-1"))
    assert consume(record(payout(1, **changes), "member-1", message_id="other")) == ["other"]
    assert rewards.balances() == {"member-1": 100}


def test_a_payout_that_the_gateway_paid_before_a_crash_is_not_paid_again(rewards, consume):
    # What a function that timed out half-way leaves behind: a call, and no entry.
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
def books(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> RewardLedger:
    assert rewards
    for name in ("LEDGER_TABLE", "BALANCES_TABLE"):
        monkeypatch.setenv(name, VALUES[name])
    return RewardLedger(boto3.client("dynamodb"))


@pytest.fixture
def one() -> RewardPayout:
    return REWARD_PAYOUT.parse(payout(1), campaign()).body


def test_of_two_attempts_that_both_saw_no_entry_only_one_counts(rewards, books, one):
    books.enter(one, "spring")
    books.enter(one, "spring")
    assert rewards.balances() == {"member-1": 100}


def test_another_payout_that_was_faster_under_the_same_id_is_an_error(rewards, books, one):
    books.enter(one, "spring")
    with pytest.raises(PayoutConflictError, match="expected the payout payout-1 as it is in the ledger"):
        books.enter(one.model_copy(update={"amount_minor": 7}), "spring")
    assert rewards.balances() == {"member-1": 100}


def test_a_payout_costs_one_read_and_one_transaction_of_two_writes(cloud, books, one):
    cloud.calls.clear()
    books.holds(one)
    books.enter(one, "spring")
    assert cloud.calls == ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    cloud.calls.clear()
    books.holds(one)
    assert cloud.calls == ["dynamodb:GetItem"]


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"])
def test_a_payout_that_dynamodb_throttles_is_tried_again(rewards, consume, code):
    # moto never throttles.
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


def test_a_throttled_read_is_no_reason_to_pay(rewards, consume):
    with Stubber(reward_payouts_consumer._client) as dynamodb:
        dynamodb.add_client_error("get_item", "ProvisionedThroughputExceededException")
        assert consume(record(payout(1), "member-1", message_id="1")) == ["1"]
    assert (rewards.calls(), rewards.balances()) == ({}, {})


# Logs


def test_nothing_of_a_payout_is_logged(rewards, consume):
    stream = StringIO()
    registered = batches.logger.registered_handler
    earlier = registered.setStream(stream)
    secret = "member-7319"
    try:
        rewards.trouble(f"down:{secret}")
        consume(
            record(payout(1, member_id=secret), secret),
            record(payout(2, amount_minor=7319.5), "member-2"),
            record(payout(3), "member-3"),
        )
    finally:
        registered.setStream(earlier)
    told = stream.getvalue()
    assert '"failed":2' in told
    assert "7319" not in told


# The producer


def test_the_producer_sends_payouts_in_groups_with_headers_and_tells_what_is_owed(cloud, rewards):
    answer = load(functions()["RewardPayoutsProducer"])({"count": 25, "members": 4, "prefix": "p"})
    sent = cloud.take_all(rewards.queue)
    bodies = [json.loads(message["Body"]) for message in sent]
    assert {body["payout_id"] for body in bodies} == {f"p-{number:05}" for number in range(25)}
    assert all(
        message["Attributes"]["MessageGroupId"] == body["member_id"]
        for message, body in zip(sent, bodies, strict=True)
    )
    assert all("campaign_id" in message["MessageAttributes"] for message in sent)
    owed: dict[str, int] = {}
    for body in bodies:
        owed[body["member_id"]] = owed.get(body["member_id"], 0) + body["amount_minor"]
    assert answer == {"sent": 25, "owed": owed}


def test_an_order_that_was_sent_twice_is_sent_once(cloud, rewards):
    producer = load(functions()["RewardPayoutsProducer"])
    producer({"count": 5, "members": 5})
    producer({"count": 5, "members": 5})
    assert len(cloud.take_all(rewards.queue)) == 5


def test_what_the_producer_sends_the_consumer_takes(cloud, rewards, consume):
    answer = load(functions()["RewardPayoutsProducer"])({"count": 10, "members": 3})
    records = [
        record(message["Body"], message["Attributes"]["MessageGroupId"], message["MessageAttributes"])
        for message in cloud.take_all(rewards.queue)
    ]
    assert consume(*records) == []
    assert rewards.balances() == answer["owed"]
