"""Judges one message: does the run apply to it, where does it belong, does it satisfy its contract.

Called by the lane for each message that it receives and by the sampling for each one that it peeks at.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from typing import NamedTuple

from redrive.contracts.contract import ContractViolationError, MessageContract
from redrive.contracts.work import TooMuchWorkError
from redrive.domain.errors import LogMessageError, RedriveError, RejectedError
from redrive.domain.judging.authority import Authority
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip, Verdict
from redrive.domain.messages.destinations import Destination, Kind, quarantine
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.opened import OpenedMessage
from redrive.domain.messages.opening import open_message, raw_delivery, with_forward
from redrive.domain.messages.outbound import is_sendable, outbound
from redrive.domain.messages.provenance import Belief
from redrive.domain.plan.request import OnInvalid, TraceHeader
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.rules.repair import Repairer
from redrive.domain.rules.selection import Selector

# Lambda developer guide, "Use Lambda recursive loop detection to prevent infinite loops".
_IN_A_LOOP = (
    "Messages have a trace header in which Lambda counts a recursive loop, so Lambda may drop them again: correct the "
    "function that sends them to itself, then start a run with traceHeader fresh."
)

type FindContract = Callable[[str], MessageContract | None]


class Judgment(NamedTuple):
    """A verdict and what it is based on, as far as the judge had to look."""

    verdict: Verdict
    #: The message before any repair; None if it raised an unexpected error.
    opened: OpenedMessage | None
    #: The contract it was judged with.
    contract: MessageContract | None = None
    #: The message after the repair, if there was one.
    repaired: OpenedMessage | None = None


class Judge:
    """Judges the messages of one run.

    Parameters
    ----------
    plan : RunPlan
        The run.
    find_contract : Callable[[str], MessageContract | None]
        The contract for the name of a queue or function; None if it has none, so that a message is judged on its
        envelope alone. RejectedError if it has one that can't be used, which is the fate of its messages; any other
        RedriveError, such as UnavailableError, is the run's.
    authority : Authority
        Where messages may go.
    movers : frozenset[str]
        Unique ids of the roles whose `redrive` attribute is believed.
    log_error : LogMessageError
        Logs that a message raised an unexpected error.
    """

    def __init__(
        self,
        plan: RunPlan,
        find_contract: FindContract,
        authority: Authority,
        movers: frozenset[str],
        log_error: LogMessageError,
    ) -> None:
        request = plan.request
        #: What verdicts leave open, each once and in a sentence for an operator; nothing from a message.
        self.explanations: dict[str, None] = {}
        #: The run's error that kept a message from being judged.
        self.error: RedriveError | None = None
        self._plan = plan
        self._max_redrives = request.max_redrives
        self._keeps_trace = request.trace_header is TraceHeader.KEEP
        self._leaves_invalid = plan.on_invalid is OnInvalid.LEAVE
        self._quarantine = quarantine(plan.quarantine)
        self._find_contract = find_contract
        self._contracts: dict[str, MessageContract | Reason | None] = {}
        self._log_error = log_error
        self._authority = authority
        self._belief = Belief(movers, plan.dlq.arn, quarantine=plan.in_quarantine)
        self._selects = None if request.select is None else Selector(request.select, plan.started_at)
        self._repair = None if request.repair is None else Repairer(request.repair)

    def __call__(self, received: ReceivedMessage) -> Verdict | None:
        """Return the verdict on one message, or None if `error` kept it from being judged.

        A lane has requests under way, so it must come to its end before the error is raised.
        """
        try:
            return self.judge(received).verdict
        except RedriveError as error:
            self.error = error
            return None

    def judge(self, received: ReceivedMessage) -> Judgment:
        """Return the verdict on one message, with what it is based on.

        Whatever the message raises is its own fate, not the run's. Only errors of the run leave: `RedriveError`.
        """
        if received.unreadable is not None:
            return self.failed(received, received.unreadable)
        opened = None
        try:
            opened = open_message(received, self._belief)
            early = self._without_contract(opened)
            return self._with_contract(opened) if early is None else Judgment(early, opened)
        except TooMuchWorkError:
            return Judgment(self._skip(Reason.UNDECIDED, opened or received), opened)
        except RedriveError:
            raise
        except Exception as error:  # noqa: BLE001
            return self.failed(received, type(error).__name__, opened)

    def failed(self, received: ReceivedMessage, error: str, opened: OpenedMessage | None = None) -> Judgment:
        """Log that a message raised an error, given as the name of its class, and return the verdict that leaves it."""
        self._log_error(received.message_id, error)
        return Judgment(self._skip(Reason.UNEXPECTED_ERROR, opened or received), None)

    def _without_contract(self, opened: OpenedMessage) -> Verdict | None:
        """Return the verdict on a message that the run doesn't apply to or that can't be redriven."""
        if opened.provenance.run == self._plan.run_id:
            return self._skip(Reason.CAME_BACK, opened)
        if opened.received.sent_at >= self._plan.started_at:
            # A message that a function failed on again can't carry our attribute: it is recognized by its time.
            again = Envelope.LAMBDA_DESTINATION in opened.envelopes
            return self._skip(Reason.CAME_BACK if again else Reason.ARRIVED_AFTER_START, opened)
        if self._selects is not None and not self._selects(opened):
            return self._skip(Reason.NOT_SELECTED, opened)
        if opened.blocked_reason is not None:
            return self._invalid(opened, opened.blocked_reason)
        return None

    def _with_contract(self, opened: OpenedMessage) -> Judgment:
        destination = self._authority.destination_of(opened)
        if not isinstance(destination, Destination):
            return Judgment(self._skip(destination, opened), opened)
        if destination.kind is Kind.FIFO_QUEUE and opened.forward.group_id is None:
            # SQS API reference, SendMessage, MessageGroupId. Without a group, nothing waits behind it.
            return Judgment(Skip(Reason.NO_MESSAGE_GROUP), opened)
        contract = self._contract_of(destination.name)
        if isinstance(contract, Reason):
            return Judgment(self._skip(contract, opened), opened)
        delivered = raw_delivery(opened) if contract and contract.sns_delivery == "raw" else opened
        if delivered.payload.is_in_s3:
            # The contract describes what is in S3, not the pointer to it.
            contract = None
        elif delivered.unknown_pointer and (contract is not None or self._repair is not None):
            return Judgment(self._skip(Reason.UNKNOWN_POINTER, opened), opened)
        repaired = self._repaired(delivered)
        verdict = self._judged(repaired or delivered, destination, contract, repaired=repaired is not None)
        return Judgment(verdict, opened, contract, repaired)

    def _contract_of(self, name: str) -> MessageContract | Reason | None:
        if name not in self._contracts:
            try:
                self._contracts[name] = self._find_contract(name)
            except RejectedError:
                # For the run's known queues, the plan has refused this; the messages of any other stay.
                self._contracts[name] = Reason.CONTRACT_UNUSABLE
        return self._contracts[name]

    def _repaired(self, opened: OpenedMessage) -> OpenedMessage | None:
        forward = None if self._repair is None else self._repair(opened.forward, opened.payload)
        return None if forward is None else with_forward(opened, forward)

    def _judged(
        self,
        opened: OpenedMessage,
        destination: Destination,
        contract: MessageContract | None,
        *,
        repaired: bool,
    ) -> Verdict:
        count = opened.provenance.redrives
        if count >= self._max_redrives:
            problem = f"redriven {count} times; the limit is {self._max_redrives}"
            return self._invalid(opened, Reason.REDRIVEN_TOO_OFTEN, (problem,))
        if not is_sendable(opened.forward, opened.received):
            return self._skip(Reason.NOT_SENDABLE, opened)
        if contract is not None:
            try:
                contract.parse(opened.payload.text, opened.payload.attributes)
            except ContractViolationError as error:
                problems = tuple(f"{problem.where}: {problem.what}" for problem in error.problems)
                return self._invalid(opened, error.violation, problems)
        to = destination.arn if destination.takes_batches else None
        provenance = opened.provenance.redriven(self._plan.run_id, to, repaired=repaired)
        # Built from the message id and the redrive count, so that a retry is recognized and the next redrive isn't.
        deduplication_id = f"{opened.received.message_id}-{provenance.redrives}"
        forward = opened.forward if self._keeps_trace else replace(opened.forward, trace_header=None)
        request = outbound(forward, destination, provenance.to_json(), deduplication_id)
        if not request.fits:
            return self._too_large(opened, destination)
        if self._keeps_trace and destination.takes_batches and opened.in_a_loop:
            self.explanations.setdefault(_IN_A_LOOP)
        return Redrive(request, None if contract is None else contract.name, repaired, opened.provenance.foreign)

    def _invalid(self, opened: OpenedMessage, reason: str, problems: tuple[str, ...] = ()) -> Verdict:
        if self._leaves_invalid:
            return self._skip(reason, opened)
        # As it was received, so that a later run judges the same message.
        received = opened.received
        note = opened.provenance.quarantined(self._plan.run_id, self._plan.dlq.arn).to_json(reason, problems)
        request = outbound(received, self._quarantine, note, received.message_id)
        if not request.fits:
            return self._too_large(opened, self._quarantine)
        return Quarantine(reason, request, opened.provenance.foreign)

    def _too_large(self, opened: OpenedMessage, destination: Destination) -> Skip:
        self.explanations.setdefault(destination.size_limit)
        return self._skip(Reason.TOO_LARGE, opened)

    def _skip(self, reason: str, message: OpenedMessage | ReceivedMessage) -> Skip:
        """Return the verdict that leaves a message, and the FIFO queue whose order it holds up by staying."""
        fifo_queue = self._authority.fifo_queue
        source = message.provenance.source if isinstance(message, OpenedMessage) else message.source_arn
        if self._plan.destination is None and source is not None and source.endswith(".fifo"):
            fifo_queue = source
        return Skip(reason, fifo_queue)
