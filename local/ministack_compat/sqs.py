"""Makes ministack's SQS keep the limits, the attributes and the delivery rules that AWS documents.

``local.ministack_compat.apply`` calls :func:`apply`; the message store and the message-move calls have modules of their
own.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from ministack.core import responses
from ministack.services import sqs

from local.ministack_compat import fit
from local.ministack_compat.message_store import STORE_LOCK, Message, MessageStore, ReceiptHandleError

# "The minimum is 1 byte … the maximum is 1,048,576 bytes (1 MiB)"; a batch has the same limit for the sum of its
# messages. Attributes count: name, type and value (Amazon SQS Developer Guide, "Amazon SQS message quotas").
MAX_BATCH_BYTES = 1_048_576
MAX_MESSAGE_ATTRIBUTES = 10
MAX_DELAY_SECONDS = 900
MAX_WAIT_SECONDS = 20
MAX_VISIBILITY_SECONDS = 43_200
# Amazon SQS Developer Guide, "Amazon SQS queue quotas": in-flight messages.
MAX_IN_FLIGHT = 120_000
# A batch for Lambda is at most 6 MB with its envelope (AWS Lambda Developer Guide, "Batching behavior").
MAX_LAMBDA_BATCH_BYTES = 6_000_000

Queue = dict[str, Any]
Request = dict[str, Any]


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(
        sqs,
        _queues=_QueuesWithMessageStores(),
        _collect_msgs=receive,
        _dlq_sweep=leave_redrive_policy_to_receive,
        _expire_retained=expire_retained,
        _refresh_counts=refresh_counts,
        _prune_dedup=prune_deduplication_ids,
        _receive_messages_for_esm=receive_for_lambda,
        _delete_messages_for_esm=delete_for_lambda,
        _act_send_message=send_message,
    )
    sqs._HANDLERS.update(
        SendMessage=send_message,
        SendMessageBatch=send_message_batch,
        DeleteMessage=delete_message,
        DeleteMessageBatch=delete_message_batch,
        ChangeMessageVisibility=change_visibility,
        ChangeMessageVisibilityBatch=change_visibility_batch,
        ListDeadLetterSourceQueues=list_dead_letter_source_queues,
        ListQueues=list_queues,
        ReceiveMessage=receive_message,
    )


_upstream_send_message = sqs._act_send_message
_upstream_list_queues = sqs._act_list_queues
_upstream_receive_message = sqs._act_receive_message


class _QueuesWithMessageStores(responses.AccountRegionScopedDict):  # type: ignore[misc]
    """The table of queues; every queue put into it gets a message store.

    ministack keeps messages in a list that receive, delete and count walk through (25 ms at 20,000 messages), and
    replaces the list from several threads, which can lose a message sent meanwhile.
    """

    __slots__ = ()

    def __setitem__(self, url: str, queue: Queue) -> None:
        if not isinstance(queue["messages"], MessageStore):
            queue["messages"] = MessageStore(fifo=queue["is_fifo"], messages=queue["messages"])
        super().__setitem__(url, queue)


def every_queue() -> list[tuple[str, str, Queue]]:
    """Return account, region and queue for every queue of this process."""
    return [(key[0], key[1], queue) for key, queue in sqs._queues.all_items()]


def _check_seconds(request: Request, parameter: str, most: int) -> None:
    """Refuse a number of seconds out of range, as AWS does and ministack does not."""
    value = request.get(parameter)
    if value is not None and not 0 <= int(value) <= most:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {value} for parameter {parameter} is invalid. Reason: Must be between 0 and {most}, if provided.",
        )


# Receiving --------------------------------------------------------------------------------------------------


def receive_message(request: Request, queue_url: str) -> Any:
    """ReceiveMessage with the ranges of its two times and the limit of messages in flight.

    At the limit a short poll of a standard queue is refused, and any other receives nothing (Amazon SQS Developer
    Guide, "Amazon SQS queue quotas"). The answer is a coroutine, since it may wait.
    """
    _check_seconds(request, "WaitTimeSeconds", MAX_WAIT_SECONDS)
    _check_seconds(request, "VisibilityTimeout", MAX_VISIBILITY_SECONDS)
    queue = sqs._get_q(request.get("QueueUrl") or queue_url)
    wait = request.get("WaitTimeSeconds", queue["attributes"].get("ReceiveMessageWaitTimeSeconds", "0"))
    if not int(wait) and not queue["is_fifo"] and queue["messages"].counts()[1] >= MAX_IN_FLIGHT:
        raise sqs._Err("OverLimit", f"Too many messages in flight: {MAX_IN_FLIGHT}.", 403)
    return _upstream_receive_message(request, queue_url)


def receive(queue: Queue, limit: int, visibility_timeout: int) -> list[Message]:
    """Receive messages, moving those to the dead-letter queue that were received too often.

    AWS moves a message when it would be received once more than ``maxReceiveCount`` (Amazon SQS Developer Guide, "Using
    dead-letter queues in Amazon SQS").
    """
    with STORE_LOCK:
        store: MessageStore = queue["messages"]
        limit = min(limit, MAX_IN_FLIGHT - store.counts()[1])
        if limit <= 0:
            return []
        dead_letter_queue, max_receive_count = _redrive_policy(queue)
        taken, dead = store.take(limit, visibility_timeout, max_receive_count)
        for message in taken:
            sqs._ensure_msg_fields(message)
        if dead_letter_queue is not None:
            for message in dead:
                _move_to_dead_letter_queue(message, queue, dead_letter_queue)
        record_activity(queue, "NumberOfMessagesReceived", len(taken))
    return taken


def leave_redrive_policy_to_receive(_queue: Queue) -> None:
    """Do nothing instead of looking for messages to move to a dead-letter queue: :func:`receive` moves them."""


def _redrive_policy(queue: Queue) -> tuple[Queue | None, int | None]:
    policy = redrive_policy_of(queue)
    target = sqs._queue_by_arn(policy.get("deadLetterTargetArn", ""))
    if target is None:
        return None, None
    return target, int(policy["maxReceiveCount"])


def redrive_policy_of(queue: Queue) -> dict[str, Any]:
    """Return the queue's RedrivePolicy, empty when it has none."""
    raw = queue["attributes"].get("RedrivePolicy")
    policy = json.loads(raw) if raw else {}
    return policy if isinstance(policy, dict) else {}


def _move_to_dead_letter_queue(message: Message, source: Queue, target: Queue) -> None:
    # A standard queue keeps the original enqueue timestamp for retention, a FIFO queue starts anew (Amazon SQS
    # Developer Guide, "Configuring a dead-letter queue": message retention periods).
    now = time.time()
    moved = {
        **message,
        "receipt_handle": None,
        "visible_at": now,
        "sys": {**message.get("sys", {}), "DeadLetterQueueSourceArn": source["attributes"]["QueueArn"]},
    }
    if target["is_fifo"]:
        moved["enqueued_at"] = now
    target["messages"].append(moved)
    sqs.esm_wake.set()


def expire_retained(queue: Queue) -> None:
    """Drop the messages that are older than the queue's MessageRetentionPeriod."""
    queue["messages"].expire(time.time() - int(queue["attributes"].get("MessageRetentionPeriod", "345600")))


def refresh_counts(queue: Queue) -> None:
    """Write the three ApproximateNumberOfMessages attributes."""
    expire_retained(queue)
    visible, in_flight, delayed = queue["messages"].counts()
    queue["attributes"].update(
        ApproximateNumberOfMessages=str(visible),
        ApproximateNumberOfMessagesNotVisible=str(in_flight),
        ApproximateNumberOfMessagesDelayed=str(delayed),
    )


def receive_for_lambda(queue_url: str, batch_size: int) -> list[Message]:
    """Receive a batch for an event source mapping.

    ministack hands out 10 at most; AWS up to the mapping's BatchSize, as long as the batch fits the invocation payload
    (AWS Lambda Developer Guide, "Batching behavior").
    """
    queue = sqs._get_q(queue_url)
    expire_retained(queue)
    visibility_timeout = int(queue["attributes"].get("VisibilityTimeout", "30"))
    batch: list[Message] = []
    size = 0
    while len(batch) < batch_size and size < MAX_LAMBDA_BATCH_BYTES - MAX_BATCH_BYTES:
        received = receive(queue, min(10, batch_size - len(batch)), visibility_timeout)
        if not received:
            break
        batch.extend(received)
        size += sum(message_bytes(message["body"], message["message_attributes"]) for message in received)
    return batch


def delete_for_lambda(queue_url: str, receipt_handles: set[str]) -> None:
    """Delete the messages that a Lambda function has processed."""
    queue = sqs._get_q(queue_url)
    for handle in receipt_handles:
        _delete(queue, handle)


# Sending ----------------------------------------------------------------------------------------------------


def message_bytes(body: str, attributes: dict[str, Any] | None) -> int:
    """Return the bytes that count against the quota: body, and name, type and value of each attribute."""
    size = len(body.encode())
    for name, attribute in (attributes or {}).items():
        binary = attribute.get("BinaryValue")
        value = base64.b64decode(binary) if binary else (attribute.get("StringValue") or "").encode()
        size += len(name.encode()) + len(attribute.get("DataType", "").encode()) + len(value)
    return size


def send_message(request: Request, queue_url: str) -> dict[str, Any]:
    """SendMessage with limits that ministack leaves out: size with attributes, their number, DelaySeconds."""
    queue = sqs._get_q(request.get("QueueUrl") or queue_url)
    attributes = request.get("MessageAttributes") or {}
    if len(attributes) > MAX_MESSAGE_ATTRIBUTES:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{MAX_MESSAGE_ATTRIBUTES}].",
        )
    limit = int(queue["attributes"].get("MaximumMessageSize", MAX_BATCH_BYTES))
    if message_bytes(request.get("MessageBody") or "", attributes) > limit:
        raise sqs._Err(
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.",
        )
    _check_seconds(request, "DelaySeconds", MAX_DELAY_SECONDS)
    with STORE_LOCK:
        result: dict[str, Any] = _upstream_send_message(request, queue_url)
        record_activity(queue, "NumberOfMessagesSent", 1)
    return result


