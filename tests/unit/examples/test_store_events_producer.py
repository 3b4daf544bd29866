"""The producer of store events: a count at once or a stream at a rate, and a share of bad events."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.store_events.producer import ORDER, Order, batches
from redrive.contracts.contract import ContractViolationError


class Clock:
    """A clock that only waiting and sending advance."""

    def __init__(self, seconds_a_send: float = 0.0) -> None:
        self.time = 100.0
        self.seconds_a_send = seconds_a_send

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def play(self, order: Order, seed: int = 1) -> list[tuple[float, tuple[bool, ...]]]:
        """Return every batch with the time at which it left, in seconds since the start."""
        left = []
        for flags in batches(order, random.Random(seed), self.now, self.wait):
            left.append((self.time - 100.0, flags))
            self.time += self.seconds_a_send
        return left


@given(count=st.integers(1, 300), share=st.floats(0, 1))
def test_a_count_is_exact_and_so_is_its_bad_share(count, share):
    sent = [flag for _, flags in Clock().play(Order(count=count, bad_share=share)) for flag in flags]
    assert (len(sent), sum(sent)) == (count, round(count * share))


def test_a_stream_has_the_ordered_length_and_rate():
    left = Clock().play(Order(seconds=5, rate=20))
    assert left[-1][0] < 5
    assert abs(sum(len(flags) for _, flags in left) - 100) <= 4  # one batch


def test_a_stream_lasts_five_seconds_by_default():
    assert 4.5 < Clock().play(Order())[-1][0] < 5


@given(rate=st.floats(1, 500), seconds=st.floats(0.1, 6), slow=st.floats(0, 0.3))
def test_no_second_of_a_stream_has_more_events_than_the_rate_and_one_batch(rate, seconds, slow):
    left = Clock(slow).play(Order(seconds=seconds, rate=rate))
    sizes = [(at, len(flags)) for at, flags in left]
    for start, _ in sizes:
        in_window = sum(size for at, size in sizes if start <= at < start + 1)
        assert in_window <= rate + max(size for _, size in sizes) + 1e-6


def test_the_bad_share_of_a_stream_is_about_what_was_ordered():
    sent = [flag for _, flags in Clock().play(Order(seconds=50, rate=100, bad_share=0.2)) for flag in flags]
    assert 0.17 < sum(sent) / len(sent) < 0.23


@pytest.mark.parametrize(
    "order",
    [
        {"count": 10, "seconds": 5},
        {"count": 10, "rate": 5},
        {"count": 0},
        {"seconds": 51},
        {"seconds": float("inf")},
        {"rate": 501},
        {"rate": 0},
        {"badShare": 1.1},
        {"prefix": "a b"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_refused(order):
    with pytest.raises(ContractViolationError) as caught:
        ORDER.parse(json.dumps(order), {})
    assert not [value for value in ("a b", "unknown", "501") if value in str(caught.value)]


def test_two_orders_without_a_prefix_do_not_share_ids():
    assert Order().prefix != Order().prefix
