"""What a run left in the dead-letter queue: how many messages, why, and what to do about them.

Called when a run ends; `redrive.domain.runs.ending` decides what that means for its status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from redrive.contracts.contract import Violation
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.messages.queues import IN_FLIGHT_LIMIT, QueueCounts
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.refusals import MEANINGS, OF_SIZE
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample

# A message timer is at most 15 minutes (SQS developer guide, "Amazon SQS message timers").
_LONGEST_DELAY_MINUTES = 15
# Codes that the sentence lists of each kind; the report has all of them.
_MAX_CODES = 5

_INVALID = "invalid, and this run leaves such messages; correct the producer, or repair them"
_NOTHING_IN_IT = "the envelope has nothing to redrive, and this run leaves such messages"
_CONFIRM = (
    "the configuration of what failed doesn't name this queue for failures, so nothing proves where they belong; "
    "correct it, start a run with trustedDestinations, or name a destination"
)
_READ = (
    "the configuration of what failed can't be read; grant the mover and the sampler on it "
    "lambda:GetFunctionEventInvokeConfig and lambda:GetFunctionConfiguration, events:ListTargetsByRule, "
    "scheduler:GetSchedule, or sns:GetSubscriptionAttributes, start a run later, or start one with trustedDestinations"
)
_ALLOW = (
    "this deployment may not deliver to what they say they belong to; deploy with its ARN in "
    "DestinationFunctionArns or DestinationStateMachineArns, or start a run with a destination"
)


class _Skip(NamedTuple):
    """What a skip's reason means at the end of a run."""

    #: The run would have moved these messages if it could: it is incomplete without them.
    movable: bool
    #: What they are, and what to do.
    meaning: str


#: Every reason why messages are skipped.
SKIPS: Mapping[str, _Skip] = MappingProxyType(
    {
        Reason.CAME_BACK: _Skip(False, "redriven by this run and back again; find out why the consumer fails"),
        Reason.ARRIVED_AFTER_START: _Skip(False, "sent after the run started; start another run for them"),
        Reason.NOT_SELECTED: _Skip(False, "outside of select; start another run for them"),
        Reason.REDRIVEN_TOO_OFTEN: _Skip(False, "redriven as often as maxRedrives allows; raise it to redrive them"),
        **{violation: _Skip(False, _INVALID) for violation in Violation},
        **{reason: _Skip(False, _NOTHING_IN_IT) for reason in BlockedReason},
        Reason.GROUP_WAITS: _Skip(
            True, "behind a message of their FIFO group that stays; deal with that message, then start another run"
        ),
        Reason.UNDECIDED: _Skip(True, "not judged within the bound on work; simplify the pattern, schema, or query"),
        Reason.UNEXPECTED_ERROR: _Skip(
            True, "this app failed on them; its log has their ids and the errors, and a new version may judge them"
        ),
        Reason.NO_DESTINATION: _Skip(True, "nothing says where they belong; start a run with a destination"),
        Reason.DESTINATION_NOT_ALLOWED: _Skip(True, _ALLOW),
        Reason.DESTINATION_NOT_CONFIRMED: _Skip(True, _CONFIRM),
        Reason.CONFIGURATION_UNREADABLE: _Skip(True, _READ),
        Reason.TOO_MANY_CLAIMS: _Skip(
            True, "not looked up, after 100 other claims that proved false; remove those, or use trustedDestinations"
        ),
        Reason.RATE_UNAVAILABLE: _Skip(
            True, "the max rate of their queue can't be read, or too little of it is left; start another run later"
        ),
        Reason.MAX_RATE_INVALID: _Skip(
            True, "a tag of their queue is wrong, so its max rate isn't known; correct it, then start another run"
        ),
        Reason.NO_MESSAGE_GROUP: _Skip(
            True,
            "for a FIFO queue, but without the message group that it requires; start a run with a standard queue as "
            "destination, or send them to the FIFO queue with a group",
        ),
        Reason.TOO_LARGE: _Skip(True, "larger than their destination takes"),
        Reason.NOT_SENDABLE: _Skip(
            True, "unwrapped or repaired, they have characters or attributes that SQS rejects; change the repair"
        ),
        Reason.UNKNOWN_POINTER: _Skip(
            True,
            "they have the attribute of a payload in S3, but no pointer of a known form, so neither a contract nor a "
            "repair can apply; start a run without a repair, or deploy without a contract for their queue",
        ),
        Reason.CONTRACT_UNUSABLE: _Skip(True, "the contract of their destination can't be used; correct it"),
    }
)
# A reason that this table doesn't know must not make a run look complete.
_UNKNOWN = _Skip(True, "docs/reference/reasons.md says what to do")


class Leftover(NamedTuple):
    """Messages that were left for one reason."""

    messages: int
    #: The run would have moved them if it could.
    movable: bool
    #: How many, why, and what to do: a part of a sentence.
    text: str


