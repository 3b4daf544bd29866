"""Decides where a message may go: what a message says about that proves nothing.

Called by the judge. In this order: what the run names; the queue that SQS says the message came from; the queue that
the mover or the runs table kept for it; the dead-letter queue's only source. Only in a queue that no redrive policy
names does a message's own claim count, and only if AWS's configuration or the run's input confirms it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from typing import NamedTuple

from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.destinations import DeliveryPolicy, Destination, Kind, queue, unqualified
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.opened import OpenedMessage
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.run_plan import RunPlan

# After this many different claims that AWS's configuration refutes, a lane or sample stops asking.
_MAX_FALSE_CLAIMS = 100


class Claim(NamedTuple):
    """What an envelope says: that something sends its failures to a queue, and where they were meant to go."""

    envelope: Envelope
    #: ARN of the function, rule, schedule, or topic whose message it was.
    origin: str
    #: ARN of what the message was meant for: the function itself, the target of the rule or schedule, or the
    #: subscription of the topic, which has an endpoint.
    destination: str
    #: ARN of the queue that the configuration must name for failures.
    queue: str


# Returns the ARN of what the message was meant for, or why it stays.
type Confirm = Callable[[Claim], str | Reason]


class Authority:
    """Where the messages of one run may go.

    Parameters
    ----------
    plan : RunPlan
        The run.
    find_queue : Callable[[str], QueueRef | Reason | None]
        Finds a queue by ARN, for messages that belong to none of the run's sources; None if there is no such queue, a
        reason if nothing may be sent to it.
    delivery_policy : DeliveryPolicy
        What besides queues may be delivered to.
    confirm : Confirm
        Asks AWS's configuration about a claim.
    """

    def __init__(
        self,
        plan: RunPlan,
        find_queue: Callable[[str], QueueRef | Reason | None],
        delivery_policy: DeliveryPolicy,
        confirm: Confirm,
    ) -> None:
        self._dlq = plan.dlq.arn
        self._in_quarantine = plan.in_quarantine
        self._named = None if plan.destination is None else queue(plan.destination)
        self._sources = {source.arn: queue(source) for source in plan.sources}
        self._trusted = frozenset(unqualified(arn) for arn in plan.request.trusted_destinations)
        self._find_queue = find_queue
        self._delivery_policy = delivery_policy
        self._confirm = confirm
        self._answers: dict[Claim, str | Reason] = {}
        self._false_claims = 0

    @property
    def fifo_queue(self) -> str | None:
        """ARN of the FIFO queue that all messages go to; None if that isn't so."""
        named = self._named
        return named.arn if named is not None and named.kind is Kind.FIFO_QUEUE else None

    def has_confirmed(self, origin: str) -> bool:
        """Return whether AWS's configuration has confirmed that failures of an ARN come here."""
        return any(claim.origin == origin and not isinstance(answer, Reason) for claim, answer in self._answers.items())

    def destination_of(self, opened: OpenedMessage) -> Destination | Reason:
        """Return where a message goes, or why it stays."""
        if self._named is not None:
            return self._named
        source, claimed = opened.provenance.source, opened.claimed_destination
        if source is not None:
            return self._queue(source)
        if self._sources:
            only = next(iter(self._sources.values())) if len(self._sources) == 1 else None
            if only is None:
                return Reason.NO_DESTINATION
            # Meant for something else, so it isn't the source queue's either.
            return only if claimed in {None, only.arn} else Reason.DESTINATION_NOT_ALLOWED
        if claimed is not None:
            return self._claimed(opened, unqualified(claimed))
        return Reason.NO_DESTINATION if opened.subscription is None else self._subscribed(opened, opened.subscription)

    def _claimed(self, opened: OpenedMessage, claimed: str) -> Destination | Reason:
        if claimed in self._trusted:
            return self._receiver(claimed)
        # Nobody is asked about what can't be delivered to, and no queue is looked up before the claim is confirmed.
        if not _is_queue(claimed) and isinstance(found := self._receiver(claimed), Reason):
            return found
        answer = self._confirmed(opened, opened.envelope, claimed)
        return answer if isinstance(answer, Reason) else self._receiver(answer)

    def _subscribed(self, opened: OpenedMessage, subscription: str) -> Destination | Reason:
        answer = self._confirmed(opened, Envelope.SNS_NOTIFICATION, subscription)
        return answer if isinstance(answer, Reason) else self._receiver(answer)

    def _confirmed(self, opened: OpenedMessage, envelope: Envelope, claimed: str) -> str | Reason:
        in_queue = opened.provenance.dlq if self._in_quarantine else self._dlq
        if in_queue is None or opened.origin is None:
            return Reason.DESTINATION_NOT_CONFIRMED
        claim = Claim(envelope, opened.origin, claimed, in_queue)
        if claim not in self._answers:
            if self._false_claims >= _MAX_FALSE_CLAIMS:
                return Reason.TOO_MANY_CLAIMS
            answer = self._answers[claim] = self._confirm(claim)
            self._false_claims += isinstance(answer, Reason)
        return self._answers[claim]

    def _receiver(self, arn: str) -> Destination | Reason:
        if _is_queue(arn):
            return self._queue(arn)
        return self._delivery_policy.destination(arn, self._dlq) or Reason.DESTINATION_NOT_ALLOWED

    def _queue(self, arn: str) -> Destination | Reason:
        if arn in self._sources:
            return self._sources[arn]
        if arn == self._dlq:
            return Reason.NO_DESTINATION
        found = self._find_queue(arn)
        if isinstance(found, QueueRef):
            return replace(queue(found), met=True)
        return found or Reason.NO_DESTINATION


def _is_queue(arn: str) -> bool:
    return arn.startswith("arn:") and arn.split(":", 3)[2:3] == ["sqs"]
