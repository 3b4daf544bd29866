"""A proxy between the app's functions and the embedded cloud that injects the faults of schedules.

It finds a request's schedule by the names in the request, counts the schedule's requests by operation, and lets the
schedule's faults hit their places. The state machine's tasks ask it, too (`local.ministack_compat.task_gate`).
`tests.faults.suite` runs it in a thread.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.faults.schedules import PREFIX, Fault, Kind, Schedule

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *([\w.]+)", re.IGNORECASE)
_FUNCTION_PATH = re.compile(rb"^POST /2015-03-31/functions/[^ ]+/invocations")
_SCHEDULE = re.compile(PREFIX.encode() + rb"(\d+)-")
_GATE_PATH = b"POST /task-gate "
# Clients give up earlier.
_LONGEST = 75.0


@dataclass
class Traffic:
    """What a schedule has requested so far, and what hit it."""

    schedule: Schedule
    #: Called in a thread of its own when the schedule makes the request that it's stopped at.
    stop: Callable[[], None]
    places: Counter[str] = field(default_factory=Counter)
    hits: list[str] = field(default_factory=list)
    last_at: float = field(default_factory=time.monotonic)
    open: int = 0
    enabled: bool = True

    def fault_of(self, operation: str) -> Fault | None:
        """Count a request and return what happens to it."""
        place, self.last_at = self.places[operation], time.monotonic()
        self.places[operation] += 1
        if not self.enabled:
            return None
        if self.schedule.stop_at == (operation, place):
            self.hits.append(f"stopped at {operation} {place}")
            threading.Thread(target=self.stop, daemon=True).start()
        for fault in self.schedule.faults:
            if fault.hits(operation, place):
                self.hits.append(f"{fault.kind} {operation} {place}")
                return fault
        return None

    def quiet_for(self, now: float) -> float:
        """Return the seconds since the last request, 0 while one is open."""
        return 0.0 if self.open else now - self.last_at


class Proxy:
    """Forwards requests to an endpoint on this machine, or doesn't."""

    def __init__(self) -> None:
        self.endpoint_port = 0
        #: The process group of the embedded cloud whose workers may be killed.
        self.cloud_group = 0
        self._traffic: dict[int, Traffic] = {}
        # The event loop itself keeps weak references only.
        self._connections: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def watch(self, schedule: Schedule, stop: Callable[[], None]) -> Traffic:
        """Inject a schedule's faults from now on."""
        traffic = self._traffic[schedule.seed] = Traffic(schedule, stop)
        return traffic

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            while (request := await _read_message(reader)) is not None:
                if not await self._answer(request, reader, writer):
                    break
        writer.close()
        self._connections.discard(task)

    async def _answer(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; return whether the connection stays open."""
        if request.startswith(_GATE_PATH):
            writer.write(self._gate(request))
            return True
        operation, traffic = _operation_of(request), self._traffic_of(request)
        if traffic is None:
            writer.write(await self._forward(request))
            return True
        fault = traffic.fault_of(operation)
        traffic.open += 1
        try:
            if fault is None:
                writer.write(await self._forward(request))
                return True
            return await self._injure(fault, operation, request, reader, writer)
        finally:
            traffic.open -= 1

    async def _injure(
        self,
        fault: Fault,
        operation: str,
        request: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Let a fault hit a request; return whether the connection stays open."""
        if (refusal := _refusal(fault, operation)) is not None:
            writer.write(refusal)
            return True
        if fault.kind is Kind.PARTIAL:
            writer.write(await self._forward_some(request, fault.amount))
            return True
        if fault.kind not in {Kind.RESET, Kind.KILLED}:
            response = await self._forward(request)
        match fault.kind:
            case Kind.ERROR_AFTER:
                writer.write(_error(operation, 500, "InternalError"))
            case Kind.SLOW:
                await _dribble(writer, response, 4 * fault.amount)
            case Kind.RESET | Kind.RESET_AFTER:
                _reset(writer)
            case Kind.KILLED | Kind.KILLED_AFTER:
                self._kill(writer)
            case Kind.TRUNCATED:
                writer.write(response[: max(1, int(fault.amount * (len(response) - 1)))])
                await writer.drain()
            case Kind.TIMEOUT:
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), _LONGEST)
            case _:
                raise AssertionError(f"{fault} is for tasks only")
        return fault.kind in {Kind.ERROR_AFTER, Kind.SLOW}

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.endpoint_port, limit=2**24)
        try:
            writer.write(request)
            return await _read_message(reader) or _error("", 502, "NoAnswer")
        finally:
            writer.close()

    async def _forward_some(self, request: bytes, share: float) -> bytes:
        """Carry out a batch without some of its entries, which are listed as failed."""
        head, body = request.split(_END_OF_HEAD, 1)
        content = json.loads(body)
        entries: Sequence[Any] = content["Entries"]
        fails = max(1, round(share * len(entries)))
        # Every other one first, so the entries that fail and succeed alternate.
        failed = [entries[place] for place in [*range(0, len(entries), 2), *range(1, len(entries), 2)][:fails]]
        rest = [entry for entry in entries if entry not in failed]
        answer: dict[str, Any] = {}
        answer_head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nContent-Length: 0"
        if rest:
            response = await self._forward(_joined(head, content | {"Entries": rest}))
            answer_head, answer_body = response.split(_END_OF_HEAD, 1)
            answer = json.loads(answer_body)
            if not answer_head.startswith(b"HTTP/1.1 200"):
                return response
        answer["Failed"] = answer.get("Failed", []) + [
            {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "Not carried out."}
            for entry in failed
        ]
        return _joined(answer_head, answer)

    def _gate(self, request: bytes) -> bytes:
        """Return what happens to a task: nothing, or an error before, after, or while its function runs."""
        task = json.loads(request.split(_END_OF_HEAD, 1)[1])
        traffic = self._traffic_of(request)
        fault = traffic.fault_of("Task." + _task_name(task)) if traffic else None
        return _response(200, json.dumps(_task_fault(task, fault) if fault else {}).encode())

    def _traffic_of(self, request: bytes) -> Traffic | None:
        found = _SCHEDULE.search(request)
        return self._traffic.get(int(found[1])) if found else None

    def _kill(self, writer: asyncio.StreamWriter) -> None:
        """Kill the worker process that made a request."""
        pid = _worker_at(writer.get_extra_info("peername")[1], self.port, self.cloud_group)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


