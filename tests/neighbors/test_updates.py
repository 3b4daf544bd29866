"""A new version is deployed while a run is on: the run finishes or ends with one sentence, and nothing is lost.

From some request on, the functions that begin are of a version whose runs have another format. Those that are running
go on as they are, as they do in Lambda. The judge is that of the fault schedules.
"""

from __future__ import annotations

from copy import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.plan import planning, run_plan
from tests.faults.schedules import DELETE, SEND, TASK, Fault, Kind, Schedule
from tests.neighbors.test_after_faults import KEEPS, MOVES, STOPS, Played, play, schedules
from tests.support.model_faults import ITEMS, TASKS, neighbors

# Makes a schedule one with a disturbance, and hits nothing.
UPDATE = Fault("Update", 0, 1, Kind.SLOW, 0.0)
SENTENCE = (
    "Another version of this app was deployed while the run was on: expected a run of format {new}, found {old}. "
    "The run ends early, and nothing is lost; start another run to move the rest."
)
moments = st.tuples(st.sampled_from(TASKS), st.integers(0, 2)) | st.tuples(
    st.sampled_from([SEND, DELETE, *ITEMS]), st.integers(0, 20)
)
# Forward and back.
formats = st.sampled_from([run_plan.FORMAT - 1, run_plan.FORMAT + 1, run_plan.FORMAT + 7])


def updated(schedule: Schedule, moment: tuple[str, int], new: int) -> Played:
    """Play a schedule in which a version with another format is deployed at some request."""

    def deploy() -> None:
        run_plan.FORMAT = planning.FORMAT = new  # type: ignore[misc]

    before = run_plan.FORMAT
    try:
        return play(replace(schedule, faults=(UPDATE,), follow_up=True), {moment: deploy})
    finally:
        run_plan.FORMAT = planning.FORMAT = before  # type: ignore[misc]


@given(schedules((*MOVES, *KEEPS, *STOPS), None, rates=(2, 8, 40)), moments, formats)
@neighbors(200)
def test_whenever_another_version_is_deployed_the_run_finishes_or_says_so_and_nothing_is_lost(schedule, moment, new):
    played = updated(schedule, moment, new)
    assert played.violations() == []
    report: dict[str, Any] | None = played.evidence.observations[0].report
    if report is not None and report["status"] == "FAILED":
        assert report["reason"] == SENTENCE.format(new=new, old=run_plan.FORMAT)


@pytest.mark.parametrize("step", ["sample", "move", "tally", "clean-up", "report"])
@given(schedule=schedules((*MOVES, *KEEPS), None, fewest=30, rates=(2,)), new=formats)
@neighbors(10)
def test_a_run_of_another_version_is_ended_before_the_next_message_moves(step, schedule, new):
    played = updated(schedule, (TASK + step, 0), new)
    report = played.evidence.observations[0].report
    assert report is not None
    ended = report["status"] == "FAILED" and report["reason"] == SENTENCE.format(new=new, old=run_plan.FORMAT)
    assert ended == (step in {"sample", "move", "tally"})
    if step in {"sample", "move"}:
        assert report["counts"]["redriven"] == len(played.evidence.observations[0].delivered) == 0
    assert played.violations() == []
