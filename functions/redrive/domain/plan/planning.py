"""Makes the plan of a run, or refuses it with a reason, before anything moves.

Called by the plan step with the queues and the lock as arguments.
"""

from __future__ import annotations

from collections.abc import Callable

from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.destinations import DeliveryPolicy, unqualified
from redrive.domain.messages.queues import QueueRef
from redrive.domain.names import display_name
from redrive.domain.plan.directories import ExecutionDirectory, QueueDirectory, RunLocks, find_queue
from redrive.domain.plan.rates import MaxRate, RateShares, declared_max_rate
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import FORMAT, Execution, NextQueue, RunPlan

# Source queues that a text names.
_MAX_NAMES = 5
# Bytes of a plan and its request. If a step is passed more than 262,144 bytes (Step Functions developer guide,
# "Quotas"), the execution ends without a report. The report step also gets the sample, the tally, and an error of up to
# 32,768 characters.
MAX_PLAN_BYTES = 131_072


# Of a dry run without a deployment, which has no quarantine and sends nothing.
_NO_QUARANTINE = QueueRef(name="none", arn="", url="", fifo=False, max_bytes=1_048_576)


def plan_run(
    request: RedriveRequest, execution: Execution, queues: QueueDirectory, quarantine_arn: str | None
) -> RunPlan:
    """Return the plan of a run.

    Parameters
    ----------
    request : RedriveRequest
        What the operator requests.
    execution : Execution
        The execution that the run is; its start separates old messages from new ones.
    queues : QueueDirectory
        The account's queues.
    quarantine_arn : str | None
        The queue where messages go that must not be redriven; None for a dry run without a deployment.

    Raises
    ------
    RejectedError
        If the request can't be carried out as it is.
    """
    dlq = find_queue(queues, request.dlq, "dlq")
    sources = queues.sources(dlq)
    quarantine = _NO_QUARANTINE if quarantine_arn is None else find_queue(queues, quarantine_arn, "quarantine")
    destination = None if request.destination is None else find_queue(queues, request.destination, "destination")
    if destination is not None:
        _check_destination(dlq, destination, quarantine)
    facts = queues.facts(dlq)
    if facts.has_redrive_policy and not request.allow_nested_dlq:
        raise RejectedError(_has_dead_letter_queue(dlq, arn_name(facts.dead_letter_queue) or "another queue", sources))
    plan = RunPlan(
        format=FORMAT,
        run_id=execution.run_id,
        execution_arn=execution.id,
        started_at=int(execution.started_at.timestamp() * 1000),
        request=request,
        dlq=dlq,
        sources=sources,
        destination=destination,
        quarantine=quarantine,
        rate=request.rate,
        retention=facts.retention,
        waiting=facts.messages,
        delay=facts.delay,
        next_queue=_next_queue(queues, facts.dead_letter_queue),
    )
    declared = ((receiver, declared_max_rate(receiver, queues.tags(receiver))) for receiver in plan.receivers)
    limited = _within(
        plan,
        [
            MaxRate(queue=receiver, max_rate=max_rate, share=min(request.rate, max_rate))
            for receiver, max_rate in declared
            if max_rate is not None
        ],
    )
    _check_size(limited)
    return limited


def check_contracts(plan: RunPlan, find_contract: Callable[[str], MessageContract | None]) -> None:
    """Load the contracts of the queues that messages will go to, as far as they are known yet.

    Raises
    ------
    RejectedError
        If one can't be read or isn't a JSON Schema.
    """
    for queue in plan.receivers:
        find_contract(queue.name)


def check_trusted(plan: RunPlan, queues: QueueDirectory, delivery_policy: DeliveryPolicy) -> None:
    """Check that the run may deliver to each destination that its input trusts.

    Raises
    ------
    RejectedError
        Names the first that it may not deliver to.
    """
    for arn in plan.request.trusted_destinations:
        if arn.split(":")[2] == "sqs":
            find_queue(queues, arn, "trustedDestinations")
        elif delivery_policy.destination(unqualified(arn), plan.dlq.arn) is None:
            raise RejectedError(
                f"trustedDestinations: this deployment may not deliver to {arn}. Deploy it with that ARN in "
                "DestinationFunctionArns or DestinationStateMachineArns, or take it out of the input."
            )


