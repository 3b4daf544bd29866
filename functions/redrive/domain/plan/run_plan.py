"""The plan of a run, made before anything moves and carried through the workflow.

Made by `redrive.domain.plan.planning`; read by every later step.
"""

from __future__ import annotations

from datetime import UTC, datetime

from redrive.domain.messages.queues import QueueRef
from redrive.domain.model import Model
from redrive.domain.names import DisplayName, display_name
from redrive.domain.plan.rates import MaxRate
from redrive.domain.plan.request import OnInvalid, RedriveRequest


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


class RunPlan(Model):
    """What a run does."""

    run_id: DisplayName
    execution_arn: str
    #: Milliseconds since 1970. What was sent to the queue at or after it isn't moved by this run.
    started_at: int
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

    @property
    def started(self) -> datetime:
        """The start as a time in UTC."""
        return datetime.fromtimestamp(self.started_at / 1000, UTC)