def send_message_batch(request: Request, queue_url: str) -> dict[str, Any]:
    """SendMessageBatch that keeps all of each entry, and counts attributes in the size of the batch.

    ministack loses MessageSystemAttributes, and so AWSTraceHeader.
    """
    url = request.get("QueueUrl") or queue_url
    sqs._get_q(url)
    entries = request.get("Entries") or []
    sqs._validate_batch_entries(entries, "SendMessageBatchRequestEntry")
    total = sum(message_bytes(entry.get("MessageBody") or "", entry.get("MessageAttributes")) for entry in entries)
    if total > MAX_BATCH_BYTES:
        raise sqs._Err(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {total} bytes.",
        )
    return _each_entry(entries, lambda entry: send_message({**entry, "QueueUrl": url}, url))


def prune_deduplication_ids(queue: Queue) -> None:
    """Forget the deduplication ids that are past their five minutes.

    ministack rebuilds the whole table at every send, which makes 50,000 FIFO sends quadratic; once a second will do.
    """
    now = time.time()
    if now - queue.get("deduplication_pruned_at", 0.0) < 1:
        return
    queue["deduplication_pruned_at"] = now
    queue["dedup_cache"] = {key: entry for key, entry in queue["dedup_cache"].items() if entry["expire"] > now}


# Deleting and hiding ----------------------------------------------------------------------------------------


