"""What the pipeline makes of errors that nobody expects of a request: an outcome for the lane, never an end of it."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from botocore.parsers import ResponseParserError

from redrive.adapters import pipeline
from redrive.adapters.pipeline import Pipeline
from redrive.domain.judging.verdicts import Redrive
from redrive.domain.messages.destinations import Destination, queue, state_machine
from redrive.domain.messages.outbound import outbound
from redrive.domain.moving.actions import Action, ApiError, BatchResult, ErrorKind, Outcome, Receive, Send
from redrive.domain.moving.rate_limiter import Departure
from redrive.domain.moving.transitions import InHand
from redrive.workflow.memory import Memory
from tests.support import factories
from tests.support.patience import in_time

QUEUE = queue(factories.queue())


class OneAction:
    """Stands in for a lane that asks for one request."""

    needs_heartbeat = False

    def __init__(self, action: Action) -> None:
        self._todo = [action]
        self.outcomes: list[Outcome] = []

    @property
    def finished(self) -> bool:
        return bool(self.outcomes)

    def next(self, _now: float) -> list[Action]:
        return [self._todo.pop()] if self._todo else []

    def wake_at(self) -> float:
        return float("inf")

    def outcome(self, _action: Action, outcome: Outcome, _now: float) -> None:
        self.outcomes.append(outcome)


class Client:
    """An SQS client whose every request does what the test says."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, _name: str) -> Any:
        return self._answer


class Broken:
    """A runs table, or a client of other services, that raises a foreign error."""

    def __getattr__(self, _name: str) -> Any:
        return fail(ValueError)


def fail(error: type[Exception]) -> Any:
    def raised(*_arguments: Any, **_keys: Any) -> None:
        raise error("secret")

    return raised


def held(destination: Destination, message_id: str) -> InHand:
    received = factories.received(message_id=message_id)
    found = InHand(received, 30.0, 0.0)
    found.verdict = Redrive(outbound(received, destination, "{}", "id"))
    return found


def performed(action: Action, answer: Any = None) -> tuple[Outcome, list[tuple[str, str]]]:
    """Return the outcome of an action, and what was logged."""
    lane, logged = OneAction(action), []
    memory = Memory(factories.plan(), Broken(), frozenset())  # type: ignore[arg-type]
    moving = Pipeline(
        Client(answer),  # type: ignore[arg-type]
        "url",
        30,
        1,
        time.monotonic,
        Broken(),  # type: ignore[arg-type]
        memory,
        lambda *keys: logged.append(keys),
    )
    in_time(lambda: moving.run(lane, lambda: False, 60))  # type: ignore[arg-type]
    return lane.outcomes[0], logged


@pytest.mark.parametrize("error", [ResponseParserError, UnicodeEncodeError.__base__, KeyError, RecursionError])
def test_an_unexpected_error_of_a_request_may_mean_that_it_was_carried_out(error):
    found = ApiError(error.__name__, ErrorKind.UNCERTAIN)
    assert performed(Receive(10, 0.0, True), fail(error)) == (found, [])
    both = Send(QUEUE, (held(QUEUE, "m-1"), held(QUEUE, "m-2")), Departure(2, 0.0))
    assert performed(both, fail(error)) == (found, [])


def test_the_message_of_a_request_of_its_own_is_logged_without_what_the_error_says():
    flow = state_machine("arn:aws:states:us-east-1:123456789012:stateMachine:orders", "orders")
    for destination in (QUEUE, flow):
        outcome, logged = performed(Send(destination, (held(destination, "m-1"),), Departure(1, 0.0)), fail(ValueError))
        assert (outcome, logged) == (ApiError("ValueError", ErrorKind.UNCERTAIN), [("m-1", "ValueError")])


def test_an_answer_that_makes_no_sense_is_uncertain_too():
    outcome, _ = performed(
        Send(QUEUE, (held(QUEUE, "m-1"),), Departure(1, 0.0)), lambda **_request: {"Successful": [SimpleNamespace()]}
    )
    assert outcome == ApiError("TypeError", ErrorKind.UNCERTAIN)


