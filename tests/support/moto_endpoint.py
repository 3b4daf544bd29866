"""An address at which other processes reach the account of a test, and that can kill one of them at a request.

Used by the tests that kill `redrive move`.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.models import botocore_stubber

# Of the header Authorization: the Region and the service that a request is signed for.
_SIGNED_FOR = re.compile(r"Credential=[^/]+/[0-9]+/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")


class MotoEndpoint:
    """The address, and the process that is to be killed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._doomed: tuple[int, str, str] | None = None
        self._left = 0

    def kill_at(self, pid: int | None, operation: str = "", place: int = 0, when: str = "before") -> None:
        """Kill a process at a request of an operation, before or after it is carried out; nobody without a process."""
        with self._lock:
            self._doomed, self._left = (None if pid is None else (pid, operation, when)), place

    def dies_at(self, operation: str) -> tuple[int | None, str]:
        """Return the process that dies at a request of an operation, if one does, and when."""
        with self._lock:
            if self._doomed is None or self._doomed[1] != operation:
                return None, ""
            self._left -= 1
            return (self._doomed[0], self._doomed[2]) if self._left == 0 else (None, "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: processes are killed while they are connected."""


@contextmanager
def moto_endpoint() -> Iterator[MotoEndpoint]:
    """Serve the account of the test, which moto keeps in this process."""
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint = MotoEndpoint(f"http://127.0.0.1:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            pid, when = endpoint.dies_at(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            if pid is not None and when == "before":
                os.kill(pid, signal.SIGKILL)
                return
            status, headers, answer = self._answer(body)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                return
            with suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "date", "server", "connection"}:
                        self.send_header(name, str(value))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def _answer(self, body: bytes) -> tuple[int, Any, bytes]:
            signed = _SIGNED_FOR.search(self.headers["Authorization"])
            assert signed is not None
            headers = HTTPHeaders()
            for name, value in self.headers.items():
                headers[name] = value
            # moto sleeps through a long poll, and lets nobody else in meanwhile.
            body = body.replace(b'"WaitTimeSeconds": 1', b'"WaitTimeSeconds": 0')
            headers["Content-Length"] = str(len(body))
            url = f"https://{signed[2]}.{signed[1]}.amazonaws.com{self.path}"
            answer: Any = botocore_stubber.process_request(
                AWSPreparedRequest(method="POST", url=url, headers=headers, body=body, stream_output=False)
            )
            status, answered, content = answer
            return status, answered, content.encode() if isinstance(content, str) else content

        def log_message(self, *_: Any) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
