"""What a queue declares, and what runs may have of it."""

import pytest

from redrive.domain.plan.rates import Share, Shares, burst, declared_max_rate, nothing_left, share_of
from tests.support import factories

ORDERS = factories.queue("orders")


def shares(**rates: float) -> Shares:
    return Shares(by_run={run: Share(rate=rate, execution_arn=f"arn:{run}") for run, rate in rates.items()})


def test_a_queue_without_the_tag_declares_nothing():
    assert declared_max_rate(ORDERS, {"team": "rewards"}) is None


def test_the_tag_says_how_many_messages_a_second_the_queue_accepts():
    assert declared_max_rate(ORDERS, {"redrive:max-rate": "2.5"}) == 2.5


@pytest.mark.parametrize(
    ("wanted", "others", "share"),
    [
        (50, {}, 20),
        (5, {}, 5),
        (50, {"first": 10}, 10),
        (5, {"first": 10}, 5),
        (50, {"first": 5, "second": 10}, 5),
        (50, {"first": 20}, None),
        (50, {"first": 10, "second": 10}, None),
    ],
)
def test_a_run_gets_what_it_wants_or_what_is_left(wanted, others, share):
    assert share_of("mine", wanted, 20, shares(**others)) == share


def test_a_run_keeps_the_share_that_it_has():
    assert share_of("mine", 50, 20, shares(mine=3, other=10)) == 3


def test_a_run_does_not_start_with_less_than_a_message_in_ten_seconds():
    assert share_of("mine", 50, 1, shares()) == 1
    assert share_of("mine", 50, 0.1, shares()) == 0.1
    assert share_of("mine", 50, 20, shares(first=19.95)) is None


def test_many_small_shares_take_more_than_their_sum_because_each_can_add_a_message_to_the_same_second():
    # Five runs with a message a second each: in their worst second, they hand over ten.
    assert share_of("mine", 1, 7, shares(a=1, b=1, c=1)) == pytest.approx(1)
    assert share_of("mine", 1, 7, shares(a=1, b=1, c=1, d=1)) is None


@pytest.mark.parametrize(
    ("max_rate", "messages"), [(0.1, 1), (7, 1), (20, 4), (50, 10), (500, 10), (1000, 20), (10_000, 200)]
)
def test_a_second_may_exceed_the_max_rate_by_one_batch_or_two_percent(max_rate, messages):
    assert burst(max_rate) == messages


def test_a_refusal_names_the_runs_that_have_the_rate_and_what_to_do():
    refusal = str(nothing_left(ORDERS, 20, shares(first=12.5, second=7.5)))
    assert refusal == (
        "orders accepts 20 messages per second in all (its tag redrive:max-rate), and other runs have reserved them: "
        "arn:first (12.5) and arn:second (7.5). Wait until one ends, stop one, or start it again with a lower rate."
    )
