"""Keeps the trace of the mover out of the messages that it sends.

Used for the clients that send. In a Lambda function, botocore adds the function's own trace to each request, as the
header X-Amzn-Trace-Id (`botocore.handlers.add_recursion_detection_header`). SQS takes it for all messages of the
request that have no trace header of their own (X-Ray developer guide, "Amazon SQS and AWS X-Ray"): they would carry it
from then on, with the counts of Lambda's recursive-loop detection. Functions and executions would join that trace.
"""

from __future__ import annotations

from typing import Any

from botocore.client import BaseClient

_HEADER = "X-Amzn-Trace-Id"


def without_own_trace[Client: BaseClient](client: Client) -> Client:
    """Return the client, which no longer tells the receiving service of this function's trace."""
    # The last event before a request leaves, after whatever adds the header. It isn't part of the signature
    # (`botocore.auth.SIGNED_HEADERS_BLACKLIST`).
    client.meta.events.register("before-send", _drop, unique_id="redrive-drop-trace")
    return client


def _drop(request: Any, **_event: Any) -> None:
    request.headers.pop(_HEADER, None)
