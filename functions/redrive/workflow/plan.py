"""First step: checks what the operator requests, makes the plan, and takes the queue's lock."""

from __future__ import annotations

from typing import Any

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.planning import (
    ExecutionDirectory,
    QueueDirectory,
    RunLocks,
    check_contracts,
    plan_run,
    reserve_shares,
    take_lock,
)
from redrive.domain.plan.rates import RateShares
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.tally import Tally, first_tally
from redrive.workflow.ports import ContractFinder


class Planned(Model):
    """The plan, and the tally with the first round's work."""

    plan: RunPlan
    tally: Tally


def plan(
    given: Any,
    execution: Execution,
    *,
    quarantine_arn: str,
    queues: QueueDirectory,
    locks: RunLocks,
    executions: ExecutionDirectory,
    shares: RateShares,
    find_contract: ContractFinder,
) -> Planned:
    """Return the plan of a run, which holds the queue's lock from now on.

    Parameters
    ----------
    given : Any
        The input as it came.
    execution : Execution
        The execution that the run is.
    quarantine_arn : str
        The queue where messages go that must not be redriven.
    queues, locks, executions, shares, find_contract
        Ports.

    Raises
    ------
    RejectedError
        If the request can't be carried out.
    """
    planned = plan_run(parse_request(given), execution, queues, quarantine_arn)
    check_contracts(planned, find_contract)
    take_lock(planned, locks, executions)
    if not planned.request.dry_run:
        try:
            planned = reserve_shares(planned, shares)
        except RejectedError:
            shares.release(planned.run_id)
            locks.unlock(planned)
            raise
    return Planned(plan=planned, tally=first_tally(planned))
