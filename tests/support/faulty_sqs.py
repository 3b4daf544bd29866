"""An SQS client that fails where a test wants it to; everything else goes to the client behind it.

Used by the integration tests of the pipeline, since moto accepts every entry of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any


class FaultySqs:
    """A client whose first batch request of one kind fails in some places.

    Parameters
    ----------
    client : Any
        The client that carries out the rest.
    method : str
        The batch method that fails, such as `send_message_batch`.
    places : Collection[int]
        Places in the first batch that are listed under `Failed` and not carried out.
    code : str
        The error code of those entries.
    sender_fault : bool
        Whether SQS calls it the sender's fault, so that another attempt would fail as well.
    """

    def __init__(
        self, client: Any, method: str, places: Collection[int], code: str, *, sender_fault: bool = False
    ) -> None:
        self._client = client
        self._method = method
        self._places = places
        self._told = {"Code": code, "SenderFault": sender_fault, "Message": "as the test wants it"}
        self.failed: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name == self._method and not self.failed:
            return self._batch
        return getattr(self._client, name)

    def _batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.failed = [entry for place, entry in enumerate(Entries) if place in self._places]
        accepted = [entry for entry in Entries if entry not in self.failed]
        answer: dict[str, Any] = getattr(self._client, self._method)(QueueUrl=QueueUrl, Entries=accepted)
        return answer | {"Failed": [{"Id": entry["Id"], **self._told} for entry in self.failed]}


class TellingSqs:
    """A client that tells before each batch is sent, so that something can happen in the middle of a run."""

    def __init__(self, client: Any, before_send: Callable[[], None]) -> None:
        self._client = client
        self._before_send = before_send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_message_batch(self, **request: Any) -> Any:
        self._before_send()
        return self._client.send_message_batch(**request)
