"""Fault schedules on the deployed app: a bounded number of those that `make faults` plays."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.broken_mover import BROKEN, broken
from tests.faults.messages import Fate, draw_messages
from tests.faults.schedules import DELETE, PREFIX, RECEIVE, SEND, Fault, Kind, Scenario, Schedule, draw
from tests.faults.suite import Played, Stage, deployed

# The first test waits for all schedules, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)
# Together, they have most scenarios and most kinds of faults; each takes seconds.
SEEDS = (64, 67, 71, 73, 92, 96, 101, 103, 106)
# What shows that a rule is broken, and the schedule that does.
VIOLATIONS = {
    "send-before-delete": "lost",
    "send-once": "duplicates",
    "keep-order": "order",
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with deployed(SEEDS) as started:
        yield started


def small(number: int, *faults: Fault, fifo: bool = False) -> Schedule:
    """Return a schedule with given faults; seeds this high aren't drawn."""
    seed = 10**9 + number
    return Schedule(
        seed=seed,
        scenario=Scenario.FIFO if fifo else Scenario.PLAIN,
        fifo=fifo,
        messages=draw_messages(
            random.Random(seed),
            f"{PREFIX}{seed}",
            number=25,
            fifo=fifo,
            large=False,
            fates=(Fate.REDRIVEN,),
            wrapped=None,
            sources=1,
        ),
        options={"rate": 100},
        faults=faults,
    )


@pytest.fixture(scope="module")
def played(stage: Stage) -> dict[str, Played]:
    """Play everything at once, because most of it is waiting."""
    schedules = {f"seed {seed}": (stage, draw(seed)) for seed in SEEDS}
    schedules["no faults"] = (stage, small(0))
    schedules["a kill"] = (stage, small(9, Fault(SEND, 1, 1, Kind.KILLED_AFTER)))
    faults = (
        Fault(SEND, 0, 2, Kind.PARTIAL, 0.4),
        Fault(DELETE, 0, 1, Kind.SLOW, 0.1),
        Fault(RECEIVE, 3, 1, Kind.RESET),
    )
    for number, rule in enumerate(BROKEN, 1):
        fifo = rule == "keep-order"
        schedules[rule] = (broken(stage, rule), small(number, *(() if fifo else faults), fifo=fifo))
    with ThreadPoolExecutor(len(schedules)) as pool:
        return dict(zip(schedules, pool.map(lambda each: each[0].play(each[1]), schedules.values()), strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_holds(played: dict[str, Played], seed: int) -> None:
    one = played[f"seed {seed}"]
    assert not one.violations, one.described()
    assert one.hits or not one.schedule.faults


def test_without_faults_every_number_is_exact(played: dict[str, Played]) -> None:
    one = played["no faults"]
    assert not one.violations, one.described()
    assert one.statuses == ["SUCCEEDED"]


def test_a_worker_killed_after_a_send_loses_nothing(played: dict[str, Played]) -> None:
    one = played["a kill"]
    assert not one.violations, one.described()
    assert len(one.hits) == 1


@pytest.mark.parametrize("rule", BROKEN)
def test_the_judge_notices_a_mover_that_breaks_a_safety_rule(played: dict[str, Played], rule: str) -> None:
    one = played[rule]
    assert VIOLATIONS[rule] in {violation.split(":", 1)[0] for violation in one.violations}, one.described()
