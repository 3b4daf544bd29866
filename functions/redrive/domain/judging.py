"""Decides what becomes of one letter: is the run about it, where does it belong, does its contract hold.

Called by the lane for each letter received and by the sample for each letter shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.contract import ContractViolationError, MessageContract
from contracts.time_limit import TookTooLongError
from redrive.domain.destinations import Allowed, Destination, queue
from redrive.domain.envelopes import Envelope, Unwrapped, mended, raw_delivery, unwrap
from redrive.domain.history import History, history_of
from redrive.domain.letters import Letter
from redrive.domain.repair import Mender
from redrive.domain.runs import OnInvalid, QueueRef, RunPlan
from redrive.domain.selection import Selector
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip, Verdict

type FindContract = Callable[[str], MessageContract | Reason | None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and what it was founded on as far as the judge had to look.

    Attributes
    ----------
    unwrapped : Unwrapped
        The letter without its envelopes, before any repair.
    contract : MessageContract | None
        The contract it was judged with.
    repaired : Unwrapped | None
        What the repair made of it.
    """

    verdict: Verdict
    unwrapped: Unwrapped
    contract: MessageContract | None = None
    repaired: Unwrapped | None = None


class Judge:
    """Judges the letters of one run.

    Parameters
    ----------
    plan : RunPlan
        The run.
    find_contract : Callable[[str], MessageContract | Reason | None]
        The contract for the name of a queue or function; None where it has none, so that a letter is judged
        on its envelope alone; a reason where it has one that cannot be used.
    find_queue : Callable[[str], QueueRef | None]
        Looks a queue up by ARN, for letters whose source is none of the run's known queues; None where there
        is none.
    allowed : Allowed
        What may be delivered to beside queues.
    clock : Callable[[], float]
        A monotonic clock in seconds, for queries that take too long.
    """

    def __init__(
        self,
        plan: RunPlan,
        find_contract: FindContract,
        find_queue: Callable[[str], QueueRef | None],
        allowed: Allowed,
        clock: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.find_contract = find_contract
        self.find_queue = find_queue
        self.allowed = allowed
        self._selects = None if plan.select is None else Selector(plan.select, plan.started_at, clock)
        self._mend = None if plan.repair is None else Mender(plan.repair, clock)

    def __call__(self, letter: Letter) -> Verdict:
        """Return the verdict on one letter."""
        return self.judge(letter).verdict

    def judge(self, letter: Letter) -> Judgement:
        """Return the verdict on one letter, with what it was founded on."""
        history = history_of(letter)
        unwrapped = unwrap(letter)
        try:
            early = self._not_this_one(letter, history, unwrapped)
            return early or self._judged(history, unwrapped)
        except TookTooLongError:
            return Judgement(Skip(Reason.UNDECIDED), unwrapped)

    def _not_this_one(self, letter: Letter, history: History, unwrapped: Unwrapped) -> Judgement | None:
        """Return why the run is not about this letter, or cannot be."""
        verdict: Verdict | None = None
        if history.run == self.plan.run_id:
            verdict = Skip(Reason.CAME_BACK)
        elif letter.sent_at >= self.plan.started_at:
            # What a function fails at again cannot carry our attribute: it is known by time.
            again = unwrapped.envelopes[0] is Envelope.LAMBDA_DESTINATION
            verdict = Skip(Reason.CAME_BACK if again else Reason.ARRIVED_AFTER_START)
        elif self._selects is not None and not self._selects(letter, unwrapped, history.source):
            verdict = Skip(Reason.NOT_SELECTED)
        elif unwrapped.obstacle is not None:
            verdict = self._invalid(history, unwrapped.obstacle, ())
        return None if verdict is None else Judgement(verdict, unwrapped)

    def _judged(self, history: History, unwrapped: Unwrapped) -> Judgement:
        destination = self._destination(history, unwrapped)
        if not isinstance(destination, Destination):
            return Judgement(Skip(destination), unwrapped)
        contract = self.find_contract(destination.name)
        if isinstance(contract, Reason):
            return Judgement(Skip(contract), unwrapped)
        goes = raw_delivery(unwrapped) if contract and contract.sns_delivery == "raw" else unwrapped
        repaired = self._repaired(goes)
        goes = repaired or goes
        verdict = self._flaw(history, goes, contract) or Redrive(
            destination,
            goes.letter,
            history.next(self.plan.run_id, redriven=True, repaired=repaired is not None),
            None if contract is None else contract.name,
            repaired is not None,
        )
        return Judgement(verdict, unwrapped, contract, repaired)

    def _repaired(self, goes: Unwrapped) -> Unwrapped | None:
        letter = None if self._mend is None else self._mend(goes.letter, goes.payload)
        return None if letter is None else mended(goes, letter)

    def _flaw(
        self, history: History, unwrapped: Unwrapped, contract: MessageContract | None
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
