"""A proxy before the local endpoint: holds each request back for a network's time and writes each call down.

`bench.endpoint` starts it as a process of its own and talks to it over standard input and output.
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
    """One request: when it came and was answered (seconds, monotonic), what it asked for, entries it sent."""

    arrived: float
    answered: float
    operation: str
    entries: int


class Ledger:
    """The calls since they were last taken, and how many batches are still to get a failed entry."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.batches_to_fail = 0


class Inbound(asyncio.Protocol):
    """One client's connection, with a connection of its own to the endpoint.

    Parameters
    ----------
    port : int
        The endpoint's port.
    delay : float
        Seconds that each request is held back.
    ledger : Ledger
        Where calls are written down.
    """

    def __init__(self, port: int, delay: float, ledger: Ledger) -> None:
        self._port = port
        self._delay = delay
        self._ledger = ledger
        self._client: asyncio.Transport
        self._endpoint: asyncio.Transport | None = None
        self._request = bytearray()
        self._answer = bytearray()
        self._call: Call | None = None
        self._failed_id: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the client's connection."""
        assert isinstance(transport, asyncio.Transport)
        self._client = transport

    def connection_lost(self, _exception: Exception | None) -> None:
        """Close the other side too."""
        if self._endpoint is not None:
            self._endpoint.close()

    def data_received(self, data: bytes) -> None:
        """Collect a request; once it is complete and its time has come, pass it on."""
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
        asyncio.get_running_loop().call_later(self._delay, self._pass_on, request)

    def _pass_on(self, request: bytes) -> None:
        if self._client.is_closing():
            return
        if self._endpoint is None:
            self._connecting = asyncio.ensure_future(self._connect_and_pass_on(request))
        else:
            self._endpoint.write(request)

    async def _connect_and_pass_on(self, request: bytes) -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: Outbound(self), "127.0.0.1", self._port
        )
        self._endpoint = transport
        transport.write(request)

    def answered(self, data: bytes) -> None:
        """Pass a part of the endpoint's answer back."""
        if self._call is not None:
            self._call.answered = time.monotonic()
        if self._failed_id is not None:
            self._answer += data
            answer = _complete(self._answer)
            if answer is None:
                return
            data = with_failed_entry(answer, self._failed_id)
            self._answer.clear()
            self._failed_id = None
        self._client.write(data)

    def endpoint_closed(self) -> None:
        """Close the client's connection, as the endpoint did with its own."""
        self._client.close()


class Outbound(asyncio.Protocol):
    """The connection to the endpoint that serves one client's connection."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    def data_received(self, data: bytes) -> None:
        """Pass a part of the answer back."""
        self._inbound.answered(data)

    def connection_lost(self, _exception: Exception | None) -> None:
        """Tell the client's side."""
        self._inbound.endpoint_closed()


def _complete(received: bytearray) -> bytes | None:
    """Return the HTTP message if all of it is there. Clients and endpoint here send one at a time."""
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
    asked = json.loads(body)
    failed_id: str = asked["Entries"].pop(0)["Id"]
    return _joined(head, asked), failed_id


def with_failed_entry(answer: bytes, failed_id: str) -> bytes:
    """Return the answer to a SendMessageBatch with one more entry under `Failed`."""
    head, body = answer.split(_END_OF_HEAD, 1)
    told = json.loads(body)
    told.setdefault("Failed", []).append(
        {"Id": failed_id, "SenderFault": False, "Code": "InternalError", "Message": "Not taken."}
    )
    return _joined(head, told)


def _joined(head: bytes, content: Any) -> bytes:
    body = json.dumps(content).encode()
    return _LENGTH.sub(b"\r\nContent-Length: %d" % len(body), head) + _END_OF_HEAD + body


async def serve(endpoint_port: int, delay: float) -> None:
    """Serve until standard input closes.

    Writes the port it listens on, then answers each line read: `take` with the calls since the last one, as
    JSON, and `fail` with an empty list, after which one entry of the next batch sent fails.
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