def take_lock(plan: RunPlan, locks: RunLocks, executions: ExecutionDirectory) -> None:
    """Make `plan` the only run on its queue.

    A lock whose execution ended without releasing it is taken over, so a dead run can't hold it forever.

    Raises
    ------
    RejectedError
        Names the run in progress.
    """
    holder = locks.lock(plan)
    if holder is not None and not executions.is_running(holder):
        holder = locks.lock(plan, instead_of=holder)
    if holder is not None:
        raise RejectedError(
            f"Another run is moving the messages of {plan.dlq.name}: {display_name(holder)}. Wait until it ends, or "
            "stop it first."
        )


def reserve_shares(plan: RunPlan, shares: RateShares) -> RunPlan:
    """Return the plan with what the run may send to each receiving queue that declares a max rate.

    Other runs may deliver to the same queues: from now on, they leave these shares to this run.

    Raises
    ------
    RejectedError
        If nothing is left of a queue's max rate; names the runs that have it.
    """
    return _within(
        plan,
        [
            shares.reserve(plan.run_id, plan.execution_arn, limit.queue, limit.share, limit.max_rate)
            for limit in plan.max_rates
        ],
    )


def _within(plan: RunPlan, limits: list[MaxRate]) -> RunPlan:
    """Return the plan with shares; if every receiver has one, the run needs no more than their sum."""
    rate = plan.request.rate
    if plan.receivers and len(limits) == len(plan.receivers):
        rate = min(rate, sum(limit.share for limit in limits))
    return plan.model_copy(update={"max_rates": tuple(limits), "rate": rate})


def _has_dead_letter_queue(queue: QueueRef, next_queue: str, sources: tuple[QueueRef, ...]) -> str:
    """Return why a queue that has a redrive policy isn't read, and which queue to name instead."""
    if not sources:
        # Most likely a mix-up: nothing but the consumer of a source queue should receive from it.
        return (
            f"{queue.name} is a source queue; its dead-letter queue is {next_queue}. Start the run with "
            f'{{"dlq": "{next_queue}"}}.'
        )
    names = ", ".join(source.name for source in sources[:_MAX_NAMES]) + (", ..." if len(sources) > _MAX_NAMES else "")
    return (
        f"{queue.name} is the dead-letter queue of {names}, and a source queue itself, whose dead-letter queue is "
        f"{next_queue}: reading its messages raises their receive count and can push them on to {next_queue}. Start "
        f'the run with {{"dlq": "{next_queue}"}} if you meant that queue. Otherwise remove the redrive policy of '
        f"{queue.name} while the run is on, or accept that with allowNestedDlq: true."
    )


def _next_queue(queues: QueueDirectory, arn: str | None) -> NextQueue | None:
    """Return the queue that messages may be pushed on to, with its count; the run goes on if it can't be read."""
    if arn is None:
        return None
    try:
        found = queues.find(arn)
        messages = None if found is None else queues.facts(found).messages
    except RejectedError:
        found = messages = None
    return NextQueue(name=arn_name(arn) or arn, queue=found, messages=messages)


def _check_size(plan: RunPlan) -> None:
    size = sum(len(part.model_dump_json().encode()) for part in (plan, plan.request))
    if size > MAX_PLAN_BYTES:
        raise RejectedError(
            f"The plan of this run takes {size:,} bytes, and at most {MAX_PLAN_BYTES:,} can be passed on from step to "
            f"step. It has the select and the repair of the input, and the {len(plan.sources)} queues whose "
            f"dead-letter queue is {plan.dlq.name}. Shorten select and repair, or give some of these queues another "
            "dead-letter queue."
        )


def _check_destination(dlq: QueueRef, destination: QueueRef, quarantine: QueueRef) -> None:
    if destination.arn == quarantine.arn:
        raise RejectedError(
            f"{destination.name} is the quarantine, where messages go that must not be redriven. Name another "
            "destination."
        )
    if destination.arn == dlq.arn:
        raise RejectedError(f"{dlq.name} can't be its own destination. Name another queue, or none.")
    if dlq.fifo != destination.fifo:
        kinds = {True: "a FIFO queue", False: "a standard queue"}
        raise RejectedError(
            f"{dlq.name} is {kinds[dlq.fifo]}, but the destination {destination.name} is "
            f"{kinds[destination.fifo]}: order and deduplication don't carry over. Name a destination of the same "
            "kind."
        )
