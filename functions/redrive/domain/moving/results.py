"""What happened to messages, in numbers: counted by the lane, added up in the tally, shown in the report.

`Counts` and `Totals` are the one place where a count is defined; a new one is added here and where it is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Self

from pydantic import Field

from redrive.domain.judging.verdicts import explained
from redrive.domain.model import DisplayName, Model


class Counts(Model):
    """Messages by what happened to them. The repaired are among the redriven, the bounced among the skipped.

    What was seen adds up: it is what was redriven, quarantined, skipped, failed, or released.
    """

    #: Peeked at before anything moved.
    sampled: int = 0
    #: Received by the run to move them: the sum of redriven, quarantined, skipped, failed, and released.
    seen: int = 0
    #: Accepted by their destination.
    redriven: int = 0
    #: Redriven after a repair changed them.
    repaired: int = 0
    #: Sent to the quarantine.
    quarantined: int = 0
    #: Redriven or quarantined without the `redrive` attribute that they had, because this deployment didn't write it.
    foreign: int = 0
    #: Judged and left in the dead-letter queue.
    skipped: int = 0
    #: Skipped because this run had redriven them and they are in the dead-letter queue again.
    bounced: int = 0
    #: Refused by their destination.
    failed: int = 0
    #: Given back to the dead-letter queue without having been moved, because the run ended early.
    released: int = 0
    #: In the dead-letter queue at the end, as far as is known.
    remaining: int = 0

    def __add__(self, other: Counts) -> Self:
        """Return both, added up."""
        return self.model_copy(
            update={name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields}
        )

    @property
    def moved(self) -> int:
        """Messages taken out of the dead-letter queue."""
        return self.redriven + self.quarantined

    @property
    def stayed(self) -> int:
        """Messages that the run has judged and left in the dead-letter queue."""
        return self.skipped + self.failed

    @property
    def all_seen(self) -> int:
        """Messages that the run has received, each once."""
        return self.moved + self.stayed + self.released


class Totals(Model):
    """Counts and what explains them."""

    #: Messages by what happened to them.
    counts: Counts = Field(default_factory=Counts)
    #: Quarantined messages by reason code.
    quarantine_reasons: dict[DisplayName, int] = Field(default_factory=dict)
    #: Skipped messages by reason code.
    skip_reasons: dict[DisplayName, int] = Field(default_factory=dict)
    #: Messages that their destination refused, by error code.
    failure_codes: dict[DisplayName, int] = Field(default_factory=dict)
    #: Of the redriven, those that were judged on their envelope alone because their destination has no contract or
    #: their payload is in S3.
    without_contract: int = 0
    #: Messages that may have reached their destination twice, as far as is known.
    duplicates_possible: int = 0
    #: Messages that a lane may have moved without counting them because its function was killed: at most so many.
    unaccounted: int = 0

    @property
    def taken(self) -> int:
        """Messages that count toward `maxMessages`: what was moved, and what a killed lane may have moved."""
        return self.counts.moved + self.unaccounted

    def plus(self, other: Totals) -> Self:
        """Return this with the other's numbers added."""
        return self.model_copy(
            update={name: _sum(getattr(self, name), getattr(other, name)) for name in Totals.model_fields}
        )


def _sum(one: object, other: object) -> object:
    if isinstance(one, dict) and isinstance(other, dict):
        return dict(Counter(one) + Counter(other))
    if isinstance(one, Counts) and isinstance(other, Counts):
        return one + other
    assert isinstance(one, int)
    assert isinstance(other, int)
    return one + other


class SliceResult(Totals):
    """What one lane did in one slice."""

    #: Requests by kind.
    calls: dict[str, int] = Field(default_factory=dict)
    #: From the first message sent to when the rate allows the one after the last.
    seconds: float = 0.0
    #: The queue was seen empty, several times in a row.
    drained: bool = False
    #: An operator asked the run to stop.
    stopped: bool = False
    #: Why the run can't continue, worded for an operator.
    failure: str | None = None
    #: The smallest rate that a queue declares which the lane met in this slice; None if none does.
    max_rate: float | None = None
    #: What the lane learned that explains skips or the rate: sentences for an operator.
    explanations: tuple[str, ...] = ()
    #: How many attempts at the slice came before the one that returned this.
    retries: int = 0

    def after(self, before: SliceResult) -> SliceResult:
        """Return this slice together with an earlier attempt at it, which was interrupted.

        What the earlier attempt gave back has been in reach of this one since, so it isn't counted again.
        """
        update = {
            "counts": self.counts + before.counts.model_copy(update={"released": 0}),
            "calls": _sum(self.calls, before.calls),
            "seconds": self.seconds + before.seconds,
            "max_rate": smallest(self.max_rate, before.max_rate),
            "explanations": explained(before.explanations, self.explanations),
        }
        return self.plus(before).model_copy(update=update)


def smallest(*rates: float | None) -> float | None:
    """Return the smallest of some rates; None if there are none."""
    return min((rate for rate in rates if rate is not None), default=None)


class LaneWork(Model):
    """What a lane has to do in its next slice."""

    lane: int
    #: How many lanes the run has in this round.
    lanes: int = 1
    round: int
    #: Messages per second.
    rate: float
    #: Messages that it may take out of the queue; None if there is no limit.
    quota: int | None
