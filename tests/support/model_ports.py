"""What the steps of a run get for the outside world: queues, and what runs their lanes, on models.

Used by tests.support.model_runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.domain.errors import LockLostError, NotReleasedError
from redrive.domain.messages.queues import QueueAddress, QueueRef
from redrive.domain.moving.lane import Lane
from redrive.domain.plan.directories import QueueFacts
from redrive.workflow.ports import Peek
from tests.faults.schedules import RECEIVE, VISIBILITY
from tests.support import factories
from tests.support.lane_player import Wire

if TYPE_CHECKING:
    from tests.support.model_runs import ModelApp

# As in redrive.adapters.pipeline: the shortest pause between two heartbeats, and after one that failed.
_SOONEST = 0.025
_AFTER_FAILURE = 0.25


class ModelLaneRunner:
    """Runs a lane as `redrive.adapters.pipeline` does, on the model's clock."""

    threads = 32

    def __init__(self, app: ModelApp) -> None:
        self._app = app
        self._time = app.time

    @property
    def clock(self) -> Callable[[], float]:
        """The model's clock."""
        return lambda: self._time.now

    def run(self, lane: Lane, heartbeat: Callable[[], bool], heartbeat_seconds: float) -> None:
        """Move messages until the lane has finished."""
        wire = Wire(self._app.sqs)
        try:
            self._run(lane, wire, heartbeat, heartbeat_seconds)
        finally:
            # Whatever became of the function, its requests are on their way.
            self._time.start(lambda: self._take_effect(wire))

    def _run(self, lane: Lane, wire: Wire, heartbeat: Callable[[], bool], every: float) -> None:
        time, lost = self._time, None
        beat_at, soonest = time.now + every, time.now
        while not lane.finished:
            for action in lane.next(time.now):
                wire.start(action, time.now)
                self._app.die_if_doomed()
            if lane.finished:
                break
            due_at = min(beat_at, soonest) if lane.needs_heartbeat else beat_at
            if lost is None and time.now >= due_at:
                pause = _SOONEST
                try:
                    if heartbeat():
                        lane.stop(time.now)
                except LockLostError as error:
                    lost = error
                    lane.stop(time.now, lost=True)
                except (ClientError, BotoCoreError):
                    pause = _AFTER_FAILURE
                beat_at, soonest = time.now + every, time.now + every * pause
                until = time.now
            else:
                until = min(wire.next_at, lane.wake_at(), math.inf if lost else due_at)
            assert until < math.inf, "the lane waits for nothing"
            time.sleep_until(until)
            while wire.next_at <= time.now:
                for action, outcome in wire.step():
                    lane.outcome(action, outcome, time.now)
        if lost is not None:
            raise lost
        heartbeat()

    def _take_effect(self, wire: Wire) -> None:
        while wire.next_at < math.inf:
            self._time.sleep_until(wire.next_at)
            list(wire.step())


class ModelQueues:
    """The queues of the account."""

    def __init__(self, app: ModelApp) -> None:
        self._app = app
        known = (app.dlq, *app.sources, *app.others, factories.queue("quarantine"))
        self._known = {name: queue for queue in known for name in (queue.name, queue.arn, queue.url)}

    def find(self, given: str) -> QueueRef | None:
        """Return a queue by its name, ARN, or URL."""
        return self._known.get(given)

    def facts(self, queue: QueueAddress) -> QueueFacts:
        """Return what SQS counts, exactly."""
        stored = self._app.sqs.stored.values() if queue.arn == self._app.dlq.arn else ()
        visible = sum(each.visible_at <= self._app.time.now for each in stored)
        return factories.facts(waiting=visible, in_flight=len(stored) - visible)

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        """Return the queues whose redrive policy names a queue."""
        return self._app.sources if queue == self._app.dlq else ()

    def tags(self, _queue: QueueRef) -> dict[str, str]:
        """Return no tags."""
        return {}

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages; they are visible again at the end unless the function is killed."""
        app, visibility = self._app, peek.visibility(seconds)
        handles: dict[str, str] = {}
        found = True
        while found and len(handles) < (peek.most or math.inf):
            messages = app.request(RECEIVE, lambda: app.sqs.receive(10, app.time.now, visibility))
            found = bool(messages)
            handles |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            yield from messages
        peek.complete = not found
        self.release(peek.queue, handles.values())

    def release(self, _queue: QueueAddress, receipt_handles: Iterable[str]) -> int:
        """Make messages visible again, with some attempts at each batch."""
        app = self._app
        for batch in batched(receipt_handles, 10, strict=False):

            def release(handles: tuple[str, ...] = batch) -> None:
                app.sqs.release(handles, app.time.now)

            try:
                app.request(VISIBILITY, release)
            except (ClientError, BotoCoreError):
                raise NotReleasedError("Expected the model to release messages, but it doesn't.") from None
        return 0
