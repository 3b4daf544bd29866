"""One lane of a run: decides which SQS requests to make next, from what the last ones brought.

It makes no request itself: `redrive.adapters.pipeline` carries its actions out over threads and tells it the
outcomes, and the tests drive it against a model of SQS with every failure injected. All its state changes
happen in `next` and `outcome`, which one thread calls.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from redrive.domain.destinations import Destination, Kind
from redrive.domain.history import ATTRIBUTE
from redrive.domain.letters import MAX_BATCH_ENTRIES, MAX_BYTES, Letter, Outgoing, outgoing, with_attribute
from redrive.domain.pacing import Pacer
from redrive.domain.runs import SliceResult
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip, Verdict

# A queue counts as seen empty after so many long polls in a row that brought nothing.
EMPTY_POLLS = 3
# Seconds of one long poll; any value above 0 asks all of SQS's servers (SQS developer guide, "Short and long
# polling").
POLL_SECONDS = 1
# Letters with less visibility left, in seconds, get more before they are sent.
_EXTEND_BELOW = 12.0
# A letter whose visibility ends within so many seconds is not sent: another lane might see it at the same
# time.
_TOO_LATE = 2.0
# Incomplete batches wait so many seconds for more letters.
_SEND_LINGER = 0.2
_DELETE_LINGER = 1.0
# Attempts at sending, deleting or hiding one letter, and the longest pause between two, in seconds.
MAX_ATTEMPTS = 6
_MAX_PAUSE = 5.0
_REMEMBERED = 20_000
_RECEIVES_AT_ONCE = 10


class Trouble(StrEnum):
    """What a failed request or entry means."""

    THROTTLED = "throttled"  # not carried out, try again later
    UNCERTAIN = "uncertain"  # may have been carried out, try again
    REFUSED = "refused"  # not carried out, and would not be the next time either
    GONE = "gone"  # the queue is gone or closed to us: the run cannot go on
    LIMIT = "limit"  # too many letters are in flight in this queue


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request, or one entry of a batch, failed: SQS's error code and what it means."""

    code: str
    trouble: Trouble


@dataclass(slots=True, eq=False)
class Held:
    """A letter in hand: received, and neither deleted nor given back yet."""

    letter: Letter
    visible_until: float
    since: float
    outgoing: Outgoing | None = None
    redrive: bool = False
    repaired: bool = False
    without_contract: bool = False
    reason: str | None = None
    failed: bool = False
    attempts: int = 0
    alone: bool = False
    doubtful: bool = False
    releasing: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Receive:
    """Ask the dead-letter queue for letters; `empty_handed` tells that the lane has none at that time."""

    max_messages: int
    issued_at: float
    empty_handed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Send:
    """Send letters to one destination."""

    destination: Destination
    letters: Sequence[Held]


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Delete letters that were sent, by the handles they had when this was decided."""

    letters: Sequence[Held]
    handles: Sequence[str]


class Purpose(StrEnum):
    """Why a letter's visibility changes."""

    EXTEND = "extend"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, eq=False)
class SetVisibility:
    """Change how long letters stay invisible, by the handles they had when this was decided."""

    letters: Sequence[Held]
    handles: Sequence[str]
    seconds: int
    purpose: Purpose
    issued_at: float


type Action = Receive | Send | Delete | SetVisibility


@dataclass(frozen=True, slots=True)
class Messages:
    """What a receive brought, as ReceiveMessage returns it."""

    messages: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """A batch request that was answered: the entries that failed, by their place in the batch."""

    failed: Mapping[int, Failure] = field(default_factory=dict)


