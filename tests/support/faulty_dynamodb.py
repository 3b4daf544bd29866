"""A proxy before DynamoDB that throttles or delays some PutItem requests and forwards every other request.

The end-to-end tests of the store events consumer use it as the consumer's endpoint.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_DELAY_SECONDS = 30.0
_THROTTLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "as the test requests",
}


class FaultyDynamoDb:
    """Serves the DynamoDB at `upstream` on a free port."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        # PutItem requests by event.
        self.puts: Counter[str] = Counter()
        self._throttles: Counter[str] = Counter()
        self._delayed: set[str] = set()
        self._healed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def endpoint_url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def throttle(self, event_id: str, times: int) -> None:
        """Throttle the next `times` requests for an event."""
        self._throttles[event_id] = times

    def delay(self, event_ids: Iterable[str]) -> None:
        """Delay requests for these events until :meth:`heal` is called."""
        self._healed.clear()
        self._delayed = set(event_ids)

    def heal(self) -> None:
        """Forward every request from now on."""
        self._delayed = set()
        self._throttles.clear()
        self._healed.set()

    def throttles(self, event_id: str) -> bool:
        """Return whether to throttle this request; if it is to be delayed, wait first."""
        self.puts[event_id] += 1
        if event_id in self._delayed:
            self._healed.wait(_DELAY_SECONDS)
        if self._throttles[event_id] > 0:
            self._throttles[event_id] -= 1
            return True
        return False

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: FaultyDynamoDb) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Forwards one request."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event_id = json.loads(body).get("Item", {}).get("event_id", {}).get("S", "")
            if proxy.throttles(event_id):
                self._answer(400, json.dumps(_THROTTLED).encode())
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            request = urllib.request.Request(proxy.upstream, data=body, headers=headers, method="POST")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=10) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            # The client of a delayed request may have given up.
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler
