"""How far a run in this process is, as its steps and lanes tell.

Used by `redrive move`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from redrive.command.display import Display
from redrive.command.progress import Pace, Progress
from redrive.domain.moving.results import LaneWork, SliceResult, Totals
from redrive.workflow.whole_run import RunState, State

# Seconds between two updates. A lane says how far it is every two seconds, and there may be 20.
_EVERY = 0.5
_DOING = {
    State.PLAN: "planning",
    State.SAMPLE: "sampling",
    State.WAIT: "waiting for messages in flight elsewhere",
    State.CLEAN_UP: "finishing",
}


class MoveProgress:
    """The progress of one run.

    Parameters
    ----------
    display : Display
        Where it is shown.
    clock : Callable[[], float]
        The time in seconds.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self._display = display
        self._clock = clock
        self._lock = Lock()
        self._state: RunState | None = None
        self._lanes: dict[int, Totals] = {}
        self._pace = Pace()
        self._updated_at = float("-inf")

    def entered(self, state: RunState) -> None:
        """Note that the run enters a state."""
        with self._lock:
            self._state, self._lanes = state, {}
            if state.next in _DOING:
                self._show()

    def reached(self, work: LaneWork, result: SliceResult) -> None:
        """Note how far the slice of a lane is."""
        with self._lock:
            self._lanes[work.lane] = result
            if self._clock() - self._updated_at >= _EVERY:
                self._show()

    def _show(self) -> None:
        state = self._state
        if state is None or state.plan is None:
            return
        now = self._updated_at = self._clock()
        totals: Totals = state.tally or Totals()
        for lane in self._lanes.values():
            totals = totals.plus(lane)
        plan = state.plan
        limit = plan.request.max_messages
        progress = Progress(
            title=plan.dlq.name,
            doing=_DOING.get(state.next, "moving"),
            totals=totals,
            total=plan.waiting if limit is None else min(limit, plan.waiting),
            limit=plan.rate,
            rate=self._pace.rate(totals.counts.redriven, now) if state.next is State.LANES else None,
        )
        self._display.show(progress, now)