def leftovers(plan: RunPlan, tally: Tally) -> Iterator[Leftover]:
    """Yield what a run judged and left, and then what it couldn't get hold of."""
    # Of a FIFO group, select is asked about the messages before the first that stays.
    unasked = Reason.GROUP_WAITS in tally.skip_reasons or (plan.dlq.fifo and tally.queue and tally.queue.visible)
    unselected = 0 if unasked else matched_none(tally)
    if unselected:
        yield Leftover(unselected, True, f"select matched none of {counted(unselected)}; check its conditions")
    yield from _refused(plan, tally)
    for reason, number in sorted(tally.skip_reasons.items()):
        if not (unselected and reason == Reason.NOT_SELECTED):
            skip = SKIPS.get(reason, _UNKNOWN)
            yield Leftover(number, skip.movable, f"{number:,} skipped as {reason} ({skip.meaning})")
    if tally.queue is not None:
        yield from out_of_reach(plan, tally.queue, held=tally.counts.stayed)


def matched_none(tally: Tally) -> int:
    """Return how many messages the selection was asked about if it matched none of them, otherwise 0."""
    unasked = {Reason.CAME_BACK, Reason.ARRIVED_AFTER_START, Reason.NOT_SELECTED, Reason.GROUP_WAITS}
    matched = tally.counts.moved + tally.counts.failed + tally.counts.released
    matched += sum(number for reason, number in tally.skip_reasons.items() if reason not in unasked)
    return 0 if matched else tally.skip_reasons.get(Reason.NOT_SELECTED, 0)


def none_selected(sample: Sample) -> bool:
    """Return whether a selection matched none of the messages that were peeked at, and had been asked about all."""
    if sample.waiting_groups and not sample.complete:
        return False
    unasked = {Reason.CAME_BACK, Reason.ARRIVED_AFTER_START}
    asked = sample.sampled - sum(sample.skipped.get(reason, 0) for reason in unasked)
    return 0 < asked == sample.skipped.get(Reason.NOT_SELECTED, 0)


def out_of_reach(plan: RunPlan, queue: QueueCounts, *, held: int) -> Iterator[Leftover]:
    """Yield what SQS doesn't return now.

    Parameters
    ----------
    plan : RunPlan
        The run.
    queue : QueueCounts
        The dead-letter queue.
    held : int
        Messages that the run itself keeps in flight.
    """
    if queue.delayed:
        # In a FIFO queue, a message can't have a timer of its own (SQS developer guide, "Amazon SQS message timers").
        seconds = plan.delay if plan.dlq.fifo else 0
        when = f"{seconds} seconds" if seconds else f"{_LONGEST_DELAY_MINUTES} minutes"
        text = f"{queue.delayed:,} delayed (they become visible within {when}; start another run then)"
        yield Leftover(queue.delayed, True, text)
    elsewhere = max(0, queue.in_flight - held)
    if elsewhere:
        text = (
            f"{elsewhere:,} in flight elsewhere (another consumer or an interrupted run received them; they come back "
            "when their visibility timeout expires, after 12 hours at most; start another run then)"
        )
        yield Leftover(elsewhere, True, text)
    if queue.near_limit:
        text = (
            f"about {queue.in_flight:,} were in flight, and SQS returns no more than about {IN_FLIGHT_LIMIT:,} at a "
            "time, so there may be others (start another run, with maxMessages or without select)"
        )
        yield Leftover(queue.visible, True, text)
    elif queue.visible:
        why = "sent meanwhile; start another run"
        if plan.dlq.fifo and queue.in_flight:
            whose = ["that this run left"] * bool(held) + ["in flight elsewhere"] * bool(elsewhere)
            why = f"behind messages of their FIFO groups {' or '.join(whose)}; deal with those, then start another run"
        text = f"{queue.visible:,} visible that SQS didn't return ({why})"
        yield Leftover(queue.visible, True, text)


def _refused(plan: RunPlan, tally: Tally) -> Iterator[Leftover]:
    if not tally.counts.failed:
        return
    codes = sorted(tally.failure_codes.items(), key=lambda code: (-code[1], code[0]))
    listed = [f"{number:,} with {code}{_meaning(code)}" for code, number in codes[:_MAX_CODES]]
    limits = f"; {_limits(plan)}" if OF_SIZE & tally.failure_codes.keys() else ""
    if len(codes) > _MAX_CODES:
        listed.append(f"{sum(number for _, number in codes[_MAX_CODES:]):,} with other codes")
    who = plan.destination.name if plan.destination else "their destination"
    text = f"{tally.counts.failed:,} refused by {who} ({', '.join(listed)}{limits}; "
    text += "correct the cause, then start another run)"
    yield Leftover(tally.counts.failed, True, text)


def _limits(plan: RunPlan) -> str:
    """Return how large a message may be, by queue, as far as the plan knows the queues."""
    queues = [*plan.receivers]
    queues += [] if plan.in_quarantine else [plan.quarantine]
    limits = [f"{queue.name} takes {queue.max_bytes:,} bytes" for queue in queues[:_MAX_CODES]]
    return f"{', '.join(limits)} (MaximumMessageSize)"


def _meaning(code: str) -> str:
    return f": {MEANINGS[code]}" if code in MEANINGS else ""


def counted(number: int) -> str:
    """Return a number of messages in words."""
    return "1 message" if number == 1 else f"{number:,} messages"
