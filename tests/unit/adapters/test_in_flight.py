"""Requests in flight: each answer belongs to its action, and nothing that has happened waits for the next check."""

import socket
import threading
import time
from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.adapters import in_flight as in_flight_module
from redrive.adapters.http_connections import Connections, Exchange
from redrive.adapters.in_flight import InFlight
from redrive.domain.moving.actions import Action, ApiError, ErrorKind, Outcome, Receive
from tests.support.patience import PATIENCE_SECONDS, in_time
from tests.unit.adapters.test_http_connections import whole

# No worker threads.
NONE = 0


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Put the next check off until after the test."""
    monkeypatch.setattr(in_flight_module, "_CHECK_SECONDS", 1_000 * PATIENCE_SECONDS)


def received() -> Receive:
    return Receive(10, 0.0, True)


def said(text: str) -> Outcome:
    return ApiError(text, ErrorKind.GONE)


def all_ended(in_flight: InFlight, number: int) -> dict[Action, Outcome]:
    """Return the outcomes of so many actions."""
    ended: dict[Action, Outcome] = {}

    def wait() -> None:
        while len(ended) < number:
            ended.update(in_flight.ended(float("inf")))

    in_time(wait)
    return ended


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("number", [1, 3, 50])
def test_threads_get_their_work_and_wake_up_the_caller(number):
    actions = [received() for _ in range(number)]
    # The threads of the first three actions wait for each other, so each has its own.
    barrier = threading.Barrier(min(number, 3), timeout=PATIENCE_SECONDS)

    def work(place: int) -> Outcome:
        if place < 3:
            barrier.wait()
        return said(str(place))

    with InFlight(3) as in_flight:
        for place, action in enumerate(actions):
            in_flight.perform(action, partial(work, place))
        assert all_ended(in_flight, number) == {action: said(str(place)) for place, action in enumerate(actions)}
        # An outcome is heard once.
        assert list(in_flight.ended(0.0)) == []


@pytest.mark.usefixtures("unchecked")
def test_what_a_step_leaves_to_a_thread_ends_too():
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs), InFlight(1) as in_flight:
        action = received()
        in_flight.watch(action, ours, lambda: lambda: said(threading.current_thread().name))
        theirs.sendall(b"x")
        assert list(in_flight.ended(PATIENCE_SECONDS)) == []
        assert all_ended(in_flight, 1) == {action: said("sqs-0")}


@pytest.mark.usefixtures("unchecked")
def test_more_outcomes_than_the_bell_can_hold_are_all_heard():
    with InFlight(2) as in_flight:

        def fill() -> None:
            while True:
                in_flight._ring.send(b"!" * 65_536)

        with pytest.raises(BlockingIOError):
            in_time(fill)
        actions = [received() for _ in range(20)]
        for action in actions:
            in_flight.perform(action, lambda: said("done"))
        assert all_ended(in_flight, 20).keys() == set(actions)


@pytest.mark.usefixtures("unchecked")
def test_after_all_outcomes_the_caller_waits_as_long_as_it_said():
    with InFlight(2) as in_flight:
        for _ in range(5):
            in_flight.perform(received(), lambda: said("done"))
        all_ended(in_flight, 5)

        def waited() -> bool:
            began = time.monotonic()
            assert list(in_flight.ended(0.05)) == []
            return time.monotonic() - began >= 0.05

        # A thread may wake up the caller after it was heard.
        assert any(waited() for _ in range(6))


def test_threads_end_with_the_lane():
    never = threading.Event()
    with InFlight(3) as in_flight:
        for _ in range(3):
            in_flight.perform(received(), lambda: said(str(never.wait(0.05))))
    assert not any(thread.is_alive() for thread in in_flight._threads)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_error_of_a_thread_is_raised_to_the_caller(error):
    def fail() -> Outcome:
        raise error

    with InFlight(1) as in_flight, pytest.raises(type(error)) as raised:
        in_flight.perform(received(), fail)
        list(in_flight.ended(PATIENCE_SECONDS))
    assert raised.value is error


def test_a_step_is_called_at_checks_without_anything_to_read(monkeypatch):
    monkeypatch.setattr(in_flight_module, "_CHECK_SECONDS", 0.01)
    ours, theirs = socket.socketpair()
    calls: list[None] = []

    def overdue() -> Outcome | None:
        calls.append(None)
        return said("overdue") if len(calls) == 3 else None

    with closing(ours), closing(theirs), InFlight(NONE) as in_flight:
        action = received()
        in_flight.watch(action, ours, overdue)
        assert all_ended(in_flight, 1) == {action: said("overdue")}


def test_between_checks_no_step_is_called_without_anything_to_read(monkeypatch):
    now = 100.0
    monkeypatch.setattr(in_flight_module, "time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs), InFlight(NONE) as in_flight:
        called_at: list[float] = []
        in_flight.watch(received(), ours, lambda: called_at.append(now))
        for moment in (100.0, 100.9, 101.0, 101.1, 101.9, 102.5, 103.4, 103.5):
            now = moment
            assert list(in_flight.ended(0.0)) == []
        assert called_at == [101.0, 102.5, 103.5]
        theirs.sendall(b"x")
        assert list(in_flight.ended(0.0)) == []
        assert called_at == [101.0, 102.5, 103.5, 103.5]


def test_connections_that_nobody_waits_for_anymore_are_closed():
    ours, theirs = socket.socketpair()
    with closing(theirs), pytest.raises(KeyboardInterrupt), InFlight(NONE) as in_flight:
        in_flight.watch(received(), ours, lambda: None)
        raise KeyboardInterrupt
    assert ours.fileno() == -1


@settings(max_examples=60, deadline=None)
@given(data=st.data(), number=st.integers(1, 6))
def test_an_answer_belongs_to_the_request_on_its_connection_however_answers_interleave(data, number):
    pairs = [socket.socketpair() for _ in range(number)]
    connections = Connections("http://any", 5.0, 5.0, None)
    for ours, _ in pairs:
        connections.release(ours)
    with InFlight(NONE) as in_flight:
        # Twice, because an answer may be left in a connection.
        for _ in range(2):
            actions = {str(place): received() for place in range(number)}
            for name, action in actions.items():
                exchange = connections.begin(name.encode())
                assert exchange is not None
                in_flight.watch(action, exchange.connection, partial(body_as_outcome, exchange))
            left = {theirs: in_two(whole(theirs.recv(1)), data) for _, theirs in pairs}
            ended: dict[Action, Outcome] = {}
            for theirs in data.draw(st.permutations([*left, *left])):
                theirs.sendall(left[theirs].pop(0))
                ended |= in_flight.ended(0.0)
            assert ended == {action: ApiError(name, ErrorKind.GONE) for name, action in actions.items()}
    for connection in (connection for both in pairs for connection in both):
        connection.close()


def in_two(answer: bytes, data: Any) -> list[bytes]:
    """Return an answer of one byte in two pieces, of which the first has the head."""
    return [answer, b""] if data.draw(st.booleans()) else [answer[:-1], answer[-1:]]


def body_as_outcome(exchange: Exchange) -> Outcome | None:
    answer = exchange.answer()
    return None if answer is None else ApiError(answer.body.decode(), ErrorKind.GONE)


@pytest.mark.usefixtures("unchecked")
def test_a_wait_ends_within_the_millisecond():
    with InFlight(NONE) as in_flight:

        def waited() -> float:
            began = time.monotonic()
            assert list(in_flight.ended(0.0001)) == []
            return time.monotonic() - began

        # On a busy machine, others take longer.
        assert min(waited() for _ in range(1_000)) < 0.001