async def _read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Return one HTTP message, or None if the connection ended before it."""
    try:
        head = await reader.readuntil(_END_OF_HEAD)
    except asyncio.IncompleteReadError:
        return None
    if _CHUNKED.search(head):
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return _CHUNKED.sub(b"\r\nContent-Length: %d" % len(body), head) + body
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _dribble(writer: asyncio.StreamWriter, response: bytes, seconds: float) -> None:
    size = len(response) // 4 + 1
    for start in range(0, len(response), size):
        await asyncio.sleep(seconds / 4)
        writer.write(response[start : start + size])
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    # Closing a socket that doesn't linger sends RST (socket(7)).
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _operation_of(request: bytes) -> str:
    if found := _TARGET.search(request, 0, request.find(_END_OF_HEAD)):
        return found[1].decode()
    return "Lambda.Invoke" if _FUNCTION_PATH.match(request) else "other"


def _task_name(task: dict[str, Any]) -> str:
    if "lambda:invoke" not in task["resource"]:
        return str(task["resource"]).rsplit(":", 1)[-1]
    payload = task["arguments"]["Payload"]
    return str(payload.get("step") or ("move" if "work" in payload else "sample"))


def _task_fault(task: dict[str, Any], fault: Fault) -> dict[str, str]:
    service = "Lambda" if "lambda:invoke" in task["resource"] else "SNS"
    names = {
        # Step Functions Developer Guide, "Handling errors": errors of the Lambda integration.
        ("Lambda", Kind.THROTTLED): "Lambda.TooManyRequestsException",
        ("Lambda", Kind.UNAVAILABLE): "Lambda.ServiceException",
        ("Lambda", Kind.ERROR_AFTER): "Lambda.SdkClientException",
        ("Lambda", Kind.OVERTAKEN): "Lambda.SdkClientException",
        ("SNS", Kind.THROTTLED): "SNS.ThrottledException",
        ("SNS", Kind.UNAVAILABLE): "SNS.InternalErrorException",
        ("SNS", Kind.ERROR_AFTER): "SNS.SdkClientException",
    }
    when = {Kind.ERROR_AFTER: "after", Kind.OVERTAKEN: "meanwhile"}.get(fault.kind, "before")
    return {"when": when, "error": names[service, fault.kind], "cause": f"injected: {fault.kind}"}


def _refusal(fault: Fault, operation: str) -> bytes | None:
    """Return the answer to a request that isn't carried out, or None if it's another fault."""
    if fault.kind is Kind.THROTTLED:
        return _error(operation, *_throttled(operation))
    return _error(operation, 503, "ServiceUnavailable") if fault.kind is Kind.UNAVAILABLE else None


def _throttled(operation: str) -> tuple[int, str]:
    if operation.startswith("DynamoDB"):
        return 400, "ProvisionedThroughputExceededException"
    if operation.startswith("Lambda"):
        return 429, "TooManyRequestsException"
    return (403, "RequestThrottled") if operation.startswith("AmazonSQS") else (400, "ThrottlingException")


def _error(operation: str, status: int, code: str) -> bytes:
    body = json.dumps({"__type": f"com.amazonaws.service#{code}", "message": "injected", "Message": "injected"})
    headers = [f"x-amzn-ErrorType: {code}"]
    if operation.startswith("AmazonSQS"):
        fault = "Sender" if status < 500 else "Receiver"
        headers.append(f"x-amzn-query-error: {code};{fault}")
    return _response(status, body.encode(), headers)


def _response(status: int, body: bytes, headers: Sequence[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status} Injected", "Content-Type: application/x-amz-json-1.0", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}"]).encode() + _END_OF_HEAD + body


def _joined(head: bytes, content: Any) -> bytes:
    body = json.dumps(content).encode()
    return _LENGTH.sub(b"\r\nContent-Length: %d" % len(body), head) + _END_OF_HEAD + body


def _worker_at(port: int, proxy_port: int, cloud_group: int) -> int | None:
    """Return the worker process of a cloud whose connection to the proxy has a port, if it still runs."""
    inode = _inode_of(port, proxy_port)
    if inode is None:
        return None
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        with suppress(OSError):
            if os.getpgid(pid) != cloud_group or pid == cloud_group:
                continue
            if b"AWS_LAMBDA_FUNCTION_NAME=" not in (directory / "environ").read_bytes():
                continue
            if any(str(link.readlink()) == f"socket:[{inode}]" for link in (directory / "fd").iterdir()):
                return pid
    return None


def _inode_of(port: int, proxy_port: int) -> str | None:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        # proc_net(5): local and remote address in hexadecimal; field 9 is the inode.
        fields = line.split()
        local, remote = (int(address.rsplit(":", 1)[1], 16) for address in fields[1:3])
        if (local, remote) == (port, proxy_port):
            return fields[9]
    return None
