"""The messages that a lane has in hand: takes them in and carries each one through its stages.

Used by the lane, which decides what to request; `redrive.domain.moving.transitions` has the rules.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from redrive.domain.judging.verdicts import Reason, Redrive, Skip, Verdict
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.moving.actions import ApiError, ErrorKind
from redrive.domain.moving.counting import LaneCounts
from redrive.domain.moving.intake import Intake
from redrive.domain.moving.retries import MAX_ATTEMPTS, Retries
from redrive.domain.moving.send_buffer import Line, SendBuffers, outbound_of
from redrive.domain.moving.sent import SentMessages
from redrive.domain.moving.transitions import Event, HeldRecord, InHand, Stage


@dataclass(frozen=True, slots=True)
class _Kept:
    """Why a message stays in the queue, and until when its last known receive kept it invisible."""

    reason: str
    failed: bool
    visible_until: float


class Hand:
    """Messages received and not done with.

    Parameters
    ----------
    fifo : bool
        The dead-letter queue is a FIFO queue.
    judge : Callable[[ReceivedMessage], Verdict]
        The verdict on one message.
    intake : Intake
        Where quota and bytes are counted.
    counts : LaneCounts
        Where results are counted.
    sent_before : Iterable[str]
        Ids of messages that earlier slices sent but perhaps didn't delete.
    blocked : Iterable[Line]
        FIFO groups of which a message stays since an earlier slice.
    jitter : Callable[[], float]
        Random numbers from 0 to 1 for the pauses between attempts.
    deferral : Callable[[InHand, float], int]
        How long to defer a message that is to be sent, in seconds; 0 to take it in hand.
    """

    def __init__(
        self,
        *,
        fifo: bool,
        judge: Callable[[ReceivedMessage], Verdict],
        intake: Intake,
        counts: LaneCounts,
        sent_before: Iterable[str],
        blocked: Iterable[Line],
        jitter: Callable[[], float],
        deferral: Callable[[InHand, float], int],
    ) -> None:
        self.buffers = SendBuffers(fifo=fifo)
        #: Messages that wait for a request to delete, hold, or release them, or for more visibility.
        self.waiting: dict[Stage, deque[InHand]] = {
            stage: deque() for stage in (Stage.DELETING, Stage.HOLDING, Stage.DEFERRING, Stage.RELEASING)
        }
        self.extending: deque[InHand] = deque()
        self.retries = Retries(jitter)
        self.sent = SentMessages(sent_before)
        self.records: list[HeldRecord] = []
        self.giving_up = False
        self._fifo = fifo
        self._judge = judge
        self._deferral = deferral
        self._intake = intake
        self._counts = counts
        self._messages: dict[str, InHand] = {}
        #: FIFO groups that nothing more is sent of, because one of their messages stays.
        self.blocked: set[Line] = set(blocked)
        # The messages being released of each group.
        # Messages that stay: one that SQS shows again is neither judged nor counted again.
        self._kept: dict[str, _Kept] = {}
        self._releasing: Counter[str | None] = Counter()

    def __len__(self) -> int:
        """Return the number of messages in hand."""
        return len(self._messages)

    def take_in(self, message: ReceivedMessage, visible_until: float, now: float) -> None:
        """Take a received message in hand and judge it, unless that is decided without a judge."""
        message_id = message.message_id
        held = self._messages.get(message_id)
        if held is not None:
            # Seen again while in hand: only the latest receipt handle deletes it. Answers can overtake each other, but
            # the receive that was issued later is the later one: a request times out long before the visibility does.
            if visible_until >= held.visible_until:
                held.message = message
                held.visible_until = visible_until
            return
        kept = self._kept.get(message_id)
        if kept is not None and visible_until < kept.visible_until:
            # The answer to an earlier receive, overtaken by the one whose handle holds the message.
            return
        held = self._messages[message_id] = InHand(message, visible_until, now)
        self._intake.bytes_in_hand += message.size
        self._counts.received(message_id)
        if message_id in self.sent:
            self.sent.seen_again(message_id)
            self._advance(held, Event.SENT_BEFORE, now)
        elif kept is not None:
            held.reason, held.failed = kept.reason, kept.failed
            self._advance(held, Event.KEPT_BEFORE, now)
        elif self.giving_up or (self._fifo and self._releasing[message.group_id]):
            # In a FIFO queue, nothing may overtake messages of its group that are being released.
            self._advance(held, Event.GIVEN_BACK, now)
        elif self._fifo and ("", message.group_id) in self.blocked:
            self._skip(held, Reason.GROUP_WAITS, now)
        else:
            held.verdict = self._judge(message)
            if isinstance(held.verdict, Skip):
                self._skip(held, held.verdict.reason, now)
            elif isinstance(held.verdict, Redrive) and self.buffers.line(held) in self.blocked:
                self._skip(held, Reason.GROUP_WAITS, now)
            elif seconds := self._deferral(held, now):
                held.deferred_for = seconds
                self._counts.released(message_id)
                self._advance(held, Event.DEFERRED, now)
            else:
                self._intake.commit()
                self._advance(held, Event.ENQUEUED, now)

    def expiring(self, after: float, before: float) -> list[InHand]:
        """Return the unsent messages that SQS shows again between two times and that don't wait for more time yet."""
        waiting = {id(held) for held in self.extending}
        return [
            held
            for held in self._messages.values()
            if held.unsent and after < held.visible_until < before and id(held) not in waiting
        ]

    def expired(self, held: InHand, now: float) -> None:
        """Forget a message whose visibility ran out before it was sent: it is received again.

        In a FIFO queue, what waits behind it must not overtake it.
        """
        behind = self.buffers.remove_behind(held) if self._fifo else ()
        self.buffers.done_with(held)
        self._intake.recommit()
        self._intake.not_empty()
        self._counts.released(held.message.message_id)
        self._advance(held, Event.EXPIRED, now)
        for waiting in behind:
            self._release(waiting, now)

    def accepted(self, held: InHand, now: float) -> None:
        """Let a message be deleted that its destination accepted."""
        self._counts.accepted(held.verdict)
        self.sent.add(held.message.message_id)
        self.buffers.done_with(held)
        self._advance(held, Event.ACCEPTED, now)

    def not_accepted(self, held: InHand, error: ApiError, now: float, *, alone: bool) -> None:
        """Send a message again, now or later, or leave it in the queue.

        Parameters
        ----------
        held : InHand
            The message.
        error : ApiError
            Why it wasn't accepted.
        now : float
            The time.
        alone : bool
            The batch was refused as a whole, which says nothing about a single message: each is tried alone.
        """
        held.attempts += 1
        if error.kind is ErrorKind.UNCERTAIN and not outbound_of(held).deduplicated and not held.possibly_sent:
            held.possibly_sent = True
            self._counts.possible_duplicate()
        held.alone = held.alone or alone
        if self.giving_up or alone:
            self._send_again(held, now)
        elif error.may_succeed_later and held.attempts < MAX_ATTEMPTS:
            self.retries.add(partial(self._send_again, held), held.attempts, now)
        else:
            self._refuse(held, error.code, now)

    def deleted(self, held: InHand, handle: str, error: ApiError | None, now: float) -> None:
        """Take note that a message was deleted, or wasn't."""
        if self._repeats(held, handle, error, now):
            return
        # After the visibility has run out, another receive may have voided the handle without our knowing: SQS then
        # reports success and deletes nothing (SQS API reference, DeleteMessage). An abandoned one is seen again, by
        # this lane or by a later slice, which then only deletes it.
        if error is None and now < held.visible_until:
            self.sent.deleted(held.message.message_id)
        self._advance(held, Event.DONE if error is None else Event.ABANDONED, now)

    def held_or_released(self, held: InHand, handle: str, error: ApiError | None, now: float) -> None:
        """Take note that a message is held or released, or isn't."""
        if self._repeats(held, handle, error, now):
            return
        if held.stage is Stage.HOLDING:
            self.records.append(held.record())
            self._kept[held.message.message_id] = _Kept(held.reason, held.failed, held.visible_until)
        if held.stage is Stage.DEFERRING:
            self._intake.returns(held.visible_until if error else now + held.deferred_for)
        self._advance(held, Event.DONE if error is None else Event.ABANDONED, now)

    def give_up(self, now: float) -> None:
        """Send nothing more: release what waits, now and from now on."""
        if not self.giving_up:
            self.giving_up = True
            for held in self.buffers.clear():
                self._release(held, now)

    def _send_again(self, held: InHand, now: float) -> None:
        if self.giving_up:
            self._release(held, now)
        else:
            held.advance(Event.TRIED_AGAIN, now)
            self.buffers.put_back(held)

    def _refuse(self, held: InHand, code: str, now: float) -> None:
        """Leave a message in the dead-letter queue that its destination won't take."""
        self._counts.refused(code)
        behind = self.buffers.remove_behind(held)
        self.buffers.done_with(held)
        self._intake.recommit()
        self._keep(held, code, Event.REFUSED, now, failed=True)
        for waiting in behind:
            self._intake.recommit()
            self._skip(waiting, Reason.GROUP_WAITS, now)

    def _repeats(self, held: InHand, handle: str, error: ApiError | None, now: float) -> bool:
        """Repeat the last request about a message if it must be, and return whether it must."""
        if held.message.receipt_handle != handle:
            # Received again meanwhile: the old handle may have had no effect.
            self._advance(held, Event.TRIED_AGAIN, now)
            return True
        if error is None or not error.may_succeed_later:
            return False
        held.attempts += 1
        if held.attempts >= MAX_ATTEMPTS:
            return False
        self.retries.add(partial(self._advance, held, Event.TRIED_AGAIN), held.attempts, now)
        return True

    def _advance(self, held: InHand, event: Event, now: float) -> None:
        """Enter the next stage and queue the message for what the stage waits for."""
        before = held.stage
        stage = held.advance(event, now)
        if stage is Stage.RELEASING and before is not stage:
            self._releasing[held.message.group_id] += 1
            self._counts.released(held.message.message_id)
            # It may be received again at any time.
            held.visible_until = now
        if stage is Stage.BUFFERED:
            self.buffers.add(held)
        elif stage is Stage.FORGOTTEN:
            del self._messages[held.message.message_id]
            self._intake.bytes_in_hand -= held.message.size
            self._releasing[held.message.group_id] -= before is Stage.RELEASING
        else:
            self.waiting[stage].append(held)

    def _skip(self, held: InHand, reason: str, now: float) -> None:
        self._counts.skipped(reason)
        self._keep(held, reason, Event.SKIPPED, now)

    def _keep(self, held: InHand, reason: str, event: Event, now: float, *, failed: bool = False) -> None:
        held.reason, held.failed = reason, failed
        line = ("", held.message.group_id) if held.verdict is None else self.buffers.line(held)
        if line is not None:
            # Whatever stays holds back its group.
            self.blocked.add(line)
        self._advance(held, event, now)

    def _release(self, held: InHand, now: float) -> None:
        """Make a message visible again that was to leave the queue."""
        self._intake.recommit()
        self._advance(held, Event.GIVEN_BACK, now)
