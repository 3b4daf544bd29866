"""A proxy in front of the local endpoint: delays each request by a network round trip and records each call.

`bench.endpoint` runs it in a separate process and controls it through standard input and output.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *(\w+)\.(\w+)", re.IGNORECASE)
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_QUERY_ENTRY = re.compile(rb"RequestEntry\.\d+\.Id=")
_SEND_BATCH = "AmazonSQS.SendMessageBatch"


@dataclass(slots=True)
class Call:
    """One request."""

    #: When it arrived and was answered, in seconds of a monotonic clock.
    arrived: float
    answered: float
    operation: str
    #: Entries of a SendMessageBatch; 1 for other requests.
    entries: int


class Ledger:
    """The calls since they were last taken, and the number of batches in which an entry must still fail."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.batches_to_fail = 0


class Inbound(asyncio.Protocol):
    """A client's connection, which has its own connection to the endpoint.

    Parameters
    ----------
    port : int
        The endpoint's port.
    delay : float
        Seconds by which each request is delayed.
    ledger : Ledger
        Records the calls.
    """

    def __init__(self, port: int, delay: float, ledger: Ledger) -> None:
        self._port = port
        self._delay = delay
        self._ledger = ledger
        self._client: asyncio.Transport
        self._endpoint: asyncio.Transport | None = None
        self._request = bytearray()
        self._response = bytearray()
        self._call: Call | None = None
        self._failed_id: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the client's connection."""
        assert isinstance(transport, asyncio.Transport)
        self._client = transport

    def connection_lost(self, _exception: Exception | None) -> None:
        """Close the connection to the endpoint, too."""
        if self._endpoint is not None:
            self._endpoint.close()

    def data_received(self, data: bytes) -> None:
        """Buffer a request; forward it after the delay once it is complete."""
        self._request += data
        request = _complete(self._request)
        if request is None:
            return
        self._request.clear()
        self._call = _call_of(request)
        self._ledger.calls.append(self._call)
        if self._call.operation == _SEND_BATCH and self._ledger.batches_to_fail:
            self._ledger.batches_to_fail -= 1
            request, self._failed_id = without_first_entry(request)
        asyncio.get_running_loop().call_later(self._delay, self._forward, request)

    def _forward(self, request: bytes) -> None:
        if self._client.is_closing():
            return
        if self._endpoint is None:
            self._connecting = asyncio.ensure_future(self._connect_and_forward(request))
        else:
            self._endpoint.write(request)

    async def _connect_and_forward(self, request: bytes) -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: Outbound(self), "127.0.0.1", self._port
        )
        self._endpoint = transport
        transport.write(request)

    def answered(self, data: bytes) -> None:
        """Return a part of the endpoint's response to the client."""
        if self._call is not None:
            self._call.answered = time.monotonic()
        if self._failed_id is not None:
            self._response += data
            response = _complete(self._response)
            if response is None:
                return
            data = with_failed_entry(response, self._failed_id)
            self._response.clear()
            self._failed_id = None
        self._client.write(data)

    def endpoint_closed(self) -> None:
        """Close the client's connection, because the endpoint closed its own."""
        self._client.close()


class Outbound(asyncio.Protocol):
    """The connection to the endpoint for one client's connection."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    def data_received(self, data: bytes) -> None:
        """Return a part of the response to the client."""
        self._inbound.answered(data)

    def connection_lost(self, _exception: Exception | None) -> None:
        """Close the client's connection, too."""
        self._inbound.endpoint_closed()


def _complete(received: bytearray) -> bytes | None:
    """Return the HTTP message if it is complete. The clients and the endpoint send one at a time."""
    head = received.find(_END_OF_HEAD)
    if head < 0:
        return None
    length = _LENGTH.search(received, 0, head)
    end = head + len(_END_OF_HEAD) + (int(length[1]) if length else 0)
    return bytes(received) if len(received) >= end else None


def _call_of(request: bytes) -> Call:
    now = time.monotonic()
    head, body = request.split(_END_OF_HEAD, 1)
    if target := _TARGET.search(head):
        operation = f"{target[1].decode()}.{target[2].decode()}"
        entries = len(json.loads(body)["Entries"]) if operation == _SEND_BATCH else 1
    else:
        # The older query protocol.
        action = _ACTION.search(body)
        operation = f"AmazonSQS.{action[1].decode()}" if action else "unknown"
        entries = len(_QUERY_ENTRY.findall(body)) if operation == _SEND_BATCH else 1
    return Call(now, now, operation, entries)


def without_first_entry(request: bytes) -> tuple[bytes, str]:
    """Return a SendMessageBatch request without its first entry, and that entry's id."""
    head, body = request.split(_END_OF_HEAD, 1)
    content = json.loads(body)
    failed_id: str = content["Entries"].pop(0)["Id"]
    return _joined(head, content), failed_id


def with_failed_entry(response: bytes, failed_id: str) -> bytes:
    """Return the response to a SendMessageBatch with one more entry under `Failed`."""
    head, body = response.split(_END_OF_HEAD, 1)
    content = json.loads(body)
    content.setdefault("Failed", []).append(
        {"Id": failed_id, "SenderFault": False, "Code": "InternalError", "Message": "Not accepted."}
    )
    return _joined(head, content)


def _joined(head: bytes, content: Any) -> bytes:
    body = json.dumps(content).encode()
    return _LENGTH.sub(b"\r\nContent-Length: %d" % len(body), head) + _END_OF_HEAD + body


async def serve(endpoint_port: int, delay: float) -> None:
    """Serve until standard input closes.

    Prints the port that it listens on. Then it responds to each line of input: to `take` with the calls since the last
    `take`, as JSON, and to `fail` with an empty list, and lets one entry of the next SendMessageBatch fail.
    """
    loop = asyncio.get_running_loop()
    ledger = Ledger()
    server = await loop.create_server(lambda: Inbound(endpoint_port, delay, ledger), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).strip():
        calls: list[Call] = []
        if command == b"take":
            calls, ledger.calls = ledger.calls, []
        else:
            ledger.batches_to_fail = 1
        print(json.dumps([[c.arrived, c.answered, c.operation, c.entries] for c in calls]), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
