"""A run: what an operator asks for, the plan that is made of it, and what its tallies and report say.

These models are the workflow's interface: they are parsed and written by the handlers, and docs/execution.md
and docs/execution-input.schema.json follow from them. JSON keys are in camelCase.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictBool

from redrive.domain.model import Model
from redrive.domain.repair import Repair
from redrive.domain.selection import Selection

__all__ = ["Model"]


class OnInvalid(StrEnum):
    """What becomes of a letter that breaks its contract."""

    QUARANTINE = "quarantine"
    LEAVE = "leave"


class Status(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    DRY_RUN = "DRY_RUN"
    HALTED = "HALTED"
    STOPPED = "STOPPED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


# Strict, so that "50" or true is refused as what it is instead of being taken for a number.
type Rate = Annotated[float, Field(strict=True, ge=0.1, le=10_000, allow_inf_nan=False)]
type Count = Annotated[int, Field(strict=True, ge=1)]


class RedriveRequest(Model):
    """The input of an execution."""

    dlq: Annotated[str, Field(min_length=1, description="The dead-letter queue: its name, ARN or URL.")]
    destination: Annotated[
        str | None,
        Field(
            min_length=1,
            description="A queue (name, ARN or URL) that all letters go to. Without it each goes back to the "
            "queue it came from.",
        ),
    ] = None
    dry_run: Annotated[
        StrictBool, Field(description="Look only: sample the queue and report, move nothing.")
    ] = False
    rate: Annotated[Rate, Field(description="Messages per second, over all lanes.")] = 50
    max_messages: Annotated[
        Count | None,
        Field(description="Take at most so many letters out of the queue (redriven or quarantined)."),
    ] = None
    sample_size: Annotated[
        int, Field(strict=True, ge=1, le=1000, description="Letters to look at before anything moves.")
    ] = 10
    census: Annotated[
        StrictBool,
        Field(
            description="Look at all letters instead of a sample, as many as SQS lets be in flight, and make "
            "them visible again."
        ),
    ] = False
    select: Annotated[
        Selection | None,
        Field(description="Which letters the run is about; the others stay where they are."),
    ] = None
    repair: Annotated[Repair | None, Field(description="How letters are mended before they are judged.")] = (
        None
    )
    on_invalid: Annotated[
        OnInvalid,
        Field(
            description="Letters that break their contract: `quarantine` them or `leave` them where they are."
        ),
    ] = OnInvalid.QUARANTINE
    max_redrives: Annotated[
        Count, Field(description="A letter redriven so many times already goes to the quarantine.")
    ] = 3
    allow_nested_dlq: Annotated[
        StrictBool,
        Field(
            description="Go on although the queue has a redrive policy itself, so that reading it can push "
            "letters out of it."
        ),
    ] = False


class QueueRef(Model):
    """A queue that the run knows."""

    name: str
    arn: str
    url: str
    fifo: bool


class Execution(Model):
    """The Step Functions execution that a run is."""

    id: str
    name: str
    started_at: datetime


class RunPlan(Model):
    """What a run does, decided before anything moves.

    Attributes
    ----------
    started_at : int
        Milliseconds since 1970. What was sent to the queue at or after it is not moved by this run.
    sources : tuple[QueueRef, ...]
        The queues whose redrive policy names the dead-letter queue.
    retention : int
        Seconds that the dead-letter queue keeps a message.
    waiting : int
        Letters in the queue, approximately, when the run began.
    rate, asked_rate : float
        Messages per second that the run keeps to, and those that were asked for.
    ceiling : float | None
        Messages per second that the owners of the receiving queues allow; None where they say nothing.
    """

    run_id: str
    execution_arn: str
    started_at: int
    dlq: QueueRef
    sources: tuple[QueueRef, ...]
    destination: QueueRef | None
    quarantine_url: str
    dry_run: bool
    rate: float
    asked_rate: float
    ceiling: float | None
    max_messages: int | None
    sample_size: int
    census: bool = False
    select: Selection | None = None
    repair: Repair | None = None
    on_invalid: OnInvalid
    max_redrives: int
    retention: int
    waiting: int

    @property
    def in_quarantine(self) -> bool:
        """Whether the run redrives what was quarantined."""
        return self.dlq.url == self.quarantine_url

    @property
    def started(self) -> datetime:
        """The start as a time in UTC."""
        return datetime.fromtimestamp(self.started_at / 1000, UTC)


class Shown(Model):
    """A message with its values taken out: shapes and sizes, and only what a contract marks as safe in clear.

    Attributes
    ----------
    body : JsonValue
        Objects and lists as they are, cut short; other values as `<string 9>`, `<number>` or `<hidden>`.
    attributes : dict[str, str]
        Message attributes in the same way.
    """

    body: JsonValue
    attributes: dict[str, str]


class Example(Shown):
    """A letter of a group, and what the repair makes of it."""

    repaired: Shown | None = None


class SampleGroup(Model):
    """Sampled letters that are alike.

    Attributes
    ----------
    envelope : str
        What a service wrapped around them (docs/envelopes.md).
    origin : str | None
        Name of the queue, function, rule, schedule, topic or bucket that they came from.
    error_type, error_message : str | None
        Name and text of the error they failed with, where the envelope tells; the text without numbers and
        without what it quotes from the payload.
    contract : str | None
        The contract they were judged with; None for letters that were judged on their envelope alone.
    repaired : bool
        The repair has mended them.
    letters : int
        How many of the letters looked at.
    share, share_low, share_high : float
        Their share of the letters looked at, and the bounds of the share in the whole queue with 95 %
        confidence, for a queue that hands out letters at random.
    example : Example | None
        One of them, masked; the largest groups have one.
    """

    verdict: Literal["redrivable", "quarantined", "skipped"]
    reason: str | None
    destination: str | None
    envelope: str
    origin: str | None = None
    error_type: str | None
    error_message: str | None = None
    contract: str | None
    repaired: bool = False
    letters: int
    share: float = 0.0
    share_low: float = 0.0
    share_high: float = 0.0
    example: Example | None = None


class Sizes(Model):
    """Sizes of the letters in bytes, as SQS counts them."""

    smallest: int = 0
    median: int = 0
    p90: int = 0
    largest: int = 0


class Sample(Model):
    """What a look at some letters, or at all, showed. It tells shapes and counts, never content.

    Attributes
    ----------
    sampled : int
        Letters looked at.
    complete : bool
        The queue was seen empty while they were in hand: these were all.
    groups : tuple[SampleGroup, ...]
        The largest first.
    other_groups, in_other_groups : int
        Groups that are not listed, and their letters.
    near_expiry : int
        Letters that SQS drops within a day.
    """

    sampled: int = 0
    complete: bool = False
    groups: tuple[SampleGroup, ...] = ()
    other_groups: int = 0
    in_other_groups: int = 0
    oldest_sent_at: datetime | None = None
    newest_sent_at: datetime | None = None
    # Made when it is needed: an instance here would build its validator at each cold start.
    sizes: Sizes = Field(default_factory=Sizes)
    near_expiry: int = 0


class Counts(Model):
    """What happened to the letters, in the report. The repaired are among the redriven."""

    sampled: int = 0
    redriven: int = 0
    repaired: int = 0
    quarantined: int = 0
    skipped: int = 0
    bounced: int = 0
    failed: int = 0
    remaining: int = 0


class Counted(Model):
    """What became of letters, as the lanes count it.

    Attributes
    ----------
    redriven, quarantined, failed : int
        Letters, each counted once.
    repaired, without_contract : int
        Those of the redriven that were mended before, and those that were judged on their envelope alone.
    skipped, quarantine_reasons, failure_codes : dict[str, int]
        Letters by reason code.
    duplicates_possible : int
        Letters that may have reached their destination twice, or may yet, as far as is known.
    calls : dict[str, int]
        Requests by kind.
    seconds : float
        From the first letter sent to where the rate allows the one after the last.
    drained : bool
        The queue was seen empty, several times over.
    stopped : bool
        An operator asked the run to stop.
    failure : str | None
        Why the run cannot go on, told for an operator.
    """

    redriven: int = 0
    repaired: int = 0
    without_contract: int = 0
    quarantined: int = 0
    failed: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)
    quarantine_reasons: dict[str, int] = Field(default_factory=dict)
    failure_codes: dict[str, int] = Field(default_factory=dict)
    duplicates_possible: int = 0
    calls: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    drained: bool = False
    stopped: bool = False
    failure: str | None = None


class SliceResult(Counted):
    """What one lane did in one slice."""


class LaneWork(Model):
    """What a lane has to do in its next slice."""

    lane: int
    round: int
    rate: float
    quota: int | None


class Next(StrEnum):
    """Where the workflow goes after a tally."""

    MOVE = "move"
    WAIT = "wait"
    CONTINUE = "continue"
    SETTLE = "settle"


class Tally(Counted):
    """The run so far, added up from what the lanes did themselves."""

    rounds: int = 0
    waits: int = 0
    history_events: int = 0
    next: Next = Next.MOVE
    wait_seconds: int = 0
    lanes: tuple[LaneWork, ...] = ()

    @property
    def moved(self) -> int:
        """Letters taken out of the dead-letter queue."""
        return self.redriven + self.quarantined

    @property
    def left(self) -> int:
        """Letters that the run has seen and left in the dead-letter queue."""
        return sum(self.skipped.values()) + self.failed


class RateReport(Model):
    """The rate that was asked for, the one that was allowed at most and the one that came about.

    All are messages per second.
    """

    asked: float | None
    ceiling: float | None = None
    measured: float | None


class Report(Model):
    """The output of an execution and the body of its SNS message."""

    run_id: str
    status: Status
    reason: str | None = None
    dlq: str | None
    destination: str | None
    started_at: datetime
    finished_at: datetime
    counts: Counts
    without_contract: int = 0
    quarantine_reasons: dict[str, int]
    skip_reasons: dict[str, int]
    failure_codes: dict[str, int]
    duplicates_possible: int
    rate: RateReport
    sample: Sample | None = None


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return two counts by code added up."""
    return dict(Counter(one) + Counter(other))
