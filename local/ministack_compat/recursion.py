"""Makes ministack's Lambda count a function's invocations in a chain of messages, and stop what goes around in a loop.

``local.ministack_compat.apply`` calls :func:`apply`. "If your function is invoked approximately 16 times in the same
chain of requests, then Lambda automatically stops the next function invocation"; the event source mapping gets an
error, and the message is received again until its redrive policy moves it (AWS Lambda Developer Guide, "Use Lambda
recursive loop detection to prevent infinite loops"). The count travels in the trace header, in the form that real
headers have. ministack's own count, in a header that only it knows, ends at a queue.
"""

from __future__ import annotations

import contextvars
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from ministack.services import lambda_svc

from local.ministack_compat import fit

MAX_INVOCATIONS = 16

_LINEAGE = "Lineage="
_headers: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("headers", default=())
_upstream_trace = lambda_svc._xray_trace_id_for_invocation


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(lambda_svc, _xray_trace_id_for_invocation=trace_of)


def begin(function_arn: str, records: Iterable[Mapping[str, Any]]) -> bool:
    """Note the chains that an invocation with these records is part of; return whether it is one too many."""
    headers = (record["attributes"].get("AWSTraceHeader") for record in records)
    _headers.set(tuple(header for header in headers if header))
    return _invocations(function_arn) >= MAX_INVOCATIONS


def trace_of(config: Mapping[str, Any], inbound_trace_header: str | None = None) -> str | None:
    """Return the trace header of an invocation, with the count of this function."""
    trace: str | None = _upstream_trace(config, next(iter(_headers.get()), inbound_trace_header))
    if trace is None:
        return None
    arn = config.get("FunctionArn", "")
    fields = [field for field in trace.split(";") if not field.startswith(_LINEAGE)]
    return ";".join([*fields, f"{_LINEAGE}1:{_hash(arn)}:{_invocations(arn)}"])


def _invocations(function_arn: str) -> int:
    """Return how many invocations of a function came before, in the chain that has most."""
    fields = [field for header in _headers.get() for field in header.split(";") if field.startswith(_LINEAGE)]
    parts = [part.split(":") for field in fields for part in field.removeprefix(_LINEAGE).split("|")]
    return max((int(part[-1]) + 1 for part in parts if part[-2:-1] == [_hash(function_arn)]), default=0)


def _hash(function_arn: str) -> str:
    return f"{zlib.crc32(function_arn.encode()):08x}"
