"""SQS clients that fail as a test requests, or call back, and forward every other call.

The integration tests of the pipeline use them, because moto accepts every entry of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any


class FaultySqs:
    """A client that rejects some entries of its first batch request of one kind.

    Parameters
    ----------
    client : Any
        The client that gets every other call.
    method : str
        The batch method that fails, such as `send_message_batch`.
    places : Collection[int]
        Indexes of the entries in the first batch that are listed under `Failed`.
    code : str
        The error code of those entries.
    sender_fault : bool
        Whether the error is the sender's fault, so a retry would fail too.
    """

    def __init__(
        self, client: Any, method: str, places: Collection[int], code: str, *, sender_fault: bool = False
    ) -> None:
        self._client = client
        self._method = method
        self._places = places
        self._failure = {"Code": code, "SenderFault": sender_fault, "Message": "as the test wants it"}
        self.failed: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name == self._method and not self.failed:
            return self._batch
        return getattr(self._client, name)

    def _batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.failed = [entry for place, entry in enumerate(Entries) if place in self._places]
        accepted = [entry for entry in Entries if entry not in self.failed]
        answer: dict[str, Any] = getattr(self._client, self._method)(QueueUrl=QueueUrl, Entries=accepted)
        return answer | {"Failed": [{"Id": entry["Id"], **self._failure} for entry in self.failed]}


class ObservedSqs:
    """A client that calls back before each batch is sent, so a test can act in the middle of a run."""

    def __init__(self, client: Any, before_send: Callable[[], None]) -> None:
        self._client = client
        self._before_send = before_send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_message_batch(self, **request: Any) -> Any:
        self._before_send()
        return self._client.send_message_batch(**request)


class TimedSqs:
    """A client that notes when messages are sent to each queue, by its URL."""

    def __init__(self, client: Any, times: dict[str, list[float]]) -> None:
        self._client = client
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_message_batch(self, **request: Any) -> Any:
        self._times.setdefault(request["QueueUrl"], []).append(time.monotonic())
        return self._client.send_message_batch(**request)
