"""An HTTP server that sends exactly the bytes a test gives it, and keeps the requests it receives."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.patience import PATIENCE_SECONDS

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Script:
    """One answer."""

    #: Sent one after the other, each in its own write.
    pieces: Sequence[bytes]
    #: Whether the server then closes the connection.
    closes: bool = False
    #: Whether the server then sends nothing more, but keeps the connection open.
    silent: bool = False


@dataclass
class ScriptedServer:
    """Gives the same answer to every request until a test sets another one."""

    port: int = 0
    #: The answer, or what returns the answer to a request.
    script: Script | Callable[[bytes], Script] = Script((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",))
    requests: list[bytes] = field(default_factory=list, repr=False)
    #: Numbers of connections that were made, that end after an answer, and that have ended.
    connections: int = 0
    ending: int = 0
    ended: int = 0

    def serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection, tls), daemon=True).start()

    def _talk(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        # A client may disconnect early.
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while request := _request(connection):
                    self.requests.append(request)
                    script = self.script if isinstance(self.script, Script) else self.script(request)
                    self.ending += script.closes
                    try:
                        for piece in script.pieces:
                            connection.sendall(piece)
                        if script.silent:
                            connection.recv(1)
                    finally:
                        if script.closes:
                            connection.close()
                            self.ended += 1
                    if script.closes:
                        return

    def wait_for_ends(self) -> None:
        """Wait until every connection that ends after an answer has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ended < self.ending:
            assert time.monotonic() < deadline, "Expected connections to end after their answers."
            time.sleep(0.001)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := connection.recv(65_536)):
            return b""
        received += piece
    end = received.index(b"\r\n\r\n") + 4
    length = _LENGTH.search(received)
    while len(received) < end + (int(length[1]) if length else 0):
        if not (piece := connection.recv(65_536)):
            return b""
        received += piece
    return received


@contextmanager
def scripted_server(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Serve on a free port of 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(listener.getsockname()[1])
    threading.Thread(target=server.serve, args=(listener, tls), daemon=True).start()
    try:
        yield server
    finally:
        # This wakes up the thread that accepts connections.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
