"""What a run would do with the messages in the queue, estimated from those that a dry run peeked at.

Called when the report of a dry run is made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from redrive.domain.judging.verdicts import Reason
from redrive.domain.model import DisplayName, Model
from redrive.domain.sampling.sample import Sample, interval


class Expected(Model):
    """How many messages of a kind are expected, and the bounds with 95 % confidence."""

    #: The most likely number.
    expected: int
    #: At least so many.
    low: int
    #: At most so many.
    high: int


class Forecast(Model):
    """What a run with this input would do, `maxMessages` aside. The expected numbers add up to the messages."""

    #: Messages that the forecast is about: those peeked at if they were all, otherwise those in the queue.
    messages: int
    #: Messages that would be sent to their destination.
    redriven: Expected
    #: Messages that would be sent to the quarantine.
    quarantined: Expected
    #: Messages that would stay.
    skipped: Expected
    #: The quarantined by reason code.
    quarantine_reasons: dict[DisplayName, Expected]
    #: The skipped by reason code.
    skip_reasons: dict[DisplayName, Expected]


def forecast_of(sample: Sample, in_queue: int) -> Forecast | None:
    """Return what a run would do with the whole queue; None if messages are there and none could be peeked at.

    Parameters
    ----------
    sample : Sample
        What was peeked at. If these were all messages that SQS returned, the numbers are exact.
    in_queue : int
        Messages in the queue, approximately.
    """
    sampled = sample.sampled
    messages = sampled if sample.complete else max(in_queue, sampled)
    if messages and not sampled:
        return None
    redriven, quarantined, skipped = _expected(sample, messages)

    def within(found: int, number: int) -> Expected:
        if not sampled:
            return Expected(expected=0, low=0, high=0)
        # The first messages of each group, which is all that SQS returns of a FIFO queue, are no sample of the others.
        low, high = (0.0, 1.0) if sample.fifo_groups else interval(found, sampled)
        # What was found is in the queue, and what was found to be something else isn't of this kind.
        lowest = max(found, math.floor(low * messages))
        highest = min(messages - (sampled - found), math.ceil(high * messages))
        return Expected(expected=number, low=min(lowest, number), high=max(highest, number))

    def by_reason(found: Mapping[str, int], numbers: Mapping[str, int]) -> dict[str, Expected]:
        return {reason: within(found.get(reason, 0), number) for reason, number in numbers.items()}

    return Forecast(
        messages=messages,
        redriven=within(sample.redrivable, redriven),
        quarantined=within(sum(sample.quarantined.values()), sum(quarantined.values())),
        skipped=within(sum(sample.skipped.values()), sum(skipped.values())),
        quarantine_reasons=by_reason(sample.quarantined, quarantined),
        skip_reasons=by_reason(sample.skipped, skipped),
    )


def _expected(sample: Sample, messages: int) -> tuple[int, dict[str, int], dict[str, int]]:
    """Return the most likely numbers of messages: redriven, quarantined by reason, and skipped by reason."""
    redrivable, quarantined, skipped = sample.redrivable, sample.quarantined, sample.skipped
    if not sample.fifo_groups:
        verdicts = {"": redrivable, "quarantined": sum(quarantined.values()), "skipped": sum(skipped.values())}
        shares = _apportioned(verdicts, messages)
        return (
            shares[""],
            _apportioned(quarantined, shares["quarantined"]),
            _apportioned(skipped, shares["skipped"]),
        )
    # What wasn't returned is behind what was: it waits if a message of its group stays, and leaves the queue otherwise.
    others = messages - sample.sampled
    waits = others * sample.waiting_groups // sample.fifo_groups
    leaves = _apportioned({"": redrivable, **quarantined}, others - waits)
    return (
        redrivable + leaves.pop(""),
        {reason: quarantined[reason] + number for reason, number in leaves.items()},
        dict(Counter(skipped) + Counter({Reason.GROUP_WAITS.value: waits})),
    )


def _apportioned(found: Mapping[str, int], messages: int) -> dict[str, int]:
    """Return the numbers scaled up to a sum, with the largest remainders rounded up."""
    total = sum(found.values())
    if not total:
        return dict.fromkeys(found, 0)
    scaled = {kind: divmod(number * messages, total) for kind, number in found.items()}
    missing = messages - sum(whole for whole, _ in scaled.values())
    largest = sorted(scaled, key=lambda kind: -scaled[kind][1])[:missing]
    return {kind: whole + (kind in largest) for kind, (whole, _) in scaled.items()}
