"""Makes the plan of a run, or refuses it with a reason, before anything moves.

Called by the plan handler with the queues and the lock as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.repair import AttributeRule, Repair
from redrive.domain.runs import Execution, Model, OnInvalid, QueueRef, Rate, RedriveRequest, RunPlan
from redrive.domain.selection import Selection

# The tag of a queue by which its owners say how many messages per second a redrive may send to it at most.
MAX_RATE_TAG = "redrive:max-rate"


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """Attributes of a queue. Counts are approximate; retention is in seconds."""

    waiting: int
    in_flight: int
    delayed: int
    retention: int
    has_redrive_policy: bool

    @property
    def letters(self) -> int:
        """All messages in the queue, approximately."""
        return self.waiting + self.in_flight + self.delayed


class QueueDirectory(Protocol):
    """What planning needs to know about queues."""

    def find(self, given: str) -> QueueRef | None:
        """Return the queue of that name, ARN or URL."""

    def facts(self, queue: QueueRef) -> QueueFacts:
        """Return the queue's attributes."""

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        """Return the queues whose redrive policy names `queue`."""

    def tags(self, queue: QueueRef) -> Mapping[str, str]:
        """Return the queue's tags."""


class RunLocks(Protocol):
    """The locks that keep a queue to one run at a time."""

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        """Take the lock, or return the ARN of the execution that has it."""


class ExecutionDirectory(Protocol):
    """What planning needs to know about other executions."""

    def is_running(self, execution_arn: str) -> bool:
        """Return whether the execution has not ended."""


def parse_request(given: Any) -> RedriveRequest:
    """Return the input of an execution, parsed.

    Raises
    ------
    RejectedError
        Naming each key that is wrong and what was expected of it.
    """
    try:
        return RedriveRequest.model_validate(given)
    except ValidationError as error:
        told = []
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            place = ".".join(map(str, detail["loc"])) or "the input"
            if detail["type"] == "extra_forbidden":
                told.append(f"{place}: there is no such key (known: {_known(detail['loc'])})")
            elif detail["type"] == "model_type":
                told.append('the input: expected a JSON object such as {"dlq": "orders-dlq"}')
            else:
                told.append(f"{place}: {detail['msg'].removeprefix('Value error, ')}")
        raise RejectedError(f"The input cannot be used. {'; '.join(told)}.") from None


def _known(place: tuple[int | str, ...]) -> str:
    """Return the keys that there are beside one that there is not."""
    parts: dict[tuple[int | str, ...], type[Model]] = {("select",): Selection, ("repair",): Repair}
    model = parts.get(place[:-1], AttributeRule if len(place) > 1 else RedriveRequest)
    return ", ".join(field.alias or name for name, field in model.model_fields.items())


def plan_run(
    request: RedriveRequest, execution: Execution, queues: QueueDirectory, quarantine: QueueRef
) -> RunPlan:
    """Return the plan of a run.

    Parameters
    ----------
    request : RedriveRequest
        What the operator asks for.
    execution : Execution
        The execution that the run is; its start divides old letters from new ones.
    queues : QueueDirectory
        The account's queues.
    quarantine : QueueRef
        Where letters go that must not be redriven.

    Raises
    ------
    RejectedError
        Where the request cannot be carried out as it is.
    """
    dlq = _found(queues, request.dlq, "dlq")
    sources = queues.sources(dlq)
    in_quarantine = dlq.arn == quarantine.arn
    destination = None if request.destination is None else _found(queues, request.destination, "destination")
    if destination is not None:
        _check_destination(dlq, destination, quarantine)
    facts = queues.facts(dlq)
    if facts.has_redrive_policy and not request.allow_nested_dlq:
        raise RejectedError(
            f"{dlq.name} has a redrive policy itself: reading its letters raises their receive count and "
            "can push them into the next queue. Remove the policy for the time of the run, or start it "
            "with allowNestedDlq: true."
        )
    ceiling = _ceiling(queues, sources if destination is None else (destination,))
    return RunPlan(
        run_id=execution.name,
        execution_arn=execution.id,
        started_at=int(execution.started_at.timestamp() * 1000),
        dlq=dlq,
        sources=sources,
        destination=destination,
        quarantine_url=quarantine.url,
        dry_run=request.dry_run,
        rate=request.rate if ceiling is None else min(request.rate, ceiling),
        asked_rate=request.rate,
        ceiling=ceiling,
        max_messages=request.max_messages,
        sample_size=request.sample_size,
        census=request.census,
        select=request.select,
        repair=request.repair,
        # What is in quarantine already and still invalid stays there.
        on_invalid=OnInvalid.LEAVE if in_quarantine else request.on_invalid,
        max_redrives=request.max_redrives,
        retention=facts.retention,
        waiting=facts.letters,
    )


