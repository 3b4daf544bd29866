"""Lets another process make the calls of state machines fail: before, after, or while what they call runs.

Tests set TASK_GATE_URL; without it, nothing changes. `local.ministack_compat.apply` calls :func:`apply`. The calls of
state machines stay inside ministack, so a proxy before it doesn't see them.
"""

from __future__ import annotations

import contextvars
import json
import os
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

from local.ministack_compat.step_functions import ExecutionError

_SECONDS = 30.0
# How long a call runs until it counts as failed although it goes on.
_OVERTAKEN_SECONDS = 1.5


def apply() -> None:
    """Put the gate in place if TASK_GATE_URL says where to ask."""
    url = os.environ.get("TASK_GATE_URL")
    if url:
        stepfunctions._invoke_resource = gated(stepfunctions._invoke_resource, url)


def gated(invoke: Callable[[str, Any], Any], url: str) -> Callable[[str, Any], Any]:
    """Return a function that asks before it calls what a Task names.

    The answer is a JSON object: empty, or with `error`, `cause`, and `when` the call fails: `before`, `after`, or
    `meanwhile`, while what was called runs on.
    """

    def invoke_through_gate(resource: str, arguments: Any) -> Any:
        fault = _asked(url, {"resource": resource, "arguments": arguments})
        if not fault:
            return invoke(resource, arguments)
        if fault["when"] == "after":
            invoke(resource, arguments)
        elif fault["when"] == "meanwhile":
            call = threading.Thread(target=contextvars.copy_context().run, args=(_call, invoke, resource, arguments))
            call.start()
            call.join(_OVERTAKEN_SECONDS)
        raise ExecutionError(fault["error"], fault["cause"])

    return invoke_through_gate


def _call(invoke: Callable[[str, Any], Any], resource: str, arguments: Any) -> None:
    try:
        invoke(resource, arguments)
    except ExecutionError:
        # Nobody waits for its result.
        return


def _asked(url: str, task: dict[str, Any]) -> dict[str, str]:
    request = urllib.request.Request(url, data=json.dumps(task).encode(), method="POST")
    # http_proxy must not apply to 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_SECONDS) as response:
        fault: dict[str, str] = json.load(response)
        return fault
