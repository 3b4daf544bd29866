"""A whole run in one process: what a step learns from earlier attempts, and how a failed lane affects the others."""

from threading import Event
from typing import Any

from redrive.domain.errors import LockLostError
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.sample import Sample
from redrive.workflow.whole_run import RunState, State, Steps, WholeRun
from tests.support import factories

PLAN = factories.plan()
LANES = (factories.work(lane=0, lanes=2), factories.work(lane=1, lanes=2))


def never(*_: Any) -> Any:
    raise AssertionError("not expected")


def whole(*, round_failed: Event | None = None, **steps: Any) -> WholeRun:
    expected: dict[str, Any] = dict.fromkeys(("plan", "sample", "move", "tally", "clean_up", "report"), never)
    return WholeRun(
        Steps(**(expected | steps)),
        keep=lambda _: None,
        asked_to_stop=lambda: False,
        round_failed=round_failed or Event(),
        check_access=lambda: None,
        pause=lambda _: None,
    )


def state(following: State) -> RunState:
    return RunState(
        given={},
        given_text="{}",
        execution=factories.execution(),
        quarantine_arn=None,
        contracts={},
        next=following,
        plan=PLAN,
        tally=factories.tally().model_copy(update={"lanes": LANES}),
    )


def attempts_of_a_sample(*, resumed: bool) -> list[int]:
    attempts: list[int] = []

    def sample(_plan: RunPlan, before: int) -> Sample:
        attempts.append(before)
        if len(attempts) < 3:
            raise OSError
        return Sample()

    def move(*_: Any) -> Any:
        raise LockLostError("far enough")

    found = whole(sample=sample, move=move, clean_up=lambda _plan, tally: tally, report=lambda _: None)
    found.play(state(State.SAMPLE), resumed=resumed)
    return attempts


def test_a_sample_knows_how_many_attempts_came_before_that_of_a_dead_process_included():
    assert attempts_of_a_sample(resumed=False) == [0, 1, 2]
    assert attempts_of_a_sample(resumed=True) == [1, 2, 3]


def test_if_a_lane_fails_the_others_end_before_the_run_cleans_up():
    round_failed, order = Event(), []

    def move(_plan: RunPlan, work: Any) -> Any:
        if work.lane == 0:
            raise LockLostError("Another run has the lock.")
        order.append("told" if round_failed.wait(30) else "not told")
        return factories.slice_result()

    def clean_up(_plan: RunPlan, tally: Any) -> Any:
        order.append("clean-up")
        return tally

    found = whole(round_failed=round_failed, move=move, clean_up=clean_up, report=lambda _: None)
    last = found.play(state(State.LANES))
    assert order == ["told", "clean-up"]
    assert last.failure is not None
    assert last.failure.error == "LockLostError"
