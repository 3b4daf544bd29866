"""The messages that a lane has in hand: takes them in and carries each one through its stages.

Used by the lane, which decides what to request; `redrive.domain.moving.transitions` has the rules.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial

from redrive.domain.judging.verdicts import Line, Reason, Redrive, Skip, Verdict
from redrive.domain.messages.message import MAX_BATCH_ENTRIES, ReceivedMessage
from redrive.domain.moving.actions import ApiError, ErrorKind
from redrive.domain.moving.counting import LaneCounts
from redrive.domain.moving.intake import Intake
from redrive.domain.moving.keeping import Keeping
from redrive.domain.moving.retries import MAX_ATTEMPTS, Retries
from redrive.domain.moving.send_buffer import SendBuffers, outbound_of
from redrive.domain.moving.sent import SentMessages
from redrive.domain.moving.transitions import Event, InHand, Stage

# Messages with less visibility left, in seconds, get more before they are sent.
_EXTEND_BELOW = 12.0
_EXTEND_CHECK_SECONDS = 5.0
# A message whose visibility ends within this many seconds isn't sent: another lane might see it at the same time.
TOO_LATE = 2.0
# A batch that has failed as a whole so often isn't sent as one again: one of its messages may be to blame.
_ATTEMPTS_TOGETHER = 3
# What leaves an unsent message in the queue, for another receive or another run to send.
_SENT_LATER = frozenset({Event.REFUSED, Event.SKIPPED, Event.GIVEN_BACK, Event.EXPIRED})


class Hand:
    """Messages received and not done with.

    Parameters
    ----------
    fifo : bool
        The dead-letter queue is a FIFO queue.
    alone : bool
        No other lane receives from the queue.
    judge : Callable[[ReceivedMessage], Verdict | None]
        The verdict on one message; None if none can be judged anymore, for a reason that isn't the message's.
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
        alone: bool,
        judge: Callable[[ReceivedMessage], Verdict | None],
        intake: Intake,
        counts: LaneCounts,
        sent_before: Iterable[str],
        blocked: Iterable[Line],
        jitter: Callable[[], float],
        deferral: Callable[[InHand, float], int],
    ) -> None:
        self.buffers = SendBuffers(fifo=fifo)
        #: Messages that wait for their record, or for a request to delete, hold, or release them.
        self.waiting: dict[Stage, deque[InHand]] = {
            stage: deque()
            for stage in (Stage.DELETING, Stage.RECORDING, Stage.HOLDING, Stage.DEFERRING, Stage.RELEASING)
        }
        self.keeping = Keeping(self.waiting, counts, self._advance)
        self.retries = Retries(jitter)
        self.sent = SentMessages(sent_before)
        self.giving_up = False
        #: The slice has had its time: what SQS still doesn't delete is left to a later one.
        self.ended = False
        self._extending: deque[InHand] = deque()
        self._extend_check = float("-inf")
        self._fifo = fifo
        self._alone = alone
        self._judge = judge
        self._deferral = deferral
        self._intake = intake
        self._counts = counts
        self._messages: dict[str, InHand] = {}
        #: FIFO groups that nothing more is sent of, because one of their messages stays.
        self.blocked: set[Line] = set(blocked)
        # The messages being released of each group.
        self._releasing: Counter[str | None] = Counter()

    def __len__(self) -> int:
        """Return the number of messages in hand."""
        return len(self._messages)

    def take_in(self, message: ReceivedMessage, visible_until: float, now: float) -> None:
        """Take a received message in hand and judge it, unless that is decided without a judge."""
        message_id = message.message_id
        if (held := self._messages.get(message_id)) is not None:
            self._seen_again(held, message, visible_until)
            return
        if (kept := self.keeping.kept(message_id)) is not None and visible_until < kept.visible_until:
            # The answer to an earlier receive, overtaken by the one whose handle holds the message.
            return
        held = self._messages[message_id] = InHand(message, visible_until, now)
        self._intake.bytes_in_hand += message.size
        self._counts.received(message_id)
        if message_id in self.sent:
            self.sent.seen_again(message_id)
            self._advance(held, Event.SENT_BEFORE, now)
        elif kept is not None:
            held.reason, held.failed, held.counted = kept.reason, kept.failed, True
            self._advance(held, Event.KEPT_BEFORE, now)
        elif self.giving_up or (self._fifo and self._releasing[message.group_id]):
            # In a FIFO queue, nothing may overtake messages of its group that are being released.
            self._advance(held, Event.GIVEN_BACK, now)
        elif self._fifo and ("", message.group_id) in self.blocked:
            self._skip(held, Reason.GROUP_WAITS, now)
        else:
            held.verdict = self._judge(message)
            if held.verdict is None:
                self.give_up(now)
                self._advance(held, Event.GIVEN_BACK, now)
            elif isinstance(held.verdict, Skip):
                self._skip(held, held.verdict.reason, now)
            elif self.blocked and isinstance(held.verdict, Redrive) and self.buffers.line(held) in self.blocked:
                self._skip(held, Reason.GROUP_WAITS, now)
            elif seconds := self._deferral(held, now):
                held.deferred_for = seconds
                self._counts.released(message_id)
                self._advance(held, Event.DEFERRED, now)
            else:
                self._intake.commit()
                self._advance(held, Event.ENQUEUED, now)

    def _seen_again(self, held: InHand, message: ReceivedMessage, visible_until: float) -> None:
        # Only the latest receipt handle deletes it. Answers can overtake each other, but the receive that was issued
        # later is the later one: a request times out long before the visibility does.
        if visible_until >= held.visible_until:
            if held.stage is Stage.DELETING:
                self._expose(held)
            held.message = message
            held.visible_until = visible_until

    def waits_for_record(self, *, idle: bool) -> bool:
        """Return whether messages must be recorded soon: nothing else is to be done, or they take up much place."""
        recording = len(self.waiting[Stage.RECORDING])
        return bool(recording) and ((idle and recording == len(self)) or 2 * recording >= self._intake.max_in_hand)

    def find_expiring(self, now: float) -> None:
        """Line up the messages to keep invisible for longer that SQS would soon show again.

        What is too late to be sent is given to the next receive, not kept invisible any longer.
        """
        if now < self._extend_check:
            return
        self._extend_check = now + _EXTEND_CHECK_SECONDS
        waiting = {id(held) for held in self._extending}
        self._extending.extend(
            held
            for held in self._messages.values()
            if now + TOO_LATE < held.visible_until < now + _EXTEND_BELOW
            and held.needs_time(ended=self.ended)
            and id(held) not in waiting
        )

    def to_extend(self) -> deque[InHand]:
        """Return the messages to keep invisible for longer, without those that were sent or released meanwhile."""
        self._extending = deque(held for held in self._extending if held.needs_time(ended=self.ended))
        return self._extending

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

    def not_accepted(self, held: InHand, error: ApiError, now: float, *, whole: bool) -> None:
        """Send a message again, now or later, or leave it in the queue.

        A batch that was refused as a whole, or keeps failing as a whole, says nothing about a single message: each is
        then tried alone.
        """
        held.attempts += 1
        if error.kind is ErrorKind.UNCERTAIN:
            held.possibly_sent = True
            if not outbound_of(held).deduplicated:
                self._count_duplicate(held)
            held.alone = held.alone or (whole and held.attempts >= _ATTEMPTS_TOGETHER)
        refused = whole and error.kind is ErrorKind.REFUSED
        held.alone = held.alone or refused
        if self.giving_up or refused:
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
        else:
            self.sent.doubt(held.message.message_id)
            self._expose(held)
        self._advance(held, Event.DONE if error is None else Event.ABANDONED, now)

    def held_or_released(self, held: InHand, handle: str, error: ApiError | None, now: float) -> None:
        """Take note that a message is held or released, or isn't."""
        if self._repeats(held, handle, error, now):
            return
        if held.stage is Stage.HOLDING:
            self.keeping.remember(held)
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
            self._advance(held, Event.SEEN_AGAIN, now)
            return True
        if error is None or not error.may_succeed_later:
            return False
        held.attempts += 1
        urgent = False
        if held.stage is Stage.DELETING:
            self.sent.doubt(held.message.message_id)
            # What was sent stays in hand while it is invisible, so that the lane sends no more than it can delete.
            urgent = not self.giving_up and now < held.visible_until
        if held.attempts >= MAX_ATTEMPTS and not urgent:
            return False
        self.retries.add(partial(self._advance, held, Event.TRIED_AGAIN), held.attempts, now)
        return True

    def _advance(self, held: InHand, event: Event, now: float) -> None:
        """Enter the next stage and queue the message for what the stage waits for."""
        before = held.stage
        stage = held.advance(event, now)
        if held.possibly_sent and event in _SENT_LATER:
            # A FIFO queue recognizes a repeated message for five minutes only.
            self._count_duplicate(held)
        if stage is Stage.RELEASING and before is not stage:
            self._releasing[held.message.group_id] += 1
            if not held.counted:
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

    def _expose(self, held: InHand) -> None:
        """Count a sent message that others may have received before it was deleted, and then sent once more."""
        if not self._alone and not held.possible_duplicate and self.sent.expose(held.message.message_id):
            self._count_duplicate(held)

    def _count_duplicate(self, held: InHand) -> None:
        if not held.possible_duplicate:
            held.possible_duplicate = True
            self._counts.possible_duplicate()

    def _skip(self, held: InHand, reason: str, now: float) -> None:
        self._keep(held, reason, Event.SKIPPED, now)

    def _keep(self, held: InHand, reason: str, event: Event, now: float, *, failed: bool = False) -> None:
        held.reason, held.failed = reason, failed
        line = self.buffers.line(held)
        if line is not None:
            # Whatever stays holds back its group.
            self.blocked.add(line)
        self._advance(held, event, now)

    def _release(self, held: InHand, now: float) -> None:
        """Make a message visible again that was to leave the queue."""
        self._intake.recommit()
        self._advance(held, Event.GIVEN_BACK, now)


def pop_batch(waiting: deque[InHand]) -> tuple[list[InHand], list[str]]:
    """Take messages out for one request; return them with their latest receipt handles."""
    messages = [waiting.popleft() for _ in range(min(MAX_BATCH_ENTRIES, len(waiting)))]
    return messages, [held.message.receipt_handle for held in messages]