def test_what_cannot_be_recorded_of_a_sent_message_does_not_send_it_again():
    full = {f"a{number}": factories.string("x") for number in range(10)}
    received = factories.received(attributes=full)
    message = InHand(received, 30.0, 0.0)
    message.verdict = Redrive(outbound(received, QUEUE, "{}", "id"))

    def accept(Entries: Any, **_request: Any) -> dict[str, Any]:  # noqa: N803
        return {"Successful": [{"Id": entry["Id"], "MessageId": "new"} for entry in Entries]}

    outcome, _ = performed(Send(QUEUE, (message,), Departure(1, 0.0)), accept)
    assert outcome == BatchResult(unrecorded=ApiError("ValueError", ErrorKind.GONE))


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_batch_takes_note_of_when_it_was_sent_and_answered(error):
    sent: list[float] = []

    def answer(**_request: Any) -> dict[str, Any]:
        sent.append(time.monotonic())
        return {} if error is None else fail(error)()

    departure = Departure(1, float("-inf"))
    before = time.monotonic()
    performed(Send(QUEUE, (held(QUEUE, "m-1"),), departure), answer)
    assert departure.answered is not None
    assert before <= departure.started <= sent[0] <= departure.answered <= time.monotonic()


class Nothing:
    """Stands in for requests in flight, of which none ends. Waiting for them moves the clock."""

    now = 100.0

    def __enter__(self) -> "Nothing":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def ended(self, seconds: float) -> list[Any]:
        assert seconds < float("inf")
        self.now += seconds
        return []


class Waiting:
    """Stands in for a lane that asks for nothing, and finishes after some heartbeats."""

    def __init__(self, clock: Nothing, *, needs_heartbeat: bool, wakes_after: float) -> None:
        self.needs_heartbeat = needs_heartbeat
        self._wakes_after = wakes_after
        self._clock = clock
        self.asked_at: list[float] = []
        self.beats: list[float] = []

    @property
    def finished(self) -> bool:
        return len(self.beats) == 4

    def next(self, now: float) -> list[Action]:
        self.asked_at.append(now - 100)
        return []

    def wake_at(self) -> float:
        return self._clock.now + self._wakes_after


@pytest.mark.parametrize(
    ("needs_heartbeat", "error", "beats"),
    [
        (False, None, [10, 20, 30, 40]),
        (False, ConnectTimeoutError(endpoint_url="x"), [10, 20, 30, 40]),
        (True, None, [0, 0.25, 0.5, 0.75]),
        (True, ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem"), [0, 2.5, 5, 7.5]),
    ],
)
@pytest.mark.parametrize("wakes_after", [4.0, 1_000.0])
def test_heartbeats_have_a_rhythm_and_come_sooner_if_the_lane_needs_them(
    monkeypatch, needs_heartbeat, error, beats, wakes_after
):
    clock = Nothing()
    lane = Waiting(clock, needs_heartbeat=needs_heartbeat, wakes_after=wakes_after)
    monkeypatch.setattr(pipeline, "InFlight", lambda _threads: clock)

    def heartbeat() -> bool:
        lane.beats.append(clock.now - 100)
        # The last one must succeed.
        if error is not None and len(lane.beats) < 5:
            raise error
        return False

    broken: Any = Broken()
    moving = Pipeline(broken, "url", 30, 1, lambda: clock.now, broken, broken, factories.unlogged)
    moving.run(lane, heartbeat, 10.0)  # type: ignore[arg-type]
    assert lane.beats == [*beats, beats[-1]]
    # The lane is asked what to do when it wants to be, and before and after each heartbeat.
    waits = [4, 8] if wakes_after == 4 and not needs_heartbeat else []
    assert lane.asked_at[: len(waits) + 2] == [0, *waits, beats[0]]
    assert [lane.asked_at.count(beat) for beat in beats[:-1]] == [2] * 3