def delete_message(request: Request, queue_url: str) -> dict[str, Any]:
    """DeleteMessage; deleting a message twice succeeds, unlike in ministack."""
    queue = sqs._get_q(request.get("QueueUrl") or queue_url)
    handle = request.get("ReceiptHandle") or ""
    if not handle:
        raise sqs._Err("MissingParameter", "The request must contain the parameter ReceiptHandle.")
    _delete(queue, handle)
    return {}


def delete_message_batch(request: Request, queue_url: str) -> dict[str, Any]:
    """DeleteMessageBatch in terms of :func:`delete_message`."""
    return _batch(request, queue_url, "DeleteMessageBatchRequestEntry", delete_message)


def change_visibility(request: Request, queue_url: str) -> dict[str, Any]:
    """ChangeMessageVisibility; a message that isn't in flight is refused, unlike in ministack."""
    queue = sqs._get_q(request.get("QueueUrl") or queue_url)
    handle = request.get("ReceiptHandle") or ""
    _check_seconds(request, "VisibilityTimeout", MAX_VISIBILITY_SECONDS)
    seconds = int(request.get("VisibilityTimeout", 30))
    try:
        queue["messages"].change_visibility(handle, seconds)
    except ReceiptHandleError as error:
        raise sqs._Err("ReceiptHandleIsInvalid", str(error)) from None
    except LookupError as error:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {error.args[0]}",
        ) from None
    if seconds == 0:
        sqs.esm_wake.set()
    return {}


