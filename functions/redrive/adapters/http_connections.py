"""Keeps connections to one HTTP endpoint open and makes POST requests on them.

Used by `redrive.adapters.batch_client`. Timeouts, certificates, and errors are the same as in botocore's own HTTP
session, because a lane decides by the error whether a request may have been carried out.
"""

from __future__ import annotations

import io
import re
import select
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context, get_cert_path

# Bytes to read at a time: not the announced length, which may exceed the memory, but at least a TLS record (16 KiB,
# RFC 8446), because polling a socket doesn't show what is left of one.
_PIECE = 65_536
_PORTS = {"http": 80, "https": 443}
# The head of a plain answer. http.client reads all others, which takes four times the processor time, and their
# connections aren't reused.
_HEAD = re.compile(rb"HTTP/1\.1 (200|[45][0-9]{2}) [ -~]*\r\n((?:[A-Za-z0-9-]+: ?[!-~]+(?: [!-~]+)*\r\n)+)\r\n")
_LENGTH = re.compile("[0-9]{1,9}")
# Headers of a body that must be decoded.
_NOT_PLAIN = frozenset({"transfer-encoding", "content-encoding"})
# SQS sends this, although HTTP/1.1 implies it.
_KEPT = "keep-alive"
# What a nonblocking connection raises instead of waiting.
_WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Connections to one endpoint, each with one exchange at a time.

    Parameters
    ----------
    url : str
        Scheme, host, and port of the endpoint.
    connect_timeout, read_timeout : float
        Seconds to wait for a connection, and for the next bytes of an answer.
    bundle : str | None
        File with the certificates to trust over HTTPS. None means botocore's own.
    """

    def __init__(self, url: str, connect_timeout: float, read_timeout: float, bundle: str | None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._url = url
        self._host = parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._connect_timeout = connect_timeout
        #: Seconds to wait for the next bytes of an answer.
        self.read_timeout = read_timeout
        self._tls = _tls_context(bundle) if parts.scheme == "https" else None
        # The most recently used connection is reused first. A list's methods are atomic.
        self._idle: list[socket.socket] = []

    def post(self, request: bytes) -> Answer:
        """Send a request, head and body, and wait for the answer.

        Raises
        ------
        EndpointConnectionError, ConnectTimeoutError
            If no connection was made, so the request wasn't sent.
        SSLError, ReadTimeoutError, ConnectionClosedError
            If there is no complete answer, so the request may have been carried out.
        """
        return Exchange(self, self._idle_connection() or self._connect(), request).wait()

    def begin(self, request: bytes) -> Exchange | None:
        """Send a request without waiting. Return None if no connection is idle.

        Raises
        ------
        SSLError, ConnectionClosedError
            If the connection broke, so the request may have been carried out.
        """
        connection = self._idle_connection()
        if connection is None:
            return None
        exchange = Exchange(self, connection, request)
        exchange.send()
        return exchange

    def release(self, connection: socket.socket) -> None:
        """Keep a connection open for the next request."""
        self._idle.append(connection)

    def error_of(self, error: Exception) -> BotoCoreError:
        """Return what botocore raises for an error that occurred while a request was sent or its answer read."""
        if isinstance(error, TimeoutError):
            return ReadTimeoutError(endpoint_url=self._url, error=error)
        if isinstance(error, ssl.SSLError):
            return SSLError(endpoint_url=self._url, error=error)
        return ConnectionClosedError(endpoint_url=self._url, error=error)

    def _idle_connection(self) -> socket.socket | None:
        """Return an idle connection that the server hasn't closed, if there is one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # Without a request, whatever arrives is the end of the connection or an answer that nobody asked for.
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection((self._host, self._port), self._connect_timeout)
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self._url, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=self._url, error=error) from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
        except OSError as error:
            connection.close()
            raise self.error_of(error) from error
        return connection


