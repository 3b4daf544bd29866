"""Decides what becomes of one letter: where it belongs, whether its contract holds, if it was here before.

Called by the lane for each letter received and by the sample for each letter shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.contract import Contract, ContractViolationError
from redrive.domain.destinations import Allowed, Destination, queue
from redrive.domain.envelopes import Envelope, Unwrapped, unwrap
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
        Contract by name of queue or function. Without one a letter is judged on its envelope alone.
    find_queue : Callable[[str], QueueRef | None]
        Looks a queue up by ARN, for letters whose source is none of the run's known queues; None where there
        is none.
    allowed : Allowed
        What may be delivered to beside queues.
    """

    plan: RunPlan
    contracts: Mapping[str, Contract[Any, Any]]
    find_queue: Callable[[str], QueueRef | None]
    allowed: Allowed

    def __call__(self, letter: Letter) -> Verdict:
        """Return the verdict on one letter."""
        history = history_of(letter)
        if history.run == self.plan.run_id:
            return Skip(Reason.CAME_BACK)
        unwrapped = unwrap(letter)
        if letter.sent_at >= self.plan.started_at:
            # What a function fails at again cannot carry our attribute: it is known by time.
            again = unwrapped.envelopes[0] is Envelope.LAMBDA_DESTINATION
            return Skip(Reason.CAME_BACK if again else Reason.ARRIVED_AFTER_START)
        if unwrapped.obstacle is not None:
            return self._invalid(history, unwrapped.obstacle, ())
        destination = self._destination(history, unwrapped)
        if not isinstance(destination, Destination):
            return Skip(destination)
        contract = self.contracts.get(destination.name)
        return self._flaw(history, unwrapped, contract) or Redrive(
            destination,
            unwrapped.letter,
            history.next(self.plan.run_id, redriven=True),
            None if contract is None else contract.name,
        )

    def _flaw(
        self, history: History, unwrapped: Unwrapped, contract: Contract[Any, Any] | None
    ) -> Verdict | None:
        if history.count >= self.plan.max_redrives:
            told = f"redriven {history.count} times, at most {self.plan.max_redrives} are allowed"
            return self._invalid(history, Reason.REDRIVEN_TOO_OFTEN, (told,))
        if contract is None:
            return None
        try:
            contract.parse(unwrapped.payload, unwrapped.payload_attributes)
        except ContractViolationError as error:
            problems = tuple(f"{problem.where}: {problem.what}" for problem in error.problems)
            return self._invalid(history, error.violation, problems)
        return None

    def _destination(self, history: History, unwrapped: Unwrapped) -> Destination | Reason:
        """Return where the letter belongs: what the run names, where it came from, what it was meant for."""
        plan = self.plan
        if plan.destination is not None:
            return queue(plan.destination)
        if history.source is not None:
            return self._queue(history.source)
        meant_for = unwrapped.destination
        if meant_for is not None:
            if meant_for.startswith("arn:") and meant_for.split(":")[2] == "sqs":
                return self._queue(meant_for)
            return self.allowed.destination(meant_for, plan.dlq.arn) or Reason.DESTINATION_NOT_ALLOWED
        return queue(plan.sources[0]) if len(plan.sources) == 1 else Reason.NO_DESTINATION

    def _queue(self, arn: str) -> Destination | Reason:
        for source in self.plan.sources:
            if source.arn == arn:
                return queue(source)
        found = self.find_queue(arn)
        return Reason.NO_DESTINATION if found is None else queue(found)

    def _invalid(self, history: History, reason: str, problems: tuple[str, ...]) -> Verdict:
        if self.plan.on_invalid is OnInvalid.LEAVE:
            return Skip(reason)
        return Quarantine(reason, problems, history.next(self.plan.run_id, redriven=False))
