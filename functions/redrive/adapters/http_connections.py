"""Keeps connections to one HTTP endpoint open and makes POST requests on them.

Used by `redrive.adapters.batch_client`. Timeouts, verification, and errors are the same as in botocore's own HTTP
session, because the lane decides from the error whether a request may have been carried out.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
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
    response = HTTPResponse(connection, method="POST")
    try:
        response.begin()
        # If a body ends too early, botocore takes what has arrived, and `length` says how much is missing.
        body = b"".join(iter(partial(response.read, _PIECE), b""))
        reusable = not response.length and not response.will_close
        return Answer(response.status, dict(response.headers), body), reusable
    finally:
        response.close()


def _tls_context(bundle: str | None) -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=bundle or get_cert_path(True))
    return context
