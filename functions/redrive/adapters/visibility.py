"""Receives messages to look at them, and makes them visible again.

Used by `redrive.adapters.sqs` for the steps of a run, and by `redrive.adapters.account` for the age of messages.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.error_codes import DENIED, NO_QUEUE
from redrive.domain.errors import NotReleasedError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Any value above 0 makes SQS query all its servers (SQS developer guide, "Short and long polling").
POLL_SECONDS = 1
_LIMIT = {"OverLimit", "AWS.SimpleQueueService.OverLimit"}
_RELEASE_THREADS = 8
_RELEASE_ATTEMPTS = 5


def receive(client: SQSClient, url: str, limit: int, visibility: int) -> list[dict[str, Any]]:
    """Return at most ten messages of a queue, none if too many are in flight.

    Parameters
    ----------
    client : SQSClient
        Makes the request.
    url : str
        The queue.
    limit : int
        Return at most this many messages.
    visibility : int
        Seconds until they are visible again if nobody releases them.
    """
    try:
        response = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=visibility,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _LIMIT:
            return []
        raise
    return [dict(message) for message in response.get("Messages", [])]


def release(
    client: SQSClient, queue: str, url: str, handles: Iterable[str], pause: Callable[[float], None] = time.sleep
) -> int:
    """Make messages visible again; return how many can't be, which become visible when their timeout expires.

    Parameters
    ----------
    client : SQSClient
        Makes the requests.
    queue, url : str
        The queue's name and URL.
    handles : Iterable[str]
        Receipt handles of the messages.
    pause : Callable[[float], None]
        Waits for so many seconds.

    Raises
    ------
    NotReleasedError
        If requests still fail after some attempts, and trying again may help.
    """
    waiting = list(handles)
    not_released = 0
    for attempt in range(_RELEASE_ATTEMPTS):
        if attempt:
            # AWS Builders' Library, "Timeouts, retries and backoff with jitter".
            pause(2.0**attempt * random.uniform(0.5, 1.0))
        with ThreadPoolExecutor(_RELEASE_THREADS) as pool:
            outcomes = list(pool.map(lambda batch: _release(client, url, batch), batched(waiting, 10, strict=False)))
        waiting = [handle for again, _ in outcomes for handle in again]
        not_released += sum(refused for _, refused in outcomes)
        if not waiting:
            return not_released
    raise NotReleasedError(
        f"Expected {len(waiting)} messages of {queue} to become visible again, but SQS doesn't carry out the requests "
        "at the moment. They become visible when their timeout expires, or when the next run on the queue begins."
    )


def _release(client: SQSClient, url: str, handles: Sequence[str]) -> tuple[list[str], int]:
    """Release a batch; return the handles to try again with, and how many messages can't be released at all.

    A message that isn't in flight is visible already (SQS API reference, ChangeMessageVisibility).
    """
    try:
        response = client.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for index, handle in enumerate(handles)
            ],
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in NO_QUEUE:
            return [], 0
        if code in DENIED:
            return [], len(handles)
        return list(handles), 0
    except BotoCoreError:
        return list(handles), 0
    # What SQS lists neither as successful nor as failed is tried again.
    done = {int(entry["Id"]) for entry in response.get("Successful", [])}
    refused = {int(entry["Id"]): entry["Code"] for entry in response.get("Failed", []) if entry["SenderFault"]}
    again = [handle for place, handle in enumerate(handles) if place not in done | refused.keys()]
    return again, sum(not code.endswith("MessageNotInflight") for code in refused.values())
