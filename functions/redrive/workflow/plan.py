"""First step: checks what the operator requests, makes the plan, and takes the queue's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redrive.domain.errors import RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.model import Model
from redrive.domain.plan.directories import ExecutionInputs
from redrive.domain.plan.lease import check_lease
from redrive.domain.plan.planning import check_contracts, check_trusted, plan_run, reserve_shares, take_lock
from redrive.domain.plan.rates import RateShares
from redrive.domain.plan.request import check_reason, parse_request
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.rules.input_numbers import check_as_written, has_numbers
from redrive.domain.runs.tally import Tally, first_tally
from redrive.workflow.clean_up import release_held
from redrive.workflow.ports import LEASE_SECONDS, CheckpointStore, ContractFinder, Queues, RunStore


class Planned(Model):
    """The plan, and the tally with the first round's work."""

    plan: RunPlan
    tally: Tally


def plan(
    given: Any,
    execution: Execution,
    *,
    quarantine_arn: str | None,
    queues: Queues,
    store: RunStore,
    checkpoints: CheckpointStore,
    executions: ExecutionInputs,
    shares: RateShares,
    find_contract: ContractFinder,
    delivery_policy: DeliveryPolicy,
    require_reason: bool = False,
    pause: Callable[[float], None],
    checks_lease: bool = True,
) -> Planned:
    """Return the plan of a run, which holds the queue's lock from now on.

    Parameters
    ----------
    given : Any
        The input as it came.
    execution : Execution
        The execution that the run is.
    quarantine_arn : str | None
        The queue where messages go that must not be redriven; None if they are left where they are.
    queues, store, checkpoints, executions, shares, find_contract
        Ports.
    delivery_policy : DeliveryPolicy
        What besides queues may be delivered to.
    require_reason : bool
        Whether a run that moves messages must say why.
    pause : Callable[[float], None]
        Waits for so many seconds.
    checks_lease : bool
        Whether a run without a stack may be moving the messages; it is if the lock itself looks at the lease.

    Raises
    ------
    RejectedError
        If the request can't be carried out.
    NotReleasedError
        If messages of a dead run are still invisible, and trying again may help.
    """
    request = parse_request(given)
    if require_reason:
        check_reason(request)
    if has_numbers(given.get("repair")):
        check_as_written(executions.input_of(execution.id))
    planned = plan_run(request, execution, queues, quarantine_arn)
    check_trusted(planned, queues, delivery_policy)
    check_contracts(planned, find_contract)
    if checks_lease:
        check_lease(planned.dlq, queues.tags(planned.dlq), execution.started_at)
    take_lock(planned, store, executions)
    ended = store.taken_over_from(planned)
    if ended:
        # Lanes of a run that was aborted may still be running. Now they stop, and hide nothing more.
        pause(LEASE_SECONDS)
        release_held(planned, queues, checkpoints, ended)
    if not planned.request.dry_run:
        try:
            planned = reserve_shares(planned, shares)
        except RejectedError:
            shares.release(planned.run_id)
            store.unlock(planned)
            raise
    return Planned(plan=planned, tally=first_tally(planned))