type Outcome = Messages | BatchResult | Failure


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A letter that stays invisible until the run ends, and the handle that releases it."""

    message_id: str
    receipt_handle: str
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """What a lane needs to know.

    Attributes
    ----------
    run_id : str
        Goes into the letters' history attribute.
    fifo : bool
        The dead-letter queue is a FIFO queue.
    quarantine_url : str
        Where quarantined letters go.
    quota : int | None
        Take at most so many letters out of the queue.
    ends_at, stops_at : float
        Times on the lane's clock, in seconds: no more receives from `ends_at` on; at `stops_at` what is not
        sent yet is given back.
    visibility : int
        Seconds that a received letter stays invisible to others.
    hold : int
        Seconds that a skipped letter is kept invisible.
    concurrency : int
        Requests in flight at a time.
    in_hand, in_hand_bytes : int
        Letters, and bytes, received and not yet done with.
    """

    run_id: str
    fifo: bool
    quarantine_url: str
    quota: int | None
    ends_at: float
    stops_at: float
    visibility: int = 60
    hold: int = 3600
    concurrency: int = 16
    in_hand: int = 320
    in_hand_bytes: int = 48 * 1024 * 1024


class _Outbox:
    """Letters waiting for one destination; for a FIFO queue, at most one of each group is under way."""

    def __init__(self, destination: Destination, *, paced: bool) -> None:
        self.destination = destination
        self.paced = paced
        self._fifo = destination.kind is Kind.FIFO_QUEUE
        self._groups: OrderedDict[str, deque[Held]] = OrderedDict()
        self._busy: set[str] = set()
        self.size = 0

    def _group(self, held: Held) -> str:
        return (held.letter.group_id or "") if self._fifo else ""

    def add(self, held: Held) -> None:
        self._groups.setdefault(self._group(held), deque()).append(held)
        self.size += 1

    def again(self, held: Held) -> None:
        """Put a letter back that has to be sent once more; in a FIFO queue its group has waited for it."""
        self._groups.setdefault(self._group(held), deque()).appendleft(held)
        self._busy.discard(self._group(held))
        self.size += 1

    def settled(self, held: Held) -> None:
        """Let the letter's group go on."""
        self._busy.discard(self._group(held))

    def remove_group(self, held: Held) -> list[Held]:
        """Take out all letters that wait behind `held` in its group."""
        behind = list(self._groups.pop(self._group(held), ()))
        self.size -= len(behind)
        return behind

    def oldest(self) -> float:
        return min(
            (letters[0].since for key, letters in self._groups.items() if key not in self._busy),
            default=float("inf"),
        )

    def take(self, most: int) -> list[Held]:
        """Take a batch: at most `most` letters and 1 MiB, and at most one letter of each FIFO group.

        One of each group, since the entries of a batch can fail one by one: the next letter of the group
        must not be accepted before the failed one is.
        """
        taken: list[Held] = []
        total = 0
        for key in list(self._groups):
            if self._fifo and key in self._busy:
                continue
            letters = self._groups[key]
            while letters and len(taken) < most:
                assert letters[0].outgoing is not None
                size = letters[0].outgoing.size
                if taken and (total + size > MAX_BYTES or letters[0].alone or taken[0].alone):
                    break
                total += size
                taken.append(letters.popleft())
                if self._fifo:
                    self._busy.add(key)
                    break
            if not letters:
                del self._groups[key]
            if len(taken) >= most:
                break
        self.size -= len(taken)
        return taken

    def clear(self) -> list[Held]:
        everything = [held for letters in self._groups.values() for held in letters]
        self._groups.clear()
        self.size = 0
        return everything


