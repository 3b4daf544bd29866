"""The benchmarks' SQS endpoint: serves in-memory queues over HTTP, and delays and records each request.

`bench.endpoint` runs it in a separate process and controls it through standard input and output. It does as little as
possible per request, so that the benchmarks measure the tools: no framework, no signature, no database.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from bench.queue_service import QueueService, RefusalError

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *AmazonSQS\.(\w+)", re.IGNORECASE)
_SEND_BATCH = "SendMessageBatch"
# Seconds between checks of a queue during a long poll.
_POLL_SECONDS = 0.02
_OK = b"HTTP/1.1 200 OK\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\n"


@dataclass(slots=True)
class Call:
    """One request."""

    #: When it arrived and was answered, in seconds of a monotonic clock.
    arrived: float
    answered: float
    operation: str
    #: Entries of a SendMessageBatch; 1 for other requests.
    entries: int
    #: URL of the queue; empty if the request names none.
    queue: str


@dataclass(slots=True)
class Ledger:
    """The calls since the last `take`, and the failure to inject."""

    calls: list[Call] = field(default_factory=list)
    #: URL of the queue whose next SendMessageBatch gets a failed entry.
    fails_at: str | None = None
    #: The process's processor time at the last `take`.
    cpu_since: float = 0.0


class Connection(asyncio.Protocol):
    """A client's connection. The clients send one request at a time.

    Parameters
    ----------
    service : QueueService
        Carries out the requests.
    delay : float
        Seconds by which each request is delayed.
    ledger : Ledger
        Records the calls.
    """

    def __init__(self, service: QueueService, delay: float, ledger: Ledger) -> None:
        self._service = service
        self._delay = delay
        self._ledger = ledger
        self._transport: asyncio.Transport
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Buffer a request. Once it's complete, carry it out after the delay."""
        self._received += data
        end_of_head = self._received.find(_END_OF_HEAD)
        if end_of_head < 0:
            return
        length = _LENGTH.search(self._received, 0, end_of_head)
        body = end_of_head + len(_END_OF_HEAD)
        if len(self._received) < body + (int(length[1]) if length else 0):
            return
        target = _TARGET.search(self._received, 0, end_of_head)
        operation = target[1].decode() if target else "unknown"
        request = json.loads(self._received[body:] or b"{}")
        self._received.clear()
        now = time.monotonic()
        entries = len(request.get("Entries", "1")) if operation == _SEND_BATCH else 1
        call = Call(now, now, operation, entries, request.get("QueueUrl", ""))
        self._ledger.calls.append(call)
        until = now + self._delay + int(request.get("WaitTimeSeconds", 0))
        asyncio.get_running_loop().call_later(self._delay, self._perform, request, call, until)

    def _perform(self, request: dict[str, Any], call: Call, until: float) -> None:
        # Don't receive messages for a client that has disconnected.
        if self._transport.is_closing():
            return
        failed: list[dict[str, Any]] = []
        if call.operation == _SEND_BATCH and request["QueueUrl"] == self._ledger.fails_at:
            self._ledger.fails_at = None
            entry_id = request["Entries"].pop(0)["Id"]
            failed = [{"Id": entry_id, "SenderFault": False, "Code": "InternalError", "Message": "Not accepted."}]
        try:
            operation = self._service.operations.get(call.operation)
            if operation is None:
                raise RefusalError("InvalidAction")
            answer = operation(request)
        except RefusalError as error:
            query_error = f"x-amzn-query-error: {error.query_code};Sender\r\n".encode()
            self._answer(call, _BAD_REQUEST + query_error, {"__type": error.code, "message": error.code})
            return
        if call.operation == "ReceiveMessage" and not answer and time.monotonic() < until:
            asyncio.get_running_loop().call_later(_POLL_SECONDS, self._perform, request, call, until)
            return
        self._answer(call, _OK, answer | {"Failed": failed} if failed else answer)

    def _answer(self, call: Call, head: bytes, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        call.answered = time.monotonic()
        # The headers of SQS's answers in its JSON protocol, as botocore logs them.
        lines = (
            f"x-amzn-RequestId: {uuid.uuid4()}",
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
            "Content-Type: application/x-amz-json-1.0",
            f"Content-Length: {len(body)}",
            "connection: keep-alive",
        )
        self._transport.write(b"%b%b\r\n\r\n%b" % (head, "\r\n".join(lines).encode(), body))


async def serve(delay: float) -> None:
    """Serve until standard input closes.

    Prints the port that it listens on. Then it answers each line of input with a line of JSON. `take` returns the calls
    since the last `take` and the processor time that they took. `fail URL` makes one entry of the next SendMessageBatch
    to that queue fail, and returns an empty object.
    """
    loop = asyncio.get_running_loop()
    ledger = Ledger()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    service = QueueService(f"http://127.0.0.1:{port}")
    _server = await loop.create_server(lambda: Connection(service, delay, ledger), sock=listener)
    print(port, flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).strip():
        answer: dict[str, Any] = {}
        if command == b"take":
            calls, ledger.calls = ledger.calls, []
            answer["cpu_seconds"] = time.process_time() - ledger.cpu_since
            answer["calls"] = [
                [call.arrived, call.answered, call.operation, call.entries, call.queue] for call in calls
            ]
        else:
            ledger.fails_at = command.removeprefix(b"fail ").decode()
        print(json.dumps(answer), flush=True)
        ledger.cpu_since = time.process_time()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
