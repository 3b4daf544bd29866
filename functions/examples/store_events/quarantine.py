"""Peeks at the quarantine: every message stays in it and is visible again afterward.

Called by the store events notice.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING

from redrive.domain.messages.message import ReceivedMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Consecutive empty long polls after which the queue counts as empty.
_EMPTY_POLLS = 2


@dataclass(slots=True)
class QuarantinePeek:
    """What to peek at in the quarantine, and whether that was everything."""

    client: SQSClient
    url: str
    #: Maximum number of messages.
    most: int
    #: How long to keep receiving.
    seconds: float
    #: Set at the end: the quarantine was seen empty, so these were all visible messages.
    complete: bool = False
    _handles: dict[str, str] = field(default_factory=dict)

    def messages(self) -> Generator[ReceivedMessage]:
        """Yield each message once. When the generator ends, for any reason, all are visible again."""
        ends_at, empty_polls = time.monotonic() + self.seconds, 0
        try:
            while len(self._handles) < self.most and empty_polls < _EMPTY_POLLS and time.monotonic() < ends_at:
                fresh = self._receive()
                empty_polls = 0 if fresh else empty_polls + 1
                yield from fresh
            self.complete = empty_polls >= _EMPTY_POLLS
        finally:
            self._release()

    def _receive(self) -> list[ReceivedMessage]:
        response = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=min(10, self.most - len(self._handles)),
            WaitTimeSeconds=1,
            VisibilityTimeout=int(self.seconds) + 60,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        fresh = []
        for message in response.get("Messages", []):
            if message["MessageId"] not in self._handles:
                fresh.append(ReceivedMessage.from_sqs(message))
            self._handles[message["MessageId"]] = message["ReceiptHandle"]
        return fresh

    def _release(self) -> None:
        for handles in batched(self._handles.values(), 10, strict=False):
            self.client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                    for index, handle in enumerate(handles)
                ],
            )
