"""What a queue declares, and what runs may have of it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.errors import RejectedError
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


@pytest.mark.parametrize(
    ("max_rate", "others", "left", "lower"),
    [
        (20, {"first": 12.5, "second": 7.5}, "0", True),
        (20, {"first": 19.95}, "0.05", True),
        # Whatever the other run had asked for, both could send a message in the same second.
        (1, {"first": 0.5}, "0.5", False),
        (1, {"first": 0.1}, "0.9", False),
    ],
)
def test_a_refusal_says_who_has_the_rate_what_is_left_and_only_what_helps(max_rate, others, left, lower):
    refusal = str(nothing_left(ORDERS, max_rate, shares(**others)))
    messages = "1 message" if max_rate == 1 else f"{max_rate} messages"
    assert refusal.startswith(f"orders accepts {messages} per second in all (its tag redrive:max-rate), and other runs")
    assert all(f"arn:{run} ({rate:g})" in refusal for run, rate in others.items())
    assert f"What is left ({left}) is too little for another run" in refusal
    assert refusal.endswith("or stop one and start it again with a lower rate.") == lower
    assert lower or refusal.endswith("Wait until one of these runs ends, or stop one.")


@given(
    max_rate=st.sampled_from([0.1, 0.5, 1, 2, 4, 5, 20, 100]),
    rates=st.lists(st.sampled_from([0.1, 0.5, 1, 3, 10, 100]), min_size=1, max_size=8),
)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_whoever_follows_a_refusal_gets_a_share(max_rate, rates):
    def granted(wanted: list[float]) -> Shares:
        found = Shares()
        for number, rate in enumerate(wanted):
            share = share_of(f"run-{number}", min(rate, max_rate), max_rate, found)
            found = Shares(by_run=found.by_run | shares(**{f"run-{number}": share}).by_run) if share else found
        return found

    there = granted(rates)
    if share_of("mine", 0.1, max_rate, there) is not None:
        return
    advises = "lower rate" in str(nothing_left(ORDERS, max_rate, there))
    lowest = granted([0.1] * len(there.by_run))
    assert advises == (share_of("mine", 0.1, max_rate, lowest) is not None)
    # The other advice: one of them ends.
    assert all(share_of("mine", 0.1, max_rate, there.without({one})) is not None for one in there.by_run)


NEIGHBORS = [
    *("redrive:max_rate", "redrive:maxrate", "Redrive:Max-Rate", "REDRIVE:MAX-RATE", "redrive:max-rate "),
    *(
        " redrive:max-rate",
        "redrive:",
        "redrive:rate",
        "redrive:owner",
        "redrive-max-rate",
        "redrive.max.rate",
        "RedriveMaxRate",
    ),
    *("redirve:max-rate", "redrive/max-rate", "r\u0435drive:max-rate", "redrive:m\u00e1x-rate"),
]


@pytest.mark.parametrize("key", NEIGHBORS)
@pytest.mark.parametrize("tags", [{}, {"redrive:max-rate": "40"}, {"team": "rewards"}])
def test_a_tag_that_looks_like_ours_is_refused_with_the_queue_and_both_keys(key, tags):
    with pytest.raises(RejectedError) as caught:
        declared_max_rate(ORDERS, {**tags, key: "5"})
    refusal = str(caught.value)
    assert refusal.startswith("orders: expected the tag redrive:max-rate, letter for letter")
    quoted = f"'{key}'" if key.isascii() else f"{len(key)} characters, some of which aren't plain"
    assert f"; found {quoted}, which nothing reads" in refusal
    assert f"aws sqs untag-queue --queue-url {ORDERS.url}" in refusal


@given(place=st.integers(0, 15), letter=st.sampled_from("abxyz-_.:@ 1"), keep=st.integers(0, 1))
@settings(deadline=None, derandomize=True)
def test_a_slip_of_the_pen_in_the_key_is_noticed(place, letter, keep):
    key = "redrive:max-rate"[:place] + letter + "redrive:max-rate"[place + keep :]
    if key == "redrive:max-rate":
        return
    with pytest.raises(RejectedError):
        declared_max_rate(ORDERS, {key: "5"})


@given(st.dictionaries(st.text("abcdefghijklm :-_.@", max_size=128), st.text(max_size=256), max_size=8))
@example({"team": "redrive:max-rate", "aws:cloudformation:stack-name": "redrive", "redrive-max-retries": "3"})
@example({"max-rate": "5", "rate": "5", "redrive": "yes", "redrive-state": "on", "redrive-date": "today"})
@settings(deadline=None, derandomize=True)
def test_other_tags_of_a_queue_declare_nothing(tags):
    assert declared_max_rate(ORDERS, tags) is None


@pytest.mark.parametrize(("value", "found"), [("5/s", "'5/s'"), ("", "''"), ("\uff12\uff10", "2 characters, some of")])
def test_of_a_wrong_value_only_plain_characters_are_repeated(value, found):
    with pytest.raises(RejectedError, match=f"orders: the tag redrive:max-rate is invalid. .*; found {found}"):
        declared_max_rate(ORDERS, {"redrive:max-rate": value})