def change_visibility_batch(request: Request, queue_url: str) -> dict[str, Any]:
    """ChangeMessageVisibilityBatch in terms of :func:`change_visibility`."""
    return _batch(request, queue_url, "ChangeMessageVisibilityBatchRequestEntry", change_visibility)


def _delete(queue: Queue, handle: str) -> None:
    try:
        queue["messages"].delete(handle)
    except ReceiptHandleError as error:
        raise sqs._Err("ReceiptHandleIsInvalid", str(error)) from None
    record_activity(queue, "NumberOfMessagesDeleted", 1)


def _batch(request: Request, queue_url: str, entry_name: str, action: Any) -> dict[str, Any]:
    url = request.get("QueueUrl") or queue_url
    sqs._get_q(url)
    entries = request.get("Entries") or []
    sqs._validate_batch_entries(entries, entry_name)
    return _each_entry(entries, lambda entry: action({**entry, "QueueUrl": url}, url))


def _each_entry(entries: list[Request], action: Any) -> dict[str, Any]:
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            successful.append({**action(entry), "Id": entry.get("Id", "")})
        except sqs._Err as error:
            failed.append(
                {"Id": entry.get("Id", ""), "Code": error.code, "Message": error.message, "SenderFault": True}
            )
    # AWS leaves an empty list out of its answer, so ``answer["Failed"]`` is a KeyError.
    return {name: results for name, results in (("Successful", successful), ("Failed", failed)) if results}


def list_queues(request: Request, queue_url: str) -> dict[str, Any]:
    """ListQueues; as on AWS, an answer without queues has no QueueUrls at all."""
    answer: dict[str, Any] = _upstream_list_queues(request, queue_url)
    return {name: value for name, value in answer.items() if value}


# Dead-letter queues -----------------------------------------------------------------------------------------


def list_dead_letter_source_queues(request: Request, queue_url: str) -> dict[str, Any]:
    """ListDeadLetterSourceQueues, which ministack lacks."""
    arn = sqs._get_q(request.get("QueueUrl") or queue_url)["attributes"]["QueueArn"]
    urls = sorted(queue["url"] for queue in sources_of(arn))
    start = int(request.get("NextToken") or 0)
    limit = int(request.get("MaxResults") or 1000)
    page: dict[str, Any] = {"queueUrls": urls[start : start + limit]}
    if start + limit < len(urls):
        page["NextToken"] = str(start + limit)
    return page


def sources_of(dead_letter_queue_arn: str) -> list[Queue]:
    """Return the queues whose RedrivePolicy names the given dead-letter queue."""
    return [
        queue
        for _account, _region, queue in every_queue()
        if redrive_policy_of(queue).get("deadLetterTargetArn") == dead_letter_queue_arn
    ]


# Metrics ----------------------------------------------------------------------------------------------------


def record_activity(queue: Queue, metric: str, count: int) -> None:
    """Add to a counter that the CloudWatch module publishes and resets.

    Messages that SQS itself moves to a dead-letter queue are not counted as sent (Amazon SQS Developer Guide,
    "NumberOfMessagesSent and NumberOfMessagesReceived for a dead-letter queue don't match").
    """
    activity = queue.setdefault("activity", {})
    activity[metric] = activity.get(metric, 0) + count
