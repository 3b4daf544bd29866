"""Decides what becomes of one letter: where it belongs, whether its contract holds, if it was here before.

Called by the lane for each letter received and by the sample for each letter shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.contract import Contract, ContractViolationError
from redrive.domain.history import History, history_of
from redrive.domain.letters import Letter
from redrive.domain.runs import OnInvalid, QueueRef, RunPlan
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip, Verdict


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the letters of one run.

    Attributes
    ----------
    plan : RunPlan
        The run.
    contracts : Mapping[str, Contract]
        Contract by queue name. The letters of a queue without one are not judged on their content.
    find_queue : Callable[[str], QueueRef | None]
        Looks a queue up by ARN, for letters whose source is none of the run's known queues; None where there
        is none.
    """

    plan: RunPlan
    contracts: Mapping[str, Contract[Any, Any]]
    find_queue: Callable[[str], QueueRef | None]

    def __call__(self, letter: Letter) -> Verdict:
        """Return the verdict on one letter."""
        history = history_of(letter)
        if history.run == self.plan.run_id:
            return Skip(Reason.CAME_BACK)
        if letter.sent_at >= self.plan.started_at:
            return Skip(Reason.ARRIVED_AFTER_START)
        destination = self._destination(history)
        if destination is None:
            return Skip(Reason.NO_DESTINATION)
        if history.count >= self.plan.max_redrives:
            told = f"redriven {history.count} times, at most {self.plan.max_redrives} are allowed"
            return self._invalid(history, Reason.REDRIVEN_TOO_OFTEN, (told,))
        contract = self.contracts.get(destination.name)
        if contract is not None:
            try:
                contract.parse(letter.body, letter.attributes)
            except ContractViolationError as error:
                problems = tuple(f"{problem.where}: {problem.what}" for problem in error.problems)
                return self._invalid(history, error.violation, problems)
        return Redrive(destination.url, destination.fifo, history.next(self.plan.run_id, redriven=True))

    def _destination(self, history: History) -> QueueRef | None:
        plan = self.plan
        if plan.destination is not None:
            return plan.destination
        if history.source is None:
            return plan.sources[0] if len(plan.sources) == 1 else None
        for source in plan.sources:
            if source.arn == history.source:
                return source
        return self.find_queue(history.source)

    def _invalid(self, history: History, reason: str, problems: tuple[str, ...]) -> Verdict:
        if self.plan.on_invalid is OnInvalid.LEAVE:
            return Skip(reason)
        return Quarantine(reason, problems, history.next(self.plan.run_id, redriven=False))
