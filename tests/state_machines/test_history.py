"""No execution gets near Step Functions' limit of history events, however often its tasks are retried."""

from collections.abc import Iterator
from typing import Any

import pytest

from redrive.domain.runs.tally import MAX_HISTORY_EVENTS, MAX_LANES
from tests.support.definitions import definition
from tests.support.executions import TaskError

# Step Functions developer guide, "Step Functions service quotas": maximum execution history size.
LIMIT = 25_000
THROTTLED = "Lambda.TooManyRequestsException"


@pytest.mark.parametrize(("rate", "lanes", "failures"), [(50, 1, 7), (1_500, 3, 2)])
def test_the_tally_counts_what_the_history_has(account, monkeypatch, rate, lanes, failures):
    monkeypatch.setattr("redrive.domain.runs.tally.MAX_WAITS", 3)
    # A few messages are enough for three lanes.
    monkeypatch.setattr("redrive.domain.runs.tally.LANE_MESSAGES", 1)
    account.fill()
    account.take(3)

    def fail(_name: str = "Coordinator", event: Any = None) -> None:
        # Once per round.
        if event is None or event.get("step") == "tally":
            account.workflows.failures = {state: [TaskError(THROTTLED)] * failures for state in ("MoveSlice", "Tally")}

    fail()
    account.instead = fail
    run = account.run({"dlq": account.dlq.name, "rate": rate})
    counted = [answer["historyEvents"] for _, step, answer in account.answers if step == "tally"]
    written = list(events_after_rounds(run.events))
    assert len(counted) == len(written) == 4
    assert run.entered("MoveSlice") == 4 * lanes
    for number, (count, events) in enumerate(zip(counted, written, strict=True), start=1):
        assert events <= count <= events + number * (2 * lanes + 4)
    assert account.workflows.attempts["MoveSlice"] == 4 * (lanes + failures)


def events_after_rounds(events: list[dict[str, Any]]) -> Iterator[int]:
    """Yield, after each round, how many events there are since the first one began."""
    details = [event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {} for event in events]
    names = [each.get("name") for each in details]
    for place, event in enumerate(events):
        if event["type"] == "ChoiceStateExited" and names[place] == "WhatNext":
            pause = 2 if names[place + 1] == "WaitForMessages" else 0
            yield place + 1 + pause - names.index("Lanes")


def test_an_execution_whose_last_round_begins_just_before_the_limit_fits():
    """The worst: every task of the round and of all states after it fails as often as its retriers allow."""
    states = definition()["States"]
    lane = 2 + most_events(states["Lanes"]["ItemProcessor"]["States"]["MoveSlice"])
    last_round = 4 + MAX_LANES * lane + most_events(states["Tally"]) + most_events(states["WhatNext"])
    others = sum(most_events(state) for name, state in states.items() if name not in {"Lanes", "Tally", "WhatNext"})
    assert MAX_HISTORY_EVENTS + last_round + others < LIMIT * 0.8


def most_events(state: dict[str, Any]) -> int:
    """Return how many events a state writes at most: those of entering and leaving it, and those of each attempt."""
    attempts = 1 + sum(retrier["MaxAttempts"] for retrier in state.get("Retry", []))
    of_attempt = 4 if ".sync" in state.get("Resource", "") else 3
    return 2 + (of_attempt * attempts if state["Type"] == "Task" else 0)
