"""Performs a lane's actions: makes requests and returns their outcomes to the lane.

Called by the move step for each slice. Receiving, sending, and deleting overlap. The lane limits how many requests are
in flight and how many messages are in hand, so a slow stage slows down the others.

The lean client's requests are sent and read in the lane's thread, because handing each to another thread takes as long
as the request itself. Whatever has to wait for something else is left to threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.api_errors import api_error_of, entry_error_of
from redrive.adapters.batch_client import BatchClient
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.error_codes import error_code
from redrive.adapters.http_connections import Answer, Exchange
from redrive.adapters.in_flight import InFlight, Work
from redrive.adapters.visibility import POLL_SECONDS, receipt_entries
from redrive.domain.errors import LockLostError, LogMessageError
from redrive.domain.moving.actions import (
    Action,
    ApiError,
    BatchResult,
    Delete,
    ErrorKind,
    Outcome,
    Receive,
    Received,
    Send,
    SetVisibility,
)
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.send_buffer import outbound_of
from redrive.workflow.memory import Memory

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Requests in flight. More gain nothing: then the processor is the limit (docs/design/benchmarks.md).
THREADS = 32
# The shortest time between two heartbeats, as a share of their interval, and after one that failed.
_SOONEST = 0.025
_AFTER_FAILURE = 0.25


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request to SQS on its way."""

    operation: str
    parameters: dict[str, Any]
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs lanes on one dead-letter queue."""

    #: A client that doesn't retry, with one connection per thread.
    client: SQSClient | BatchClient
    #: URL of the dead-letter queue.
    dlq_url: str
    #: Visibility timeout of received messages, in seconds.
    visibility: int
    #: Requests in flight at a time; at least the lane's `concurrency`.
    threads: int
    #: A monotonic clock in seconds; the lane's times are on this clock.
    clock: Callable[[], float]
    #: Delivers to functions and state machines.
    deliveries: Deliveries
    #: Recalls and records what messages can't carry.
    memory: Memory
    #: Logs that a message raised an unexpected error.
    log_error: LogMessageError

    def run(self, lane: Lane, heartbeat: Callable[[], bool], heartbeat_seconds: float) -> None:
        """Move messages until the lane has finished.

        Parameters
        ----------
        lane : Lane
            The lane; used only in the calling thread.
        heartbeat : Callable[[], bool]
            Called in the calling thread at each interval, sooner if the lane can't go on without, and once at the end.
            Returns whether an operator requested the run to stop.
        heartbeat_seconds : float
            Interval between two heartbeats.

        Raises
        ------
        LockLostError
            If a heartbeat raised it; raised after the lane has finished its open requests and released its messages.
        ClientError, BotoCoreError
            If the last heartbeat failed. After any other failure, the next heartbeat catches up.
        """
        beat_at = self.clock() + heartbeat_seconds
        soonest = self.clock()
        lost: LockLostError | None = None
        with InFlight(self.threads) as in_flight:
            while not lane.finished:
                for action in lane.next(self.clock()):
                    self._begin(action, in_flight)
                if lane.finished:
                    break
                due_at = min(beat_at, soonest) if lane.needs_heartbeat else beat_at
                if lost is None and self.clock() >= due_at:
                    pause = _SOONEST
                    try:
                        if heartbeat():
                            lane.stop(self.clock())
                    except LockLostError as error:
                        # The lane must finish its open requests anyway, because sent messages must be deleted.
                        lost = error
                        lane.stop(self.clock(), lost=True)
                    except (ClientError, BotoCoreError):
                        # A checkpoint can wait: the next heartbeat includes it, and the last one must succeed.
                        pause = _AFTER_FAILURE
                    beat_at = self.clock() + heartbeat_seconds
                    soonest = self.clock() + heartbeat_seconds * pause
                    # What was just recorded may go on.
                    until = self.clock()
                else:
                    until = lane.wake_at() if lost else min(lane.wake_at(), due_at)
                for action, outcome in in_flight.ended(until - self.clock()):
                    lane.outcome(action, outcome, self.clock())
        if lost is not None:
            raise lost
        heartbeat()

    def _begin(self, action: Action, in_flight: InFlight) -> None:
        """Send an action's request, or let a thread make it."""
        begun = self._attempt(action, lambda: self._sent(action))
        if isinstance(begun, ApiError):
            # All outcomes come from what is in flight.
            in_flight.perform(action, lambda: begun)
        elif begun is None:
            in_flight.perform(action, partial(self._perform, action))
        elif begun.exchange.needs_thread:
            in_flight.perform(action, partial(self._wait, action, begun))
        else:
            in_flight.watch(action, begun.exchange.connection, partial(self._step, action, begun))

    def _sent(self, action: Action) -> _Sent | None:
        """Send an action's request without waiting for anything; return None if that's impossible."""
        request = self._request_of(action)
        if request is None or not isinstance(self.client, BatchClient):
            return None
        self._departs(action)
        exchange = self.client.begin(*request)
        return None if exchange is None else _Sent(*request, exchange)

    def _step(self, action: Action, sent: _Sent) -> Outcome | Work | None:
        """Return the outcome of a request if its answer has arrived."""

        def read() -> Outcome | Work | None:
            answer = sent.exchange.answer()
            if answer is None:
                return partial(self._wait, action, sent) if sent.exchange.needs_thread else None
            self._arrived(action)
            assert isinstance(self.client, BatchClient)
            values = self.client.plain(sent.operation, answer)
            return partial(self._read, action, sent, answer) if values is None else self._outcome_of(action, values)

        return self._attempt(action, read)

    def _wait(self, action: Action, sent: _Sent) -> Outcome:
        """Wait for the rest of an answer; return the outcome."""
        return self._attempt(action, lambda: self._read(action, sent, sent.exchange.wait()))

    def _read(self, action: Action, sent: _Sent, answer: Answer) -> Outcome:
        """Read an answer of any form; return the outcome."""

        def read() -> Outcome:
            assert isinstance(self.client, BatchClient)
            return _done(self._outcome_of(action, self.client.read(sent.operation, sent.parameters, answer)))

        return self._attempt(action, read)

    def _perform(self, action: Action) -> Outcome:
        """Carry out an action, and wait for whatever it needs."""

        def perform() -> Outcome:
            self._departs(action)
            request = self._request_of(action)
            if request is None:
                assert isinstance(action, Send)
                return self._deliver(action)
            operation, parameters = request
            response = getattr(self.client, operation)(**parameters)
            return _done(self._outcome_of(action, response))

        return self._attempt(action, perform)

    def _attempt[T](self, action: Action, attempt: Callable[[], T]) -> T | ApiError:
        """Do a part of an action; return what an error means."""
        try:
            return attempt()
        except (ClientError, BotoCoreError) as error:
            self._arrived(action)
            return api_error_of(error, action)
        except Exception as error:  # noqa: BLE001
            # Such as an answer that can't be parsed: the request may have been carried out. If a message of a batch is
            # to blame, it is alone in the last attempts.
            self._arrived(action)
            if isinstance(action, Send) and len(action.messages) == 1:
                self.log_error(action.messages[0].message.message_id, error_code(error))
            return ApiError(error_code(error), ErrorKind.UNCERTAIN)

    def _departs(self, action: Action) -> None:
        if isinstance(action, Send):
            action.departure.started = self.clock()

    def _arrived(self, action: Action) -> None:
        if isinstance(action, Send) and action.departure.answered is None:
            action.departure.answered = self.clock()

    def _request_of(self, action: Action) -> tuple[str, dict[str, Any]] | None:
        """Return the client's method for an action, and its arguments; None if the action isn't a request to SQS."""
        match action:
            case Receive():
                # Attributes are returned only if requested (SQS API reference, ReceiveMessage).
                return "receive_message", {
                    "QueueUrl": self.dlq_url,
                    "MaxNumberOfMessages": action.max_messages,
                    "WaitTimeSeconds": POLL_SECONDS,
                    "VisibilityTimeout": self.visibility,
                    "MessageAttributeNames": ["All"],
                    "MessageSystemAttributeNames": ["All"],
                }
            case Send() if not action.destination.takes_batches:
                return None
            case Send():
                entries = [
                    {"Id": str(index), **outbound_of(held).request} for index, held in enumerate(action.messages)
                ]
                return "send_message_batch", {"QueueUrl": action.destination.address, "Entries": entries}
            case Delete():
                return "delete_message_batch", {
                    "QueueUrl": self.dlq_url,
                    "Entries": list(receipt_entries(action.handles)),
                }
            case SetVisibility():
                entries = [
                    entry | {"VisibilityTimeout": seconds}
                    for entry, seconds in zip(receipt_entries(action.handles), action.seconds, strict=True)
                ]
                return "change_message_visibility_batch", {"QueueUrl": self.dlq_url, "Entries": entries}

    def _outcome_of(self, action: Action, response: Mapping[str, Any]) -> Outcome | Work:
        """Return the outcome of an answered request, or what is left to do for it with the runs table."""
        self._arrived(action)
        match action:
            case Receive():
                messages, ids = self.memory.read(response.get("Messages", []))
                if ids:
                    return lambda: self._attempt(action, lambda: Received(self.memory.recalled(messages, ids)))
                return Received(messages)
            case Send():
                accepted = [
                    (outbound_of(action.messages[int(entry["Id"])]), entry["MessageId"])
                    for entry in response.get("Successful", [])
                ]
                result = _batch_result(response, action, len(action.messages))
                facts = self.memory.unattached(accepted)
                return (lambda: replace(result, unrecorded=self._recorded(facts))) if facts else result
            case Delete() | SetVisibility():
                return _batch_result(response, action, len(action.handles))

    def _deliver(self, action: Send) -> BatchResult:
        """Send a message to a function or state machine."""
        only = outbound_of(action.messages[0])
        facts = self.memory.unattached([(only, self.deliveries.deliver(only))])
        self._arrived(action)
        return BatchResult(unrecorded=self._recorded(facts))

    def _recorded(self, facts: Mapping[str, str]) -> ApiError | None:
        """Record what accepted messages couldn't carry; return why that failed."""
        try:
            self.memory.record(facts)
        except Exception as error:  # noqa: BLE001
            # The messages were sent and must be deleted, so this isn't an error of the request.
            return ApiError(error_code(error), ErrorKind.GONE)
        return None


def _done(result: Outcome | Work) -> Outcome:
    return result() if callable(result) else result


def _batch_result(response: Any, action: Action, entries: int) -> BatchResult:
    """Return the failed entries: all that SQS doesn't list as successful."""
    successful = {entry["Id"] for entry in response.get("Successful", [])}
    if len(successful) == entries:
        return BatchResult()
    failed = {
        int(entry["Id"]): entry_error_of(entry["Code"], action, sender_fault=entry["SenderFault"])
        for entry in response.get("Failed", [])
    }
    missing = ApiError("NotListed", ErrorKind.UNCERTAIN)
    return BatchResult({index: failed.get(index, missing) for index in range(entries) if str(index) not in successful})
