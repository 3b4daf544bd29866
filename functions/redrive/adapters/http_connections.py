"""Keeps connections to one HTTP endpoint open and makes POST requests on them.

Used by `redrive.adapters.batch_client`. Timeouts, verification, and errors are the same as in botocore's own HTTP
session, because the lane decides from the error whether a request may have been carried out.
"""

from __future__ import annotations

import io
import re
import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context, get_cert_path

# Bytes to read at a time, so a server can't make this process allocate whatever length it announces.
_PIECE = 65_536
_PORTS = {"http": 80, "https": 443}
# The head of a plain answer. http.client reads any other one, in four times the processor time.
_HEAD = re.compile(rb"HTTP/1\.1 200 [ -~]*\r\n((?:[A-Za-z0-9-]+: ?[!-~]+(?: [!-~]+)*\r\n)+)\r\n")
_LENGTH = re.compile("[0-9]{1,9}")
# Headers by which an answer ends elsewhere than its length says.
_NOT_PLAIN = frozenset({"transfer-encoding", "content-encoding"})
# SQS sends this, although HTTP/1.1 implies it.
_KEPT = "keep-alive"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Connections to one endpoint; each is used by one thread at a time.

    Parameters
    ----------
    url : str
        Scheme, host, and port of the endpoint.
    connect_timeout, read_timeout : float
        Seconds to wait for a connection, and for the next bytes of an answer.
    bundle : str | None
        File of certificates to trust; None for botocore's own.
    """

    def __init__(self, url: str, connect_timeout: float, read_timeout: float, bundle: str | None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._url = url
        self._host = parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._tls = _tls_context(bundle) if parts.scheme == "https" else None
        # The most recently used connection is reused first. A list's methods are atomic.
        self._idle: list[socket.socket] = []

    def post(self, request: bytes) -> Answer:
        """Send a request, head and body, and return the answer.

        Raises
        ------
        EndpointConnectionError, ConnectTimeoutError
            If there is no connection, so the request wasn't sent.
        SSLError, ReadTimeoutError, ConnectionClosedError
            If there is no complete answer, so the request may have been carried out.
        """
        connection = self._idle_connection() or self._connect()
        reusable = False
        try:
            answer, reusable = _exchange(connection, request)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self._url, error=error) from error
        except (OSError, HTTPException) as error:
            raise ConnectionClosedError(endpoint_url=self._url, error=error) from error
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _idle_connection(self) -> socket.socket | None:
        """Return an open connection that the server hasn't closed, if there is one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # No request is open, so anything that can be read means that the connection is done.
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()
        return None

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
            connection.settimeout(self._read_timeout)
        except TimeoutError as error:
            connection.close()
            raise ReadTimeoutError(endpoint_url=self._url, error=error) from error
        except ssl.SSLError as error:
            connection.close()
            raise SSLError(endpoint_url=self._url, error=error) from error
        except OSError as error:
            connection.close()
            raise ConnectionClosedError(endpoint_url=self._url, error=error) from error
        return connection


def _exchange(connection: socket.socket, request: bytes) -> tuple[Answer, bool]:
    """Return the answer to a request, and whether the connection can be used again."""
    # The server may have answered before it closed the connection.
    with suppress(BrokenPipeError):
        connection.sendall(request)
    received = connection.recv(_PIECE)
    head = _HEAD.match(received)
    headers = {} if head is None else _headers(head[1].decode())
    if head is None or (length := _length(headers)) is None or len(received) > head.end() + length:
        return _any_answer(connection, received)
    pieces = [received[head.end() :]]
    missing = length - len(pieces[0])
    # If a body ends too early, botocore takes what has arrived.
    while missing and (piece := connection.recv(min(missing, _PIECE))):
        pieces.append(piece)
        missing -= len(piece)
    # Polling the socket doesn't show what is left of a TLS record, and the next answer would begin with it.
    stray = isinstance(connection, ssl.SSLSocket) and connection.pending()
    return Answer(200, headers, b"".join(pieces)), not missing and not stray


def _headers(lines: str) -> dict[str, str]:
    """Return the headers in the lines of a plain head; none if one is repeated."""
    headers = {name: value.lstrip() for name, _, value in (line.partition(":") for line in lines.splitlines())}
    return headers if len(headers) == lines.count("\n") else {}


def _length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body that ends after its length; None if it ends elsewhere."""
    found = {name.lower(): value for name, value in headers.items()}
    length = found.get("content-length", "")
    stays = found.get("connection", _KEPT).lower() == _KEPT
    plain = stays and len(found) == len(headers) and _NOT_PLAIN.isdisjoint(found) and _LENGTH.fullmatch(length)
    return int(length) if plain else None


def _any_answer(connection: socket.socket, received: bytes) -> tuple[Answer, bool]:
    """Return an answer of any form, of which `received` has arrived, and whether the connection can be used again."""
    arriving: Any = _Arriving(connection, received)
    response = HTTPResponse(arriving, method="POST")
    try:
        response.begin()
        # If a body ends too early, botocore takes what has arrived, and `length` says how much is missing.
        body = b"".join(iter(partial(response.read, _PIECE), b""))
        reusable = not response.length and not response.will_close
        return Answer(response.status, dict(response.headers), body), reusable
    finally:
        response.close()


class _Arriving(io.RawIOBase):
    """What a connection receives, beginning with what has already been read from it."""

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