class Lane:
    """Moves letters: receives, judges, sends, and deletes what was sent.

    Send first, delete after: a letter leaves the dead-letter queue only after SQS has listed it as accepted.
    A letter that shows up again after it was sent is only deleted.

    Parameters
    ----------
    settings : LaneSettings
        What the lane needs to know.
    judge : Callable[[Letter], Verdict]
        The verdict on one letter.
    pacer : Pacer
        Its rate may be changed while letters move.
    already_sent : Iterable[str]
        Message ids that earlier slices sent but could not delete.
    jitter : Callable[[], float]
        Random numbers from 0 to 1 for the pauses between attempts.
    """

    def __init__(
        self,
        settings: LaneSettings,
        judge: Callable[[Letter], Verdict],
        pacer: Pacer,
        already_sent: Iterable[str],
        jitter: Callable[[], float],
    ) -> None:
        self.pacer = pacer
        self.failure: tuple[Action, Failure] | None = None
        self._settings = settings
        self._quarantine = Destination(
            Kind.QUEUE, settings.quarantine_url, settings.quarantine_url.rsplit("/", 1)[-1]
        )
        self._judge = judge
        self._jitter = jitter
        self._in_hand: dict[str, Held] = {}
        self._bytes = 0
        self._outboxes: dict[str, _Outbox] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._tries = 0
        self._to_delete: deque[Held] = deque()
        self._to_hold: deque[Held] = deque()
        self._to_release: deque[Held] = deque()
        self._to_extend: deque[Held] = deque()
        self._blocked_groups: set[str | None] = set()
        self._releasing: Counter[str | None] = Counter()
        self._sent: OrderedDict[str, None] = OrderedDict.fromkeys(already_sent)
        self._sent_before = frozenset(self._sent)
        self._undeleted: set[str] = set(self._sent)
        self._records: list[HeldRecord] = []
        self._flying = 0
        self._sending = 0
        self._asked = 0
        self._receiving = 0
        self._receive_after = float("-inf")
        self._receive_failures = 0
        self._extend_check = float("-inf")
        self._empties = 0
        self._last_empty = False
        self._uncommitted = settings.quota
        self._ended = False
        self._giving_up = False
        self._stopped = False
        self._wake = float("inf")
        self._sending_since = float("inf")
        self._sending_until = 0.0
        self._redriven = 0
        self._repaired = 0
        self._without_contract = 0
        self._quarantined = 0
        self._failed = 0
        self._duplicates = 0
        self._skipped: Counter[str] = Counter()
        self._quarantine_reasons: Counter[str] = Counter()
        self._failure_codes: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()

    # What the pipeline asks

    @property
    def finished(self) -> bool:
        """Whether nothing is in flight or in hand and nothing more will be received."""
        return not self._flying and not self._in_hand and not self._later and self._closing

    @property
    def drained(self) -> bool:
        """Whether the queue was seen empty several times in a row."""
        return self._empties >= EMPTY_POLLS

    @property
    def in_hand(self) -> int:
        """Letters received and not yet done with."""
        return len(self._in_hand)

    @property
    def undeleted(self) -> frozenset[str]:
        """Ids of letters that this lane sent and that may still be in the dead-letter queue."""
        return frozenset(self._undeleted - self._sent_before)

    def take_records(self) -> list[HeldRecord]:
        """Return the letters kept invisible since the last call."""
        records, self._records = self._records, []
        return records

    def result(self) -> SliceResult:
        """Return the counts so far."""
        return SliceResult(
            redriven=self._redriven,
            repaired=self._repaired,
            without_contract=self._without_contract,
            quarantined=self._quarantined,
            failed=self._failed,
            skipped=dict(self._skipped),
            quarantine_reasons=dict(self._quarantine_reasons),
            failure_codes=dict(self._failure_codes),
            duplicates_possible=self._duplicates,
            drained=self.drained,
            stopped=self._stopped,
            calls=dict(self._calls),
            seconds=round(self._sending_until - self._sending_since, 3) if self._redriven else 0.0,
        )

    def stop(self) -> None:
        """Finish what is under way and give the rest back."""
        self._stopped = True
        self._give_up()

    def wake_at(self) -> float:
        """Return the time at which `next` has something to do even if no request ends before."""
        return self._wake

    # Deciding what to do next

    @property
    def _closing(self) -> bool:
        """Whether no more letters will be received."""
        return (
            self._giving_up
            or self._ended
            or self.drained
            or (self._uncommitted is not None and self._uncommitted <= 0 and not self._receiving)
        )

    def next(self, now: float) -> list[Action]:
        """Return the requests to make now, at most as many as may be in flight."""
        settings = self._settings
        if now >= settings.ends_at:
            self._ended = True
        if now >= settings.stops_at:
            self._give_up()
        self._wake = min(
            (at for at in (settings.ends_at, settings.stops_at) if at > now),
            default=float("inf"),
        )
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        if self._later:
            self._wake = min(self._wake, self._later[0][0])
        self._find_expiring(now)
        actions: list[Action] = []
        self._add_deletes(actions, now)
        self._add_visibility(actions, self._to_release, 0, Purpose.RELEASE, now)
        self._add_visibility(actions, self._to_extend, settings.visibility, Purpose.EXTEND, now)
        self._add_visibility(actions, self._to_hold, settings.hold, Purpose.HOLD, now)
        self._add_sends(actions, now)
        self._add_receives(actions, now)
        return actions

    def _free(self) -> bool:
        return self._flying < self._settings.concurrency

    def _start(self, actions: list[Action], action: Action) -> None:
        self._flying += 1
        self._calls[type(action).__name__] += 1
        actions.append(action)

    def _ripe(self, waiting: deque[Held], linger: float, now: float) -> bool:
        """Whether a batch should go now: full, waited long enough, or nothing more will come."""
        if not waiting:
            return False
        ripe_at = waiting[0].since + linger
        if len(waiting) >= MAX_BATCH_ENTRIES or now >= ripe_at or self._settings.fifo:
            return True
        if self._closing and not self._receiving and not self._sending:
            return True
        self._wake = min(self._wake, ripe_at)
        return False

    def _add_deletes(self, actions: list[Action], now: float) -> None:
        while self._free() and self._ripe(self._to_delete, _DELETE_LINGER, now):
            self._start(actions, Delete(*_pop(self._to_delete)))

    def _add_visibility(
        self, actions: list[Action], waiting: deque[Held], seconds: int, purpose: Purpose, now: float
    ) -> None:
        linger = _DELETE_LINGER if purpose is Purpose.HOLD else 0.0
        while self._free() and self._ripe(waiting, linger, now):
            self._start(actions, SetVisibility(*_pop(waiting), seconds, purpose, now))

    def _add_sends(self, actions: list[Action], now: float) -> None:
        # The queue whose letters have waited longest first, so that none starves another at a low rate.
        for outbox in sorted(self._outboxes.values(), key=_Outbox.oldest):
            while outbox.size and self._free():
                most = self.pacer.batch_size if outbox.paced else MAX_BATCH_ENTRIES
                most = most if outbox.destination.takes_batches else 1
                ripe_at = outbox.oldest() + _SEND_LINGER
                if outbox.size < most and now < ripe_at and self._receiving and not self._closing:
                    self._wake = min(self._wake, ripe_at)
                    break
                if outbox.paced and (ready_at := self.pacer.ready_at(now)) > now:
                    self._wake = min(self._wake, ready_at)
                    break
                taken = outbox.take(most)
                if not taken:
                    break
                batch = [held for held in taken if not self._too_late(held, outbox, now)]
                if not batch:
                    continue
                if outbox.paced:
                    self.pacer.take(len(batch), now)
                    self._sending_since = min(self._sending_since, now)
                    self._sending_until = now + len(batch) / self.pacer.rate
                self._sending += 1
                self._start(actions, Send(outbox.destination, batch))

    def _too_late(self, held: Held, outbox: _Outbox, now: float) -> bool:
        if held.visible_until > now + _TOO_LATE:
            return False
        # Its visibility ran out while it waited: it is in the queue again, and is received again.
        outbox.settled(held)
        self._recommit()
        self._let_go(held)
        for behind in outbox.remove_group(held) if self._settings.fifo else ():
            self._recommit()
            self._release(behind)
        return True

    def _add_receives(self, actions: list[Action], now: float) -> None:
        settings = self._settings
        while not self._closing and self._free():
            if self._receiving >= (1 if self._last_empty or settings.fifo else _RECEIVES_AT_ONCE):
                return
            if now < self._receive_after:
                self._wake = min(self._wake, self._receive_after)
                return
            wanted = MAX_BATCH_ENTRIES
            if self._uncommitted is not None:
                wanted = min(wanted, self._uncommitted - self._asked)
                if wanted <= 0:
                    return
            if len(self._in_hand) + self._asked + wanted > settings.in_hand:
                return
            average = self._bytes / len(self._in_hand) if self._in_hand else 0
            if self._bytes + average * (self._asked + wanted) > settings.in_hand_bytes:
                return
            self._receiving += 1
            self._asked += wanted
            self._start(actions, Receive(wanted, now, not self._in_hand))

    def _find_expiring(self, now: float) -> None:
        if now < self._extend_check:
            return
        self._extend_check = now + 5.0
        waiting = {id(held) for held in self._to_extend}
        for held in self._in_hand.values():
            unsent = held.outgoing is not None and held.letter.message_id not in self._sent
            if unsent and held.visible_until - now < _EXTEND_BELOW and id(held) not in waiting:
                self._to_extend.append(held)

    # Taking in what came of it

    def outcome(self, action: Action, outcome: Outcome, now: float) -> None:
        """Take in what came of an action that `next` returned."""
        self._flying -= 1
        if isinstance(outcome, Failure) and outcome.trouble is Trouble.GONE:
            self._fail(action, outcome)
        match action:
            case Receive():
                self._receiving -= 1
                self._asked -= action.max_messages
                self._received(action, outcome, now)
            case Send():
                self._sending -= 1
                self._after_send(action, outcome, now)
            case Delete():
                self._after_delete(action, outcome, now)
            case SetVisibility():
                self._after_visibility(action, outcome, now)

    def _received(self, action: Receive, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Failure):
            if outcome.trouble in {Trouble.REFUSED, Trouble.LIMIT}:
                self._fail(action, outcome)
                return
            self._receive_failures += 1
            if self._receive_failures >= MAX_ATTEMPTS and not self._receiving:
                self._fail(action, outcome)
            self._receive_after = now + self._pause(self._receive_failures)
            return
        assert isinstance(outcome, Messages)
        self._receive_failures = 0
        self._last_empty = not outcome.messages
        # SQS hands out nothing of a FIFO group while one of its letters is in flight: an empty answer to a
        # receive that was made with letters in hand says nothing.
        locked = self._settings.fifo and not action.empty_handed
        self._empties = 0 if outcome.messages or locked else self._empties + 1
        visible_until = action.issued_at + self._settings.visibility
        for message in outcome.messages:
            self._take_in(Letter.from_message(message), visible_until, now)

    def _take_in(self, letter: Letter, visible_until: float, now: float) -> None:
        held = self._in_hand.get(letter.message_id)
        if held is not None:
            # Seen again while in hand: only the latest receipt handle deletes it.
            held.letter = letter
            held.visible_until = visible_until
            return
        held = Held(letter, visible_until, now)
        self._in_hand[letter.message_id] = held
        self._bytes += letter.size
        if letter.message_id in self._sent:
            self._undeleted.add(letter.message_id)
            self._to_delete.append(held)
            return
        if self._giving_up or (self._settings.fifo and self._releasing[letter.group_id]):
            # In a FIFO queue nothing may overtake letters of its group that are on their way back to the
            # queue.
            self._release(held)
            return
        verdict: Verdict
        if self._settings.fifo and letter.group_id in self._blocked_groups:
            verdict = Skip(Reason.GROUP_WAITS)
        else:
            verdict = self._judge(letter)
        match verdict:
            case Redrive():
                self._redrive(held, verdict)
            case Quarantine():
                text = verdict.history.to_json(verdict.reason, list(verdict.problems))
                held.reason = verdict.reason
                held.outgoing = outgoing(letter, *with_attribute(letter, ATTRIBUTE, text), None)
                self._put(held, self._quarantine, paced=False)
            case Skip():
                self._skip(held, verdict.reason)

    def _redrive(self, held: Held, verdict: Redrive) -> None:
        letter, destination = verdict.letter, verdict.destination
        again = f"{letter.message_id}-{verdict.history.count}"
        match destination.kind:
            case Kind.FUNCTION:
                held.outgoing = Outgoing({"Payload": letter.body}, letter.size)
            case Kind.STATE_MACHINE:
                # An execution's name is its deduplication id.
                held.outgoing = Outgoing({"input": letter.body, "name": again}, letter.size, again)
            case _:
                told = with_attribute(letter, ATTRIBUTE, verdict.history.to_json())
                fifo = destination.kind is Kind.FIFO_QUEUE
                held.outgoing = outgoing(letter, *told, again if fifo else None)
        held.redrive = True
        held.repaired = verdict.repaired
        held.without_contract = verdict.contract is None
        self._put(held, destination, paced=True)

    def _put(self, held: Held, destination: Destination, *, paced: bool) -> None:
        if self._uncommitted is not None:
            self._uncommitted -= 1
        outbox = self._outboxes.get(destination.address)
        if outbox is None:
            outbox = self._outboxes[destination.address] = _Outbox(destination, paced=paced)
        outbox.add(held)

    def _after_send(self, action: Send, outcome: Outcome, now: float) -> None:
        outbox = self._outboxes[action.destination.address]
        for place, held in enumerate(action.letters):
            failure = outcome if isinstance(outcome, Failure) else _failed(outcome).get(place)
            if failure is None:
                self._count_sent(held, now)
                outbox.settled(held)
                continue
            held.attempts += 1
            deduplicated = held.outgoing is not None and held.outgoing.group_id is not None
            if failure.trouble is Trouble.UNCERTAIN and not deduplicated and not held.doubtful:
                held.doubtful = True
                self._duplicates += 1
            # A request refused as a whole says nothing about the single letter: each is tried alone.
            alone = failure is outcome and failure.trouble is Trouble.REFUSED and len(action.letters) > 1
            held.alone = held.alone or alone
            if self._giving_up:
                outbox.settled(held)
                self._recommit()
                self._release(held)
            elif alone:
                outbox.again(held)
            elif failure.trouble in {Trouble.THROTTLED, Trouble.UNCERTAIN} and held.attempts < MAX_ATTEMPTS:
                self._retry(partial(self._send_again, outbox, held), held.attempts, now)
            else:
                self._give_up_letter(held, outbox, failure.code)

    def _send_again(self, outbox: _Outbox, held: Held) -> None:
        if self._giving_up:
            outbox.settled(held)
            self._recommit()
            self._release(held)
        else:
            outbox.again(held)

    def _count_sent(self, held: Held, now: float) -> None:
        if held.redrive:
            self._redriven += 1
            self._repaired += held.repaired
            self._without_contract += held.without_contract
        else:
            self._quarantined += 1
            self._quarantine_reasons[held.reason or ""] += 1
        self._sent[held.letter.message_id] = None
        self._undeleted.add(held.letter.message_id)
        while len(self._sent) > _REMEMBERED + len(self._undeleted):
            oldest, _ = self._sent.popitem(last=False)
            if oldest in self._undeleted:
                self._sent[oldest] = None
        held.outgoing = None
        held.attempts = 0
        held.since = now
        self._to_delete.append(held)

    def _give_up_letter(self, held: Held, outbox: _Outbox, code: str) -> None:
        """Leave a letter in the dead-letter queue that its destination does not take."""
        self._failed += 1
        self._failure_codes[code] += 1
        held.failed = True
        outbox.settled(held)
        self._recommit()
        behind = outbox.remove_group(held) if held.outgoing and held.outgoing.group_id is not None else []
        self._keep(held, code)
        if self._settings.fifo:
            self._blocked_groups.add(held.letter.group_id)
            for waiting in behind:
                self._recommit()
                self._skip(waiting, Reason.GROUP_WAITS)

    def _after_delete(self, action: Delete, outcome: Outcome, now: float) -> None:
        for place, held in enumerate(action.letters):
            failure = outcome if isinstance(outcome, Failure) else _failed(outcome).get(place)
            if held.letter.receipt_handle != action.handles[place]:
                # Received again meanwhile: the old handle may have had no effect.
                self._to_delete.append(held)
                continue
            if failure is None:
                # Once the visibility has run out, another receive may have made the handle void without our
                # knowing: SQS then says yes and deletes nothing (SQS API reference, DeleteMessage).
                if now < held.visible_until:
                    self._undeleted.discard(held.letter.message_id)
                self._let_go(held)
                continue
            held.attempts += 1
            if failure.trouble in {Trouble.THROTTLED, Trouble.UNCERTAIN} and held.attempts < MAX_ATTEMPTS:
                self._retry(partial(self._to_delete.append, held), held.attempts, now)
            else:
                # It will be seen again, by this lane or a later slice, which then only deletes it.
                self._let_go(held)

    def _after_visibility(self, action: SetVisibility, outcome: Outcome, now: float) -> None:
        for place, held in enumerate(action.letters):
            failure = outcome if isinstance(outcome, Failure) else _failed(outcome).get(place)
            if action.purpose is Purpose.EXTEND:
                # After the visibility had run out, another receive may have made the handle void, and then
                # the extension was one of nothing.
                if failure is None and now < held.visible_until:
                    held.visible_until = action.issued_at + action.seconds
                continue
            waiting = self._to_hold if action.purpose is Purpose.HOLD else self._to_release
            if held.letter.receipt_handle != action.handles[place]:
                waiting.append(held)
                continue
            if failure is not None and failure.trouble in {Trouble.THROTTLED, Trouble.UNCERTAIN}:
                held.attempts += 1
                if held.attempts < MAX_ATTEMPTS:
                    self._retry(partial(waiting.append, held), held.attempts, now)
                    continue
            if action.purpose is Purpose.HOLD:
                letter = held.letter
                self._records.append(
                    HeldRecord(letter.message_id, letter.receipt_handle, held.reason or "", held.failed)
                )
            self._let_go(held)

    # Small steps

    def _skip(self, held: Held, reason: str) -> None:
        self._skipped[reason] += 1
        self._keep(held, reason)

    def _keep(self, held: Held, reason: str) -> None:
        held.reason = reason
        held.outgoing = None
        held.attempts = 0
        self._to_hold.append(held)

    def _release(self, held: Held) -> None:
        held.outgoing = None
        held.attempts = 0
        held.releasing = True
        self._releasing[held.letter.group_id] += 1
        self._to_release.append(held)

    def _let_go(self, held: Held) -> None:
        if self._in_hand.pop(held.letter.message_id, None) is not None:
            self._bytes -= held.letter.size
            self._releasing[held.letter.group_id] -= held.releasing

    def _recommit(self) -> None:
        """Give the letter's share of the quota back: it stays in the queue."""
        if self._uncommitted is not None:
            self._uncommitted += 1

    def _fail(self, action: Action, failure: Failure) -> None:
        self.failure = self.failure or (action, failure)
        self._give_up()

    def _give_up(self) -> None:
        if self._giving_up:
            return
        self._giving_up = True
        for outbox in self._outboxes.values():
            for held in outbox.clear():
                self._recommit()
                self._release(held)

    def _retry(self, again: Callable[[], None], attempts: int, now: float) -> None:
        self._tries += 1
        heapq.heappush(self._later, (now + self._pause(attempts), self._tries, again))

    def _pause(self, attempts: int) -> float:
        """Return a pause in seconds, with jitter (AWS Builders' Library, "Timeouts, retries and backoff")."""
        return float(min(_MAX_PAUSE, 0.1 * 2.0**attempts) * (0.5 + self._jitter() / 2))


def _failed(outcome: Outcome) -> Mapping[int, Failure]:
    assert isinstance(outcome, BatchResult)
    return outcome.failed


def _pop(waiting: deque[Held]) -> tuple[list[Held], list[str]]:
    letters = [waiting.popleft() for _ in range(min(MAX_BATCH_ENTRIES, len(waiting)))]
    return letters, [held.letter.receipt_handle for held in letters]
