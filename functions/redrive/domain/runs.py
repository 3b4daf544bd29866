"""A run: what an operator asks for, the plan that is made of it, and what its tallies and report say.

These models are the workflow's interface: they are parsed and written by the handlers, and docs/execution.md
and docs/execution-input.schema.json follow from them. JSON keys are in camelCase.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of what crosses the workflow: camelCase outside, unknown keys refused, no values in errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        # Each function uses a few of these models: building all of them would take a good part of its cold
        # start.
        defer_build=True,
    )


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
        int, Field(strict=True, ge=1, le=100, description="Letters to look at before anything moves.")
    ] = 10
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
    max_messages: int | None
    sample_size: int
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


class SampleGroup(Model):
    """Sampled letters that are alike.

    Attributes
    ----------
    envelope : str
        What a service wrapped around them (docs/envelopes.md).
    error_type : str | None
        Name of the error they failed with, where the envelope tells.
    contract : str | None
        The contract that they satisfy; None for letters that were judged on their envelope alone.
    """

    verdict: Literal["redrivable", "quarantined", "skipped"]
    reason: str | None
    destination: str | None
    envelope: str
    error_type: str | None
    contract: str | None
    letters: int


class Sample(Model):
    """What a look at some letters showed. It tells shapes and counts, never content."""

    sampled: int = 0
    groups: tuple[SampleGroup, ...] = ()
    oldest_sent_at: datetime | None = None
    newest_sent_at: datetime | None = None
    largest_bytes: int = 0
    near_expiry: int = 0


class Counts(Model):
    """What happened to the letters, in the report."""

    sampled: int = 0
    redriven: int = 0
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
    """The rate that was asked for and the one that came about, in messages per second."""

    asked: float | None
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
    quarantine_reasons: dict[str, int]
    skip_reasons: dict[str, int]
    failure_codes: dict[str, int]
    duplicates_possible: int
    rate: RateReport
    sample: Sample | None = None


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return two counts by code added up."""
    return dict(Counter(one) + Counter(other))
