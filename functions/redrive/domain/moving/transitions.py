"""The life of a message in hand: its stages, and every transition between them in one table.

Driven by `redrive.domain.moving.lane`. Five rules keep messages safe; the table and the lane enforce them:

1. Send before delete. Only a message that its destination accepted reaches `DELETING`.
2. A message seen again after it was sent is only deleted, never sent again.
3. Nothing that was not accepted leaves the dead-letter queue: it is held or released, and stays there.
4. A message is kept invisible for long only after the runs table says how to release it.
5. In a FIFO queue, nothing overtakes a message of its group that stays, whatever the reason.

docs/design/moving.md shows the table; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from redrive.domain.judging.verdicts import Verdict
from redrive.domain.messages.message import ReceivedMessage


class Stage(StrEnum):
    """What a message in hand is waiting for."""

    RECEIVED = "received"  # its verdict
    BUFFERED = "buffered"  # its turn to be sent
    SENDING = "sending"  # the destination's answer, or the next attempt
    DELETING = "deleting"  # leaving the dead-letter queue
    RECORDING = "recording"  # its receipt handle being recorded, so that others can release it
    HOLDING = "holding"  # being kept invisible until the run ends
    RELEASING = "releasing"  # becoming visible again
    DEFERRING = "deferring"  # being kept invisible until its destination can take it
    FORGOTTEN = "forgotten"  # nothing: it isn't in hand anymore


class Event(StrEnum):
    """What happens to a message in hand."""

    SENT_BEFORE = "sent before"  # its id is one that this run has sent already
    KEPT_BEFORE = "kept before"  # this lane has decided already that it stays
    ENQUEUED = "enqueued"  # the verdict is to send it, to its destination or to the quarantine
    SKIPPED = "skipped"  # the verdict, or its group, says that it stays
    DEFERRED = "deferred"  # its destination is slow, and enough messages for it are in hand
    GIVEN_BACK = "given back"  # the lane stops, or its group is being released
    TAKEN = "taken"  # it goes out with the next batch
    EXPIRED = "expired"  # its visibility ran out before it was sent
    ACCEPTED = "accepted"  # the destination confirmed it
    REFUSED = "refused"  # the destination won't take it
    RECORDED = "recorded"  # the runs table has its latest receipt handle
    TRIED_AGAIN = "tried again"  # the request failed in a way that may pass
    SEEN_AGAIN = "seen again"  # it was received again, so the request used an old receipt handle
    DONE = "done"  # SQS confirmed the last request about it
    ABANDONED = "abandoned"  # that request failed for good; the message becomes visible again on its own


TRANSITIONS: dict[tuple[Stage, Event], Stage] = {
    (Stage.RECEIVED, Event.SENT_BEFORE): Stage.DELETING,
    (Stage.RECEIVED, Event.KEPT_BEFORE): Stage.RECORDING,
    (Stage.RECEIVED, Event.ENQUEUED): Stage.BUFFERED,
    (Stage.RECEIVED, Event.SKIPPED): Stage.RECORDING,
    (Stage.RECEIVED, Event.DEFERRED): Stage.DEFERRING,
    (Stage.RECEIVED, Event.GIVEN_BACK): Stage.RELEASING,
    (Stage.BUFFERED, Event.TAKEN): Stage.SENDING,
    (Stage.BUFFERED, Event.EXPIRED): Stage.FORGOTTEN,
    (Stage.BUFFERED, Event.SKIPPED): Stage.RECORDING,
    (Stage.BUFFERED, Event.GIVEN_BACK): Stage.RELEASING,
    (Stage.SENDING, Event.ACCEPTED): Stage.DELETING,
    (Stage.SENDING, Event.TRIED_AGAIN): Stage.BUFFERED,
    (Stage.SENDING, Event.REFUSED): Stage.RECORDING,
    (Stage.SENDING, Event.GIVEN_BACK): Stage.RELEASING,
    (Stage.DELETING, Event.TRIED_AGAIN): Stage.DELETING,
    (Stage.DELETING, Event.SEEN_AGAIN): Stage.DELETING,
    (Stage.DELETING, Event.DONE): Stage.FORGOTTEN,
    (Stage.DELETING, Event.ABANDONED): Stage.FORGOTTEN,
    (Stage.RECORDING, Event.RECORDED): Stage.HOLDING,
    (Stage.RECORDING, Event.GIVEN_BACK): Stage.RELEASING,
    (Stage.HOLDING, Event.TRIED_AGAIN): Stage.HOLDING,
    (Stage.HOLDING, Event.SEEN_AGAIN): Stage.RECORDING,
    (Stage.HOLDING, Event.GIVEN_BACK): Stage.RELEASING,
    (Stage.HOLDING, Event.DONE): Stage.FORGOTTEN,
    (Stage.HOLDING, Event.ABANDONED): Stage.FORGOTTEN,
    (Stage.DEFERRING, Event.TRIED_AGAIN): Stage.DEFERRING,
    (Stage.DEFERRING, Event.SEEN_AGAIN): Stage.DEFERRING,
    (Stage.DEFERRING, Event.DONE): Stage.FORGOTTEN,
    (Stage.DEFERRING, Event.ABANDONED): Stage.FORGOTTEN,
    (Stage.RELEASING, Event.TRIED_AGAIN): Stage.RELEASING,
    (Stage.RELEASING, Event.SEEN_AGAIN): Stage.RELEASING,
    (Stage.RELEASING, Event.DONE): Stage.FORGOTTEN,
    (Stage.RELEASING, Event.ABANDONED): Stage.FORGOTTEN,
}


# Events that don't reset a message's attempts or the time it has been waiting since.
_MINOR_EVENTS = frozenset({Event.TRIED_AGAIN, Event.SEEN_AGAIN, Event.TAKEN})
_UNSENT = frozenset({Stage.BUFFERED, Stage.SENDING})


class IllegalTransitionError(RuntimeError):
    """Something happened to a message that must not happen in its stage: a defect of the lane."""


@dataclass(slots=True, eq=False)
class InHand:
    """A message that was received and is neither deleted nor given back yet."""

    message: ReceivedMessage
    #: When SQS shows it again, on the lane's clock.
    visible_until: float
    #: When it entered its stage; attempts at sending it don't change that.
    since: float
    stage: Stage = Stage.RECEIVED
    #: Known once it has left `RECEIVED` by way of the judge.
    verdict: Verdict | None = None
    #: Failed attempts in this stage; sending counts over all of its attempts.
    attempts: int = 0
    #: A batch with it was refused as a whole: it is sent by itself.
    alone: bool = False
    #: An attempt at sending it got no answer, so the destination may have it.
    possibly_sent: bool = False
    #: Counted as one that may arrive twice.
    possible_duplicate: bool = False
    #: Seconds that it stays invisible if it is deferred.
    deferred_for: int = 0
    #: Why it stays in the queue, and whether that is because its destination refused it.
    reason: str = ""
    failed: bool = False
    #: Whether it was counted as one that stays.
    counted: bool = False
    #: The receipt handle that the runs table has of it.
    recorded: str | None = None

    @property
    def unsent(self) -> bool:
        """Whether it is to be sent and its destination hasn't confirmed it."""
        return self.stage in _UNSENT

    @property
    def handle(self) -> str:
        """The latest receipt handle."""
        return self.message.receipt_handle

    def needs_time(self, *, ended: bool) -> bool:
        """Return whether it waits to be sent, recorded, or, unless the slice has had its time, deleted."""
        return self.unsent or self.stage is Stage.RECORDING or (self.stage is Stage.DELETING and not ended)

    def record(self) -> HeldRecord:
        """Return what a later step needs to release it."""
        return HeldRecord(self.message.message_id, self.message.receipt_handle, self.reason, self.failed)

    def advance(self, event: Event, now: float) -> Stage:
        """Enter the next stage and return it.

        Raises
        ------
        IllegalTransitionError
            If the table has no such transition.
        """
        stage = TRANSITIONS.get((self.stage, event))
        if stage is None:
            raise IllegalTransitionError(f"{event} can't happen to a message that is {self.stage}")
        if event not in _MINOR_EVENTS:
            self.attempts = 0
            self.since = now
        self.stage = stage
        return stage


class HeldRecord(NamedTuple):
    """A message that stays invisible until the run ends, and the handle that releases it."""

    message_id: str
    receipt_handle: str
    #: Why it stays: a skip's reason, or the error code of its destination.
    reason: str
    #: Its destination refused it.
    failed: bool
