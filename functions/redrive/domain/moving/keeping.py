"""Keeps messages invisible that stay in the queue: each is recorded first, so that others can release it.

Used by the hand; `redrive.domain.moving.transitions` has the stages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from redrive.domain.moving.counting import LaneCounts
from redrive.domain.moving.transitions import Event, HeldRecord, InHand, Stage


class Kept(NamedTuple):
    """Why a message stays in the queue, and until when its last known receive kept it invisible."""

    reason: str
    failed: bool
    visible_until: float


class Keeping:
    """The messages that stay in the queue.

    Parameters
    ----------
    waiting : Mapping[Stage, deque[InHand]]
        The messages in hand, by what they wait for.
    counts : LaneCounts
        Where they are counted.
    advance : Callable[[InHand, Event, float], None]
        Enters a message's next stage.
    """

    def __init__(
        self,
        waiting: Mapping[Stage, deque[InHand]],
        counts: LaneCounts,
        advance: Callable[[InHand, Event, float], None],
    ) -> None:
        self._waiting = waiting
        self._counts = counts
        self._advance = advance
        # One that SQS shows again is neither judged nor counted again.
        self._kept: dict[str, Kept] = {}

    def kept(self, message_id: str) -> Kept | None:
        """Return why a message stays, or None if that hasn't been decided."""
        return self._kept.get(message_id)

    def remember(self, held: InHand) -> None:
        """Take note that a message stays."""
        self._kept[held.message.message_id] = Kept(held.reason, held.failed, held.visible_until)

    def to_record(self) -> tuple[HeldRecord, ...]:
        """Return the messages to keep invisible that wait for their record."""
        return tuple(held.record() for held in self._waiting[Stage.RECORDING])

    def recorded(self, records: Iterable[HeldRecord], now: float) -> None:
        """Take note that the runs table has receipt handles: those messages may now be kept invisible."""
        handles = {record.message_id: record.receipt_handle for record in records}
        for held in self._taken(Stage.RECORDING):
            held.recorded = handles.get(held.message.message_id, held.recorded)
            if held.recorded != held.handle:
                self._waiting[Stage.RECORDING].append(held)
                continue
            if not held.counted:
                (self._counts.refused if held.failed else self._counts.skipped)(held.reason)
            held.counted = True
            self._advance(held, Event.RECORDED, now)

    def to_hold(self, now: float) -> deque[InHand]:
        """Return the messages to keep invisible now; those with a newer handle wait for their record again."""
        waiting = self._waiting[Stage.HOLDING]
        for held in [held for held in waiting if held.recorded != held.handle]:
            waiting.remove(held)
            self._advance(held, Event.SEEN_AGAIN, now)
        return waiting

    def give_back(self, stages: Iterable[Stage], now: float) -> None:
        """Release the messages in one of these stages instead."""
        for stage in stages:
            for held in self._taken(stage):
                self._advance(held, Event.GIVEN_BACK, now)
                if held.counted:
                    self.remember(held)

    def _taken(self, stage: Stage) -> list[InHand]:
        taken = list(self._waiting[stage])
        self._waiting[stage].clear()
        return taken
