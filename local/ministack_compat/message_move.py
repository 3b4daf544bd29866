"""StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask, which ministack lacks.

``local.ministack_compat.apply`` calls :func:`apply`, which adds them to ministack's table of SQS actions.
"""

from __future__ import annotations

import base64
import contextvars
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.services import sqs

from local.ministack_compat import fit
from local.ministack_compat.message_store import STORE_LOCK, Message
from local.ministack_compat.sqs import sources_of

# "The maximum is 500" (Amazon SQS API Reference, StartMessageMoveTask); without a rate AWS picks one itself.
MAX_RATE = 500
MAX_RESULTS = 10
RUNNING, COMPLETED, CANCELLING, CANCELLED, FAILED = (
    "RUNNING",
    "COMPLETED",
    "CANCELLING",
    "CANCELLED",
    "FAILED",
)

_tasks: list[_MoveTask] = []
_tasks_lock = threading.Lock()
_upstream_reset = sqs.reset


def apply() -> None:
    """Put the three actions in place."""
    sqs._HANDLERS.update(
        StartMessageMoveTask=start_message_move_task,
        ListMessageMoveTasks=list_message_move_tasks,
        CancelMessageMoveTask=cancel_message_move_task,
    )
    fit.replace(sqs, reset=reset)


@dataclass
class _MoveTask:
    source_arn: str
    destination_arn: str | None
    rate: int | None
    to_move: int
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started_at_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    status: str = RUNNING
    moved: int = 0
    failure_reason: str | None = None

    @property
    def handle(self) -> str:
        return base64.b64encode(json.dumps({"taskId": self.task_id, "sourceArn": self.source_arn}).encode()).decode()

    def described(self) -> dict[str, Any]:
        description = {
            # "… only included if the task status is RUNNING" (API Reference, ListMessageMoveTasksResultEntry).
            "TaskHandle": self.handle if self.status == RUNNING else None,
            "Status": self.status,
            "SourceArn": self.source_arn,
            "DestinationArn": self.destination_arn,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.failure_reason,
            "StartedTimestamp": self.started_at_ms,
        }
        return {name: value for name, value in description.items() if value is not None}

    def run(self) -> None:
        started = time.monotonic()
        while self.status == RUNNING:
            if self.rate is not None and self.moved >= (time.monotonic() - started) * self.rate + 1:
                time.sleep(1 / self.rate)
                continue
            if not self._move_one():
                break
        if self.status == CANCELLING:
            self.status = CANCELLED

    def _move_one(self) -> bool:
        with STORE_LOCK:
            source = sqs._queue_by_arn(self.source_arn)
            message = _next_visible(source) if source else None
            if source is None or message is None:
                self.status = COMPLETED
                return False
            # Without a destination each message returns to the queue it came from.
            target_arn = self.destination_arn or message["sys"].get("DeadLetterQueueSourceArn")
            target = sqs._queue_by_arn(target_arn) if target_arn else None
            if target is None:
                self.status = FAILED
                self.failure_reason = (
                    "AWS.SimpleQueueService.NonExistentQueue" if target_arn else "CouldNotDetermineMessageSource"
                )
                return False
            source["messages"].remove(message)
            target["messages"].append(_as_new(message))
            self.moved += 1
        sqs.esm_wake.set()
        return True


def _next_visible(queue: dict[str, Any]) -> Message | None:
    # Taken and removed under one lock, so the short hiding is never seen.
    taken, _dead = queue["messages"].take(1, 0)
    return taken[0] if taken else None


def _as_new(message: Message) -> Message:
    """Redriven messages get "a new messageID and enqueueTime" and their retention starts over.

    Amazon SQS Developer Guide, "Configuring a dead-letter queue redrive".
    """
    now = time.time()
    attributes = {name: value for name, value in message["sys"].items() if name != "DeadLetterQueueSourceArn"}
    return {
        **{name: value for name, value in message.items() if name != "enqueued_at"},
        "id": str(uuid.uuid4()),
        "receipt_handle": None,
        "receive_count": 0,
        "first_receive_at": None,
        "sent_at": now,
        "visible_at": now,
        "sys": {**attributes, "SentTimestamp": str(int(now * 1000))},
    }


def start_message_move_task(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
    """Start moving a dead-letter queue's messages to a queue, or back to where they came from."""
    source_arn, destination_arn = request.get("SourceArn", ""), request.get("DestinationArn")
    source = sqs._queue_by_arn(source_arn)
    if source is None:
        raise _missing("SourceArn")
    if source["is_fifo"]:
        raise sqs._Err("UnsupportedOperation", "Message move tasks support standard queues only.")
    if not sources_of(source_arn):
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    if destination_arn and sqs._queue_by_arn(destination_arn) is None:
        raise _missing("DestinationArn")
    rate = request.get("MaxNumberOfMessagesPerSecond")
    if rate is not None and not 1 <= int(rate) <= MAX_RATE:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. "
            f"Reason: Must be between 1 and {MAX_RATE}, if provided.",
        )
    with _tasks_lock:
        if any(task.source_arn == source_arn and task.status in (RUNNING, CANCELLING) for task in _tasks):
            raise sqs._Err(
                "UnsupportedOperation",
                "There is already a task running. "
                "Only one active task is allowed for a source queue arn at a given time.",
            )
        visible = source["messages"].counts()[0]
        task = _MoveTask(source_arn, destination_arn, None if rate is None else int(rate), visible)
        _tasks.append(task)
    # The thread looks queues up in the caller's account and region, which ministack keeps in context variables.
    threading.Thread(target=contextvars.copy_context().run, args=(task.run,), daemon=True).start()
    return {"TaskHandle": task.handle}


def list_message_move_tasks(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
    """List a source queue's tasks, the latest first; one unless MaxResults says more."""
    source_arn = request.get("SourceArn", "")
    if sqs._queue_by_arn(source_arn) is None:
        raise _missing("SourceArn")
    limit = min(int(request.get("MaxResults") or 1), MAX_RESULTS)
    of_source = [task.described() for task in reversed(_tasks) if task.source_arn == source_arn]
    return {"Results": of_source[:limit]}


def cancel_message_move_task(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
    """Cancel a running task; messages that it has moved stay moved."""
    task = next((task for task in _tasks if task.handle == request.get("TaskHandle")), None)
    if task is None:
        raise sqs._Err("ResourceNotFoundException", "Task does not exist.", 404)
    if task.status != RUNNING:
        raise sqs._Err("UnsupportedOperation", "Only active tasks can be cancelled.")
    task.status = CANCELLING
    return {"ApproximateNumberOfMessagesMoved": task.moved}


def reset() -> None:
    """Forget the tasks along with the queues when ministack is reset."""
    _tasks.clear()
    _upstream_reset()


def _missing(parameter: str) -> Exception:
    error: Exception = sqs._Err(
        "ResourceNotFoundException",
        f"The resource that you specified for the {parameter} parameter doesn't exist.",
        404,
    )
    return error
