"""The trace of the function that sends stays out of what it sends: what the services get over the wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from redrive.adapters.deliveries import Deliveries
from redrive.adapters.sqs import sqs_client
from redrive.domain.messages.destinations import function, state_machine
from redrive.domain.messages.outbound import outbound
from tests.support import factories

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
OWN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:283dea05:3"


@pytest.fixture
def requests(monkeypatch) -> Iterator[list[dict[str, str]]]:
    """Return the headers of the requests that reach the endpoint of all services; it refuses each of them."""
    got: list[dict[str, str]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"__type": "InvalidParameterValue", "message": ""}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "mover")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", OWN)
    yield got
    server.shutdown()
    server.server_close()


def send_with(client: Any) -> None:
    with suppress(ClientError):
        client.send_message_batch(QueueUrl=QUEUE, Entries=[{"Id": "0", "MessageBody": "hello"}])


def test_in_a_function_botocore_adds_the_function_s_own_trace_and_the_client_of_the_lane_takes_it_out(requests):
    send_with(boto3.client("sqs"))
    send_with(sqs_client(retries=False))
    assert [request.get("x-amzn-trace-id") for request in requests] == [OWN, None]
    # It was signed as before.
    signed = ["SignedHeaders=" in request["authorization"] for request in requests]
    assert signed == [True, True]


@pytest.mark.parametrize(
    "destination",
    [
        function("arn:aws:lambda:us-east-1:123456789012:function:f", "f"),
        state_machine("arn:aws:states:us-east-1:123456789012:stateMachine:s", "s"),
    ],
)
def test_functions_and_executions_do_not_join_the_trace_of_the_function_that_starts_them(requests, destination):
    with suppress(ClientError):
        Deliveries(1).deliver(outbound(factories.received("{}"), destination, "provenance", "m-1"))
    assert [request.get("x-amzn-trace-id") for request in requests] == [None]
