"""Performs a lane's actions: makes requests in worker threads and returns their outcomes to the lane's thread.

Called by the move step for each slice. Receiving, sending, and deleting overlap. The lane limits how many requests are
in flight and how many messages are in hand, so a slow stage slows down the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.api_errors import api_error_of, entry_error_of
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.error_codes import error_code
from redrive.adapters.visibility import POLL_SECONDS, receipt_entries
from redrive.domain.errors import LockLostError, LogMessageError
from redrive.domain.messages.outbound import Outbound
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

    from redrive.adapters.batch_client import BatchClient

# Requests in flight. More gain nothing: then the processor is the limit (docs/design/benchmarks.md).
THREADS = 32
# The shortest time between two heartbeats, as a share of their interval, and after one that failed.
_SOONEST = 0.025
_AFTER_FAILURE = 0.25


class _Workers:
    """Threads that perform actions. A pool of futures would double the cost of each handover."""

    def __init__(self, number: int, perform: Callable[[Action], Outcome]) -> None:
        self._perform = perform
        self._todo: SimpleQueue[Action | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Action, Outcome | BaseException]] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"sqs-{index}", daemon=True) for index in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def start(self, action: Action) -> None:
        self._todo.put(action)

    def ended(self, seconds: float) -> Iterator[tuple[Action, Outcome]]:
        """Yield the actions that have ended; wait at most `seconds` for the first."""
        try:
            action, outcome = self._done.get(timeout=max(0.0, seconds))
            while True:
                if isinstance(outcome, BaseException):
                    raise outcome
                yield action, outcome
                action, outcome = self._done.get_nowait()
        except Empty:
            return

    def _work(self) -> None:
        while (action := self._todo.get()) is not None:
            try:
                self._done.put((action, self._perform(action)))
            except BaseException as error:  # noqa: BLE001
                # The edge of the thread: unexpected errors are raised in the lane's thread.
                self._done.put((action, error))


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
        with _Workers(self.threads, self._perform) as workers:
            while not lane.finished:
                for action in lane.next(self.clock()):
                    workers.start(action)
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
                for action, outcome in workers.ended(until - self.clock()):
                    lane.outcome(action, outcome, self.clock())
        if lost is not None:
            raise lost
        heartbeat()

    def _perform(self, action: Action) -> Outcome:
        try:
            match action:
                case Receive():
                    return self._receive(action)
                case Send():
                    action.departure.started = self.clock()
                    try:
                        return self._send(action)
                    finally:
                        action.departure.answered = self.clock()
                case Delete():
                    return self._delete(action)
                case SetVisibility():
                    return self._set_visibility(action)
        except (ClientError, BotoCoreError) as error:
            return api_error_of(error, action)
        except Exception as error:  # noqa: BLE001
            # Such as an answer that can't be parsed: the request may have been carried out. If a message of a batch is
            # to blame, it is alone in the last attempts.
            if isinstance(action, Send) and len(action.messages) == 1:
                self.log_error(action.messages[0].message.message_id, error_code(error))
            return ApiError(error_code(error), ErrorKind.UNCERTAIN)

    def _receive(self, action: Receive) -> Received:
        # Attributes are returned only if requested (SQS API reference, ReceiveMessage).
        response = self.client.receive_message(
            QueueUrl=self.dlq_url,
            MaxNumberOfMessages=action.max_messages,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=self.visibility,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return Received(self.memory.received(response.get("Messages", [])))

    def _send(self, action: Send) -> BatchResult:
        if not action.destination.takes_batches:
            only = outbound_of(action.messages[0])
            return BatchResult(unrecorded=self._recorded([(only, self.deliveries.deliver(only))]))
        entries: list[Any] = []
        for index, held in enumerate(action.messages):
            entries.append({"Id": str(index), **outbound_of(held).request})
        answer = self.client.send_message_batch(QueueUrl=action.destination.address, Entries=entries)
        accepted = [
            (outbound_of(action.messages[int(entry["Id"])]), entry["MessageId"])
            for entry in answer.get("Successful", [])
        ]
        return replace(_batch_result(answer, action, len(entries)), unrecorded=self._recorded(accepted))

    def _recorded(self, accepted: Sequence[tuple[Outbound, str]]) -> ApiError | None:
        """Record what accepted messages couldn't carry; return why that failed."""
        try:
            self.memory.sent(accepted)
        except Exception as error:  # noqa: BLE001
            # The messages were sent and must be deleted, so this isn't an error of the request.
            return ApiError(error_code(error), ErrorKind.GONE)
        return None

    def _delete(self, action: Delete) -> BatchResult:
        entries: list[Any] = list(receipt_entries(action.handles))
        answer = self.client.delete_message_batch(QueueUrl=self.dlq_url, Entries=entries)
        return _batch_result(answer, action, len(entries))

    def _set_visibility(self, action: SetVisibility) -> BatchResult:
        entries: list[Any] = [
            entry | {"VisibilityTimeout": seconds}
            for entry, seconds in zip(receipt_entries(action.handles), action.seconds, strict=True)
        ]
        answer = self.client.change_message_visibility_batch(QueueUrl=self.dlq_url, Entries=entries)
        return _batch_result(answer, action, len(entries))


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
