"""Carries out what a lane decides: SQS requests over threads, outcomes back to the thread that owns the lane.

Called by the move handler for one slice. Receiving, sending and deleting overlap; the lane bounds what is in
flight and in hand, so that a slow stage holds the others back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.deliveries import Deliveries
from redrive.adapters.sqs import entry_failure_of, failure_of, receipts_by_place
from redrive.domain.errors import LockLostError
from redrive.domain.lane import (
    POLL_SECONDS,
    Action,
    BatchResult,
    Delete,
    Failure,
    HeldRecord,
    Lane,
    Messages,
    Outcome,
    Receive,
    Send,
    SetVisibility,
    Trouble,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class _Workers:
    """Threads that carry out actions; a pool of futures would hand each action over at twice the cost."""

    def __init__(self, number: int, carry_out: Callable[[Action], Outcome]) -> None:
        self._carry_out = carry_out
        self._todo: SimpleQueue[Action | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Action, Outcome | BaseException]] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"sqs-{place}", daemon=True) for place in range(number)
        ]

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
        """Yield what has ended; wait so many seconds at most for the first."""
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
                self._done.put((action, self._carry_out(action)))
            except BaseException as error:  # noqa: BLE001
                # The edge of the thread: what nobody expected is raised in the thread that owns the lane.
                self._done.put((action, error))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs lanes on one dead-letter queue.

    Attributes
    ----------
    client : SQSClient
        A client without retries of its own, with a connection for each thread.
    dlq_url : str
        The dead-letter queue.
    visibility : int
        Seconds that received letters stay invisible to others.
    threads : int
        Requests in flight at a time; at least the lane's `concurrency`.
    clock : Callable[[], float]
        A monotonic clock in seconds, the one that the lane's times are on.
    deliveries : Deliveries
        Delivers to what is no queue.
    """

    client: SQSClient
    dlq_url: str
    visibility: int
    threads: int
    clock: Callable[[], float]
    deliveries: Deliveries

    def run(
        self, lane: Lane, heartbeat: Callable[[list[HeldRecord]], bool], heartbeat_seconds: float
    ) -> None:
        """Move letters until the lane has finished.

        Parameters
        ----------
        lane : Lane
            The lane; only the calling thread touches it.
        heartbeat : Callable[[list[HeldRecord]], bool]
            Called in the calling thread at every beat and once at the end, with the letters kept invisible
            since the last beat; returns whether an operator wants the run to stop.
        heartbeat_seconds : float
            Time between two beats.

        Raises
        ------
        LockLostError
            What `heartbeat` raised, after the lane has finished what was under way and given the rest back.
        ClientError, BotoCoreError
            What the last `heartbeat` raised; earlier ones are made up for by the next.
        """
        beat_at = self.clock() + heartbeat_seconds
        records: list[HeldRecord] = []
        lost: LockLostError | None = None
        with _Workers(self.threads, self._carry_out) as workers:
            while not lane.finished:
                for action in lane.next(self.clock()):
                    workers.start(action)
                if lane.finished:
                    break
                if lost is None and self.clock() >= beat_at:
                    records += lane.take_records()
                    try:
                        if heartbeat(records):
                            lane.stop()
                        records = []
                    except LockLostError as error:
                        # What is under way has to be finished all the same: sent letters must be deleted.
                        lost = error
                        lane.stop()
                    except (ClientError, BotoCoreError):
                        # Notes can wait: the next beat brings them too, and the last one has to succeed.
                        pass
                    beat_at = self.clock() + heartbeat_seconds
                until = lane.wake_at() if lost else min(lane.wake_at(), beat_at)
                for action, outcome in workers.ended(until - self.clock()):
                    lane.outcome(action, outcome, self.clock())
        if lost is not None:
            raise lost
        heartbeat(records + lane.take_records())

    def _carry_out(self, action: Action) -> Outcome:
        try:
            match action:
                case Receive():
                    return self._receive(action)
                case Send():
                    return self._send(action)
                case Delete():
                    return self._delete(action)
                case SetVisibility():
                    return self._set_visibility(action)
        except (ClientError, BotoCoreError) as error:
            return failure_of(error)

    def _receive(self, action: Receive) -> Messages:
        # Attributes are not returned unless they are asked for (SQS API reference, ReceiveMessage).
        answer = self.client.receive_message(
            QueueUrl=self.dlq_url,
            MaxNumberOfMessages=action.max_messages,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=self.visibility,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return Messages(answer.get("Messages", []))

    def _send(self, action: Send) -> BatchResult:
        if not action.destination.takes_batches:
            return self.deliveries.deliver(action.destination, action.letters[0])
        entries: list[Any] = []
        for place, held in enumerate(action.letters):
            assert held.outgoing is not None
            entries.append({"Id": str(place), **held.outgoing.request})
        return _batch_result(
            self.client.send_message_batch(QueueUrl=action.destination.address, Entries=entries), len(entries)
        )

    def _delete(self, action: Delete) -> BatchResult:
        entries: list[Any] = list(receipts_by_place(action.handles))
        return _batch_result(
            self.client.delete_message_batch(QueueUrl=self.dlq_url, Entries=entries), len(entries)
        )

    def _set_visibility(self, action: SetVisibility) -> BatchResult:
        entries: list[Any] = [
            entry | {"VisibilityTimeout": action.seconds} for entry in receipts_by_place(action.handles)
        ]
        return _batch_result(
            self.client.change_message_visibility_batch(QueueUrl=self.dlq_url, Entries=entries), len(entries)
        )


def _batch_result(answer: Any, entries: int) -> BatchResult:
    """Return the failed entries: only what SQS lists as successful was carried out."""
    listed = {entry["Id"] for entry in answer.get("Successful", [])}
    if len(listed) == entries:
        return BatchResult()
    failed = {
        int(entry["Id"]): entry_failure_of(entry["Code"], sender_fault=entry["SenderFault"])
        for entry in answer.get("Failed", [])
    }
    missing = Failure("NotListed", Trouble.UNCERTAIN)
    return BatchResult(
        {place: failed.get(place, missing) for place in range(entries) if str(place) not in listed}
    )
