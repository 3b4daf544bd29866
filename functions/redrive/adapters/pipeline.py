"""Performs a lane's actions: makes requests and returns their outcomes to the lane.

Called by the move step for each slice. Receiving, sending, and deleting overlap. The lane limits how many requests are
in flight and how many messages are in hand, so a slow stage slows down the others.

The lane's thread sends the lean client's requests and reads their answers, because handing a request to another thread
takes as long as the request itself. Worker threads do everything else that may block.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
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
from redrive.adapters.visibility import POLL_SECONDS
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

# Requests in flight. With more, the processor is the limit (docs/design/benchmarks.md).
THREADS = 32
# The shortest time between two heartbeats, as a share of their interval: normally, and after a failed one.
_SOONEST = 0.025
_AFTER_FAILURE = 0.25
# Numbers of batch requests, unique in this process.
_batches = itertools.count()


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request to SQS that has been sent."""

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
    #: Recalls and records what messages can't carry themselves.
    memory: Memory
    #: Logs that a message raised an unexpected error.
    log_error: LogMessageError

    def run(self, lane: Lane, heartbeat: Callable[[], bool], heartbeat_seconds: float) -> None:
        """Move messages until the lane has finished.

        Parameters
        ----------
        lane : Lane
            The lane. Only the calling thread uses it.
        heartbeat : Callable[[], bool]
            Called in the calling thread at each interval, sooner if the lane can't continue without it, and once at the
            end. Returns whether an operator has stopped the run.
        heartbeat_seconds : float
            Interval between two heartbeats.

        Raises
        ------
        LockLostError
            If a heartbeat raised it. Raised after the lane has finished its open requests and released its messages.
        ClientError, BotoCoreError
            If the last heartbeat failed. If any other one fails, the next one catches up.
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
                        # The next heartbeat includes what this one should have recorded. The last one must succeed.
                        pause = _AFTER_FAILURE
                    beat_at = self.clock() + heartbeat_seconds
                    soonest = self.clock() + heartbeat_seconds * pause
                    # Messages that waited for this heartbeat may continue.
                    until = self.clock()
                else:
                    until = lane.wake_at() if lost else min(lane.wake_at(), due_at)
                for action, outcome in in_flight.ended(until - self.clock()):
                    lane.outcome(action, outcome, self.clock())
        if lost is not None:
            raise lost
        heartbeat()

    def _begin(self, action: Action, in_flight: InFlight) -> None:
        """Send an action's request, or have a worker thread make it."""
        begun = self._attempt(action, lambda: self._sent(action))
        if isinstance(begun, ApiError):
            # The lane gets all outcomes from `in_flight`.
            in_flight.perform(action, lambda: begun)
        elif begun is None:
            in_flight.perform(action, partial(self._perform, action))
        elif begun.exchange.needs_thread:
            in_flight.perform(action, partial(self._wait, action, begun))
        else:
            in_flight.watch(action, begun.exchange.connection, partial(self._step, action, begun))

    def _sent(self, action: Action) -> _Sent | None:
        """Send an action's request without waiting. Return None if that's impossible."""
        request = self._request_of(action)
        if request is None or not isinstance(self.client, BatchClient):
            return None
        self._departs(action)
        exchange = self.client.begin(*request)
        return None if exchange is None else _Sent(*request, exchange)

    def _step(self, action: Action, sent: _Sent) -> Outcome | Work | None:
        """Return the outcome if the answer has arrived, and the rest of the work if it needs a worker thread."""

        def read() -> Outcome | Work | None:
            answer = sent.exchange.answer()
            if answer is None:
                return partial(self._wait, action, sent) if sent.exchange.needs_thread else None
            self._arrived(action)
            assert isinstance(self.client, BatchClient)
            values = self.client.plain(sent.operation, answer)
            if values is None:
                return partial(self._read, action, sent, answer)
            return self._outcome_of(action, sent.parameters, values)

        return self._attempt(action, read)

    def _wait(self, action: Action, sent: _Sent) -> Outcome:
        """Wait for the rest of an answer and return the outcome."""
        return self._attempt(action, lambda: self._read(action, sent, sent.exchange.wait()))

    def _read(self, action: Action, sent: _Sent, answer: Answer) -> Outcome:
        """Read any answer and return the outcome."""

        def read() -> Outcome:
            assert isinstance(self.client, BatchClient)
            values = self.client.read(sent.operation, sent.parameters, answer)
            return _done(self._outcome_of(action, sent.parameters, values))

        return self._attempt(action, read)

    def _perform(self, action: Action) -> Outcome:
        """Carry out an action, however long it blocks."""

        def perform() -> Outcome:
            self._departs(action)
            request = self._request_of(action)
            if request is None:
                assert isinstance(action, Send)
                return self._deliver(action)
            operation, parameters = request
            response = getattr(self.client, operation)(**parameters)
            return _done(self._outcome_of(action, parameters, response))

        return self._attempt(action, perform)

    def _attempt[T](self, action: Action, attempt: Callable[[], T]) -> T | ApiError:
        """Attempt a part of an action. Return its result, or what its error means."""
        try:
            return attempt()
        except (ClientError, BotoCoreError) as error:
            self._arrived(action)
            return api_error_of(error, action)
        except Exception as error:  # noqa: BLE001
            # Such as an answer that can't be parsed: the request may have been carried out. A message that makes its
            # batch fail is alone in its last attempts.
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
        """Return the client's method for an action, and its arguments, or None if it isn't a request to SQS."""
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
                entries = _identified(outbound_of(held).request for held in action.messages)
                return "send_message_batch", {"QueueUrl": action.destination.address, "Entries": entries}
            case Delete():
                entries = _identified({"ReceiptHandle": handle} for handle in action.handles)
                return "delete_message_batch", {"QueueUrl": self.dlq_url, "Entries": entries}
            case SetVisibility():
                entries = _identified(
                    {"ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for handle, seconds in zip(action.handles, action.seconds, strict=True)
                )
                return "change_message_visibility_batch", {"QueueUrl": self.dlq_url, "Entries": entries}

    def _outcome_of(self, action: Action, parameters: Mapping[str, Any], response: Mapping[str, Any]) -> Outcome | Work:
        """Return the outcome of an answered request, or the rest of the work if the runs table is needed for it."""
        self._arrived(action)
        match action:
            case Receive():
                messages, ids = self.memory.read(response.get("Messages", []))
                if ids:
                    return lambda: self._attempt(action, lambda: Received(self.memory.recalled(messages, ids)))
                return Received(messages)
            case Send():
                sent = {entry["Id"]: entry for entry in response.get("Successful", [])}
                facts = self.memory.unattached(
                    (outbound_of(held), sent[entry["Id"]]["MessageId"])
                    for held, entry in zip(action.messages, parameters["Entries"], strict=True)
                    if entry["Id"] in sent
                )
                result = _batch_result(response, action, parameters["Entries"])
                return (lambda: replace(result, unrecorded=self._recorded(facts))) if facts else result
            case Delete() | SetVisibility():
                return _batch_result(response, action, parameters["Entries"])

    def _deliver(self, action: Send) -> BatchResult:
        """Send a message to a function or state machine."""
        only = outbound_of(action.messages[0])
        facts = self.memory.unattached([(only, self.deliveries.deliver(only))])
        self._arrived(action)
        return BatchResult(unrecorded=self._recorded(facts))

    def _recorded(self, facts: Mapping[str, str]) -> ApiError | None:
        """Record what accepted messages couldn't carry. Return why that failed, if it did."""
        try:
            self.memory.record(facts)
        except Exception as error:  # noqa: BLE001
            # The messages were sent and must be deleted, so the request itself didn't fail.
            return ApiError(error_code(error), ErrorKind.GONE)
        return None


def _done(result: Outcome | Work) -> Outcome:
    return result() if callable(result) else result


def _identified(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a batch, each with an Id that no entry of an earlier batch has.

    SQS only requires that Ids differ within a batch. But if a server answered a request twice, the second answer would
    count for the next request on the connection, and messages would be deleted that weren't sent.
    """
    batch = next(_batches)
    return [{"Id": f"{batch}-{index}", **entry} for index, entry in enumerate(entries)]


def _batch_result(response: Any, action: Action, entries: Iterable[Mapping[str, Any]]) -> BatchResult:
    """Return the failed entries: all that SQS doesn't list as successful."""
    successful = {entry["Id"] for entry in response.get("Successful", [])}
    failed = {
        entry["Id"]: entry_error_of(entry["Code"], action, sender_fault=entry["SenderFault"])
        for entry in response.get("Failed", [])
    }
    missing = ApiError("NotListed", ErrorKind.UNCERTAIN)
    ids = [entry["Id"] for entry in entries]
    return BatchResult({index: failed.get(name, missing) for index, name in enumerate(ids) if name not in successful})
