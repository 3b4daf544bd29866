"""The plan of a run, made before anything moves and carried through the workflow.

Made by `redrive.domain.plan.planning`; read by every later step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from redrive.domain.errors import FormatError
from redrive.domain.messages.queues import QueueAddress, QueueRef
from redrive.domain.model import DisplayName, Model
from redrive.domain.names import display_name
from redrive.domain.plan.rates import MaxRate
from redrive.domain.plan.request import OnInvalid, RedriveRequest

#: The format of what a run passes from step to step and records for itself: plan, sample, tally, results of slices.
#: Another one means that a version changed any of them; a test says so. 1 is what has no format: versions up to 0.2.
FORMAT = 2
_FIRST_FORMAT = 1


class Execution(Model):
    """The Step Functions execution that a run is."""

    id: str
    name: str
    started_at: datetime

    @property
    def run_id(self) -> str:
        """The id of the run that begins with it: its name, or a hash of it if it isn't a plain name."""
        return display_name(self.name)


class NextQueue(Model):
    """The queue that a dead-letter queue's own redrive policy moves messages on to."""

    name: DisplayName
    #: None if there is no such queue, or this deployment may not access it.
    queue: QueueRef | None
    #: Messages in it when the run began, approximately; None if they can't be counted.
    messages: int | None


class RunIdentity(Model):
    """Which run it is: what the plan of every version says, so that any version can clean up after it and report it."""

    model_config = ConfigDict(extra="ignore")

    format: int = _FIRST_FORMAT
    run_id: DisplayName
    execution_arn: str
    #: Milliseconds since 1970. What was sent to the queue at or after it isn't moved by this run.
    started_at: int
    dlq: QueueAddress

    @property
    def started(self) -> datetime:
        """The start as a time in UTC."""
        return datetime.fromtimestamp(self.started_at / 1000, UTC)


class RunPlan(RunIdentity):
    """What a run does. Only the plans of this version's format can be read."""

    model_config = ConfigDict(extra="forbid")

    #: What the operator requested.
    request: RedriveRequest
    dlq: QueueRef
    #: The queues whose redrive policy names the dead-letter queue.
    sources: tuple[QueueRef, ...]
    #: The queue that all messages go to, if the request names one.
    destination: QueueRef | None
    quarantine: QueueRef
    #: Messages per second that the run keeps to: what was requested, as far as its receiving queues allow.
    rate: float
    #: The receiving queues that declare a max rate, with the run's shares. Others may be met in mid-run.
    max_rates: tuple[MaxRate, ...] = ()
    #: Seconds that the dead-letter queue keeps a message.
    retention: int
    #: Messages in the queue when the run began, approximately.
    waiting: int
    #: Seconds that the dead-letter queue delays a message that doesn't say otherwise.
    delay: int = 0
    #: Where the dead-letter queue's own redrive policy moves messages that are received too often, if it has one.
    next_queue: NextQueue | None = None

    @property
    def receivers(self) -> tuple[QueueRef, ...]:
        """The queues that messages are known to go to."""
        return self.sources if self.destination is None else (self.destination,)

    @property
    def max_rate(self) -> float | None:
        """The smallest rate that a known receiving queue declares; None if none does."""
        return min((limit.max_rate for limit in self.max_rates), default=None)

    @property
    def in_quarantine(self) -> bool:
        """Whether the run redrives the quarantine."""
        return self.dlq.arn == self.quarantine.arn

    @property
    def on_invalid(self) -> OnInvalid:
        """What happens to invalid messages: those in quarantine already stay there."""
        return OnInvalid.LEAVE if self.in_quarantine else self.request.on_invalid

    @model_validator(mode="before")
    @classmethod
    def _check_format(cls, given: Any) -> Any:
        """Let nothing work on a run that a version with another format began."""
        if (found := _format_of(given)) != FORMAT:
            raise FormatError(
                "Another version of this app was deployed while the run was on: expected a run of format "
                f"{FORMAT}, found {found if isinstance(found, int) else 'none'}. The run ends early, and nothing is "
                "lost; start another run to move the rest."
            )
        return given


def _format_of(given: Any) -> Any:
    if isinstance(given, Mapping):
        return given.get("format", _FIRST_FORMAT)
    return getattr(given, "format", None)


def _plan_or_identity(given: Any, _read: ValidatorFunctionWrapHandler) -> RunIdentity:
    try:
        return RunPlan.from_json_object(given)
    except (FormatError, ValidationError):
        return RunIdentity.from_json_object(given)


#: The plan of a run, or which run it is if another version began it.
AnyPlan = Annotated[RunPlan | RunIdentity, WrapValidator(_plan_or_identity)]