def check_contracts(plan: RunPlan, find_contract: Callable[[str], MessageContract | None]) -> None:
    """Find the contracts of the queues that letters will go to, as far as they are known yet.

    Raises
    ------
    RejectedError
        Where one cannot be read or is no JSON Schema.
    """
    for queue in (plan.destination,) if plan.destination else plan.sources:
        find_contract(queue.name)


def take_lock(plan: RunPlan, locks: RunLocks, executions: ExecutionDirectory) -> None:
    """Make `plan` the only run on its queue.

    A lock whose execution has ended without giving it back is taken over: a dead run holds nothing for ever.

    Raises
    ------
    RejectedError
        Naming the run in progress.
    """
    holder = locks.lock(plan)
    if holder is not None and not executions.is_running(holder):
        holder = locks.lock(plan, instead_of=holder)
    if holder is not None:
        raise RejectedError(
            f"Another run is moving the letters of {plan.dlq.name}: {holder}. Wait until it has ended, or "
            "stop it first."
        )


def _found(queues: QueueDirectory, given: str, key: str) -> QueueRef:
    queue = queues.find(given)
    if queue is None:
        raise RejectedError(
            f"{key}: there is no queue {given} in this account and region. Expected the name, ARN or URL "
            "of a queue; look it up with: aws sqs list-queues"
        )
    return queue


def _ceiling(queues: QueueDirectory, receivers: Iterable[QueueRef]) -> float | None:
    """Return the smallest rate that a receiving queue declares: how much each gets is not known yet."""
    declared = ((queue, queues.tags(queue).get(MAX_RATE_TAG)) for queue in receivers)
    return min((_declared_rate(queue, value) for queue, value in declared if value is not None), default=None)


def _declared_rate(queue: QueueRef, value: str) -> float:
    try:
        # As JSON, so that what is refused as the input's rate is refused here too: nan, 1_000, spaces.
        return TypeAdapter[float](Rate).validate_json(value)
    except ValidationError:
        raise RejectedError(
            f"{queue.name}: the tag {MAX_RATE_TAG} cannot be used. Expected messages per second as a number "
            f"from 0.1 to 10000, such as 40 or 2.5; found {value!r}. Correct it with: aws sqs tag-queue "
            f"--queue-url {queue.url} --tags {MAX_RATE_TAG}=40"
        ) from None


def _check_destination(dlq: QueueRef, destination: QueueRef, quarantine: QueueRef) -> None:
    if destination.arn == quarantine.arn:
        raise RejectedError(
            f"{destination.name} is the quarantine, where letters go that must not be redriven. Name "
            "another destination."
        )
    if destination.arn == dlq.arn:
        raise RejectedError(f"{dlq.name} cannot be its own destination. Name another queue, or none.")
    if dlq.fifo != destination.fifo:
        kinds = {True: "a FIFO queue", False: "a standard queue"}
        raise RejectedError(
            f"{dlq.name} is {kinds[dlq.fifo]} but the destination {destination.name} is "
            f"{kinds[destination.fifo]}: order and deduplication do not carry over. Name a destination of "
            "the same kind."
        )
