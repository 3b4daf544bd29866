"""The functions that consume a queue, and what their settings mean for messages that come back to it.

`redrive.adapters.consumers` reads them, and the commands that look at a queue show them. A run doesn't use them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from redrive.domain.model import DisplayName, Model
from redrive.domain.plain_text import shell_word

# Both are recommended in the Lambda developer guide, "Creating and configuring an Amazon SQS event source mapping". The
# batching window is added, because Lambda holds messages during it (same guide, "Using Lambda with Amazon SQS").
_TIMES_TIMEOUT = 6
_RECEIVES = 5
# 12 hours (SQS API reference, SetQueueAttributes).
_MAX_VISIBILITY = 43_200
# States of a mapping that doesn't poll and won't start by itself (Lambda API reference, GetEventSourceMapping).
_OFF = frozenset({"Disabling", "Disabled", "Deleting"})


class ConsumerWarning(Model):
    """A setting that would hurt a redrive."""

    #: What was found, and what it means.
    text: str
    #: A command that changes or shows it.
    remedy: str


class Consumer(Model):
    """A function that an event source mapping invokes with a queue's messages."""

    #: Its name, with the version or alias that the mapping invokes.
    function: DisplayName
    #: Id of the event source mapping.
    mapping: str
    #: The mapping's state: Enabled, Disabled, or in between.
    state: str
    #: Maximum number of messages in a batch.
    batch_size: int
    #: How long Lambda waits for a batch to fill up, in seconds.
    batching_window: int = 0
    #: Maximum number of concurrent batches; None if only the function's and the account's concurrency limit them.
    max_concurrency: int | None = None
    #: Whether the function reports which messages of a batch failed.
    reports_failures: bool = False
    #: Whether Lambda drops messages that don't match a filter.
    filtered: bool = False
    #: The function's timeout in seconds; None if it can't be read.
    timeout: int | None = None
    #: Name of its log group; None if it can't be read.
    log_group: str | None = None


class ConsumedQueue(Model):
    """A queue that messages go to, with its consumers."""

    queue: DisplayName
    #: In seconds.
    visibility_timeout: int
    #: Receives after which SQS moves a message to the dead-letter queue; None without a redrive policy.
    max_receives: int | None
    #: None if the mappings can't be listed. Only functions in this account are found.
    consumers: tuple[Consumer, ...] | None
    warnings: tuple[ConsumerWarning, ...] = ()


def warnings_of(queue: ConsumedQueue, url: str, redrive_policy: str | None) -> Iterator[ConsumerWarning]:
    """Yield the settings that would hurt a redrive to a queue.

    Parameters
    ----------
    queue : ConsumedQueue
        The queue; its own warnings are ignored.
    url : str
        Its URL.
    redrive_policy : str | None
        Its redrive policy, as SQS returns it.
    """
    for consumer in queue.consumers or ():
        yield from _of_mapping(queue.queue, consumer)
    needed = max((_visibility_needed(consumer) for consumer in queue.consumers or ()), default=0)
    if queue.visibility_timeout < needed:
        yield ConsumerWarning(
            text=_too_short(queue, needed),
            remedy=f"aws sqs set-queue-attributes --queue-url {url} --attributes VisibilityTimeout={needed}",
        )
    if queue.consumers and queue.max_receives is not None and queue.max_receives < _RECEIVES:
        policy = json.dumps(json.loads(redrive_policy or "{}") | {"maxReceiveCount": _RECEIVES})
        attributes = shell_word(json.dumps({"RedrivePolicy": policy}))
        yield ConsumerWarning(
            text=f"{queue.queue} moves a message to the dead-letter queue after {queue.max_receives} receives, and "
            f"throttled batches count as receives. AWS recommends at least {_RECEIVES}.",
            remedy=f"aws sqs set-queue-attributes --queue-url {url} --attributes {attributes}",
        )


def _of_mapping(queue: str, consumer: Consumer) -> Iterator[ConsumerWarning]:
    function, update = consumer.function, f"aws lambda update-event-source-mapping --uuid {consumer.mapping}"
    if consumer.state in _OFF:
        yield ConsumerWarning(
            text=f"{function} doesn't receive from {queue}: its event source mapping is {consumer.state.lower()}. "
            "Redriven messages would only pile up.",
            remedy=f"{update} --enabled",
        )
    if consumer.filtered:
        # Lambda developer guide, "Control which events Lambda sends to your function".
        yield ConsumerWarning(
            text=f"{function} has filter criteria on {queue}. Lambda deletes messages that don't match, including "
            "redriven ones.",
            remedy=f"aws lambda get-event-source-mapping --uuid {consumer.mapping} --query FilterCriteria",
        )
    if consumer.batch_size > 1 and not consumer.reports_failures:
        # Lambda developer guide, "Handling errors for an SQS event source in Lambda".
        yield ConsumerWarning(
            text=f"{function} takes batches of up to {consumer.batch_size:,} from {queue} and doesn't report which "
            "messages failed, so one bad message sends its whole batch back. If its code returns batchItemFailures, "
            "turn on ReportBatchItemFailures; otherwise, use batches of 1.",
            remedy=f"{update} --function-response-types ReportBatchItemFailures",
        )


def _visibility_needed(consumer: Consumer) -> int:
    if consumer.timeout is None:
        return 0
    return min(_TIMES_TIMEOUT * consumer.timeout + consumer.batching_window, _MAX_VISIBILITY)


def _too_short(queue: ConsumedQueue, needed: int) -> str:
    slowest = max(consumer.timeout or 0 for consumer in queue.consumers or ())
    if queue.visibility_timeout < slowest:
        # Lambda refuses to create such a mapping, but the queue may have changed since.
        return (
            f"The visibility timeout of {queue.queue} is {queue.visibility_timeout} s, and a function that consumes it "
            f"may run for {slowest} s. Messages come back while it works on them, and fail again. AWS recommends "
            f"{needed} s."
        )
    return (
        f"The visibility timeout of {queue.queue} is {queue.visibility_timeout} s. AWS recommends {needed} s: six "
        "times the function's timeout, plus the batching window, so throttled batches aren't received again too early."
    )