class Exchange:
    """A request on a connection, and what has arrived of its answer.

    Parameters
    ----------
    connections : Connections
        Gets the connection back after the answer, if it can be reused.
    connection : socket.socket
        An open connection that has no other exchange.
    request : bytes
        Head and body.
    """

    def __init__(self, connections: Connections, connection: socket.socket, request: bytes) -> None:
        self.connection = connection
        self._connections = connections
        self._unsent = memoryview(request)
        self._received = bytearray()
        # Of a plain answer: the status, the headers, and where the body begins and ends.
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = self._end = 0
        self._unread = True
        self._deadline = time.monotonic() + connections.read_timeout

    def send(self) -> None:
        """Send what the connection takes without blocking. `wait` sends the rest."""
        try:
            self.connection.setblocking(False)
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
        except _WAITING:
            pass
        except BrokenPipeError:
            # The server may have answered before it closed the connection.
            self._unsent = memoryview(b"")
        except OSError as error:
            self.connection.close()
            raise self._connections.error_of(error) from error

    @property
    def needs_thread(self) -> bool:
        """Whether only `wait` can continue: part of the request is unsent, or the answer isn't plain."""
        return bool(self._unsent) or (not self._end and not self._unread)

    def answer(self) -> Answer | None:
        """Return the answer, or None if it is incomplete or needs a thread. This doesn't wait.

        Raises
        ------
        SSLError, ReadTimeoutError, ConnectionClosedError
            If there is no complete answer, so the request may have been carried out.
        """
        try:
            return self._read()
        except _WAITING as error:
            if time.monotonic() < self._deadline:
                return None
            self.connection.close()
            raise self._connections.error_of(TimeoutError()) from error
        except OSError as error:
            self.connection.close()
            raise self._connections.error_of(error) from error

    def wait(self) -> Answer:
        """Send the rest of the request, wait for the answer, and return it.

        Raises
        ------
        SSLError, ReadTimeoutError, ConnectionClosedError
            If there is no complete answer, so the request may have been carried out.
        """
        try:
            self.connection.settimeout(self._connections.read_timeout)
            if self._unsent:
                # The server may have answered before it closed the connection.
                with suppress(BrokenPipeError):
                    self.connection.sendall(self._unsent)
                self._unsent = memoryview(b"")
            while not self.needs_thread:
                if (answer := self._read()) is not None:
                    return answer
            answer = _any_answer(self.connection, bytes(self._received))
            self.connection.close()
            return answer
        except (OSError, HTTPException) as error:
            self.connection.close()
            raise self._connections.error_of(error) from error

    def _read(self) -> Answer | None:
        """Read the next piece. Return the answer if it is complete."""
        piece = self.connection.recv(_PIECE)
        self._received += piece
        if self._unread:
            self._unread = False
            head = _HEAD.match(piece)
            headers = {} if head is None else _headers(head[2].decode())
            if head is None or (length := _length(headers)) is None:
                return None
            self._status, self._headers = int(head[1]), headers
            self._body, self._end = head.end(), head.end() + length
        self._deadline = time.monotonic() + self._connections.read_timeout
        received = len(self._received)
        # If a body ends too early, botocore takes what has arrived.
        if received < self._end and piece:
            return None
        if received == self._end:
            self._connections.release(self.connection)
        else:
            self.connection.close()
        return Answer(self._status, self._headers, bytes(self._received[self._body : self._end]))


def _headers(lines: str) -> dict[str, str]:
    """Return the headers of a plain head, or none if one is repeated."""
    headers = {name: value.lstrip() for name, _, value in (line.partition(":") for line in lines.splitlines())}
    return headers if len(headers) == lines.count("\n") else {}


def _length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a plain answer's body, or None if the answer isn't plain."""
    found = {name.lower(): value for name, value in headers.items()}
    length = found.get("content-length", "")
    stays = found.get("connection", _KEPT).lower() == _KEPT
    plain = stays and len(found) == len(headers) and _NOT_PLAIN.isdisjoint(found) and _LENGTH.fullmatch(length)
    return int(length) if plain else None


def _any_answer(connection: socket.socket, received: bytes) -> Answer:
    """Read the rest of an answer that isn't plain, and return the answer."""
    arriving: Any = _Arriving(connection, received)
    response = HTTPResponse(arriving, method="POST")
    try:
        response.begin()
        # If a body ends too early, botocore takes what has arrived.
        body = b"".join(iter(partial(response.read, _PIECE), b""))
        return Answer(response.status, dict(response.headers), body)
    finally:
        response.close()


class _Arriving(io.RawIOBase):
    """What a connection receives, starting with what has already been read from it."""

    def __init__(self, connection: socket.socket, received: bytes) -> None:
        self._connection = connection
        self._received = received

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._received:
            return self._connection.recv_into(buffer)
        piece, self._received = self._received[: len(buffer)], self._received[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _tls_context(bundle: str | None) -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=bundle or get_cert_path(True))
    return context
