"""Makes ministack's Lambda workers report errors, crashes, timeouts and logs as AWS does.

``local.ministack_compat.apply`` calls :func:`apply`. The program that runs in a worker process is
``local/ministack_compat/python_worker.py``.
"""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import signal
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch, lambda_svc

from local.ministack_compat import fit
from local.ministack_compat.python_worker import END_OF_LOG

_WORKER_PROGRAM = Path(__file__).with_name("python_worker.py").read_text()
# How long to wait for the rest of a log whose end is not marked, because the process died or is not Python.
_LOG_WAIT_SECONDS = 0.25

Function = dict[str, Any]
Outcome = dict[str, Any]

_upstream_spawn = lambda_runtime.Worker._spawn
_upstream_execute = lambda_svc._execute_function_dispatch
_upstream_acquire_slot = lambda_svc._acquire_execution_slot


def apply() -> None:
    """Put the patches of this module in place."""
    extracting = SimpleNamespace(**vars(zipfile) | {"ZipFile": SharedExtraction})
    fit.replace(lambda_runtime, _PYTHON_WORKER_SCRIPT=_WORKER_PROGRAM, zipfile=extracting)
    fit.replace(lambda_runtime.Worker, _spawn=spawn_worker, _drain_stderr_bounded=read_log)
    fit.replace(
        lambda_svc,
        _execute_function_warm=execute_in_worker,
        _execute_function_dispatch=execute_and_measure,
        _acquire_execution_slot=acquire_slot,
        _emit_lambda_metrics=leave_metrics_to_execution,
    )
    # How long a new function is Pending, in seconds; ministack's half second adds up in a test run.
    fit.replace(lambda_svc, _LAMBDA_STATE_TRANSITION_DELAY=0.02)


def leave_metrics_to_execution(*_arguments: object, **_options: object) -> None:
    """Do nothing instead of recording the metrics of the Invoke API.

    :func:`execute_and_measure` records those of every invocation.
    """


def spawn_worker(worker: Any) -> None:
    """Start a worker and remember its process, whose exit status says how it ended."""
    _upstream_spawn(worker)
    worker.last_process = worker._proc


class SharedExtraction(zipfile.ZipFile):
    """A package that is extracted once for all workers.

    ministack extracts it for each worker, which takes about as much processor time as half of the import.
    """

    def extractall(self, path: Any = None, *_arguments: Any, **_options: Any) -> None:
        """Replace the empty directory `path` by a link to the extracted package."""
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        shared = Path(tempfile.gettempdir(), f"ministack-code-{digest}")
        if not shared.exists():
            own = Path(tempfile.mkdtemp(prefix="ministack-code-"))
            super().extractall(own)
            try:
                own.rename(shared)
            except OSError:
                # Another worker was faster.
                shutil.rmtree(own)
        Path(path).rmdir()
        Path(path).symlink_to(shared)


def read_log(worker: Any) -> str:
    """Return the log of the invocation that has just ended.

    ministack infers the end of the log from silence, which costs 50 ms if the handler prints nothing and cuts the log
    of a handler that pauses.
    """
    lines: list[str] = []
    deadline = time.monotonic() + _LOG_WAIT_SECONDS
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            line = worker._stderr_queue.get(timeout=remaining)
        except queue.Empty:
            break
        if line == END_OF_LOG:
            break
        lines.append(line)
    return "\n".join(lines)


def execute_in_worker(function: Function, event: Any, request_id: str) -> Outcome:
    """Run one invocation in a worker process.

    ministack reports every failure as ``Runtime.HandlerError``; AWS reports the exception's class, which Retry and
    Catch of Step Functions name (AWS Lambda Developer Guide, "Understanding retry behavior in Lambda" and Step
    Functions Developer Guide, "Handling errors in Step Functions workflows").
    """
    config = function.get("config") or function
    name, version = config["FunctionName"], config.get("Version", "$LATEST")
    lambda_svc._ensure_reaper_thread()
    worker, refusal = lambda_runtime.acquire_worker(name, config, function["code_zip"], qualifier=version)
    if worker is None:
        throttled: Outcome = lambda_svc._throttle_response(
            reason_code="ReservedFunctionConcurrentInvocationLimitExceeded",
            msg=f"Rate Exceeded: {name}: {refusal}",
        )
        return throttled
    try:
        answer = worker.invoke(
            event,
            request_id,
            trace_id=lambda_svc._xray_trace_id_for_invocation(config),
            invoked_function_arn=config.get("FunctionArn", ""),
            depth=lambda_svc._invoke_depth.get(),
        )
        failure = _failure(worker, config, answer, request_id)
    except RuntimeError as error:
        # The process ended before it was ready for invocations.
        answer = {"log": str(error)}
        failure = {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: {error}",
        }
    finally:
        lambda_runtime.release_worker(worker)
    log = answer.get("log", "")
    if failure is None:
        return {"body": answer.get("result"), "log": log}
    if not answer.get("failure"):
        log = "\n".join(filter(None, [log, failure["errorMessage"]]))
    return {"body": failure, "error": True, "log": log}


def _failure(worker: Any, config: dict[str, Any], answer: dict[str, Any], request_id: str) -> dict[str, Any] | None:
    if answer["status"] == "ok":
        failure: dict[str, Any] | None = answer.get("failure")
        return failure
    message = str(answer.get("error"))
    if message.startswith("Task timed out"):
        # Step Functions Developer Guide, "Error names": "timeouts are reported as Sandbox.Timedout".
        seconds = float(config.get("Timeout", 3))
        return {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds",
        }
    if worker.last_process is not None and str(config.get("Runtime", "")).startswith("python"):
        return {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: {_how_it_ended(worker.last_process.wait())}",
        }
    return {"errorType": "Runtime.HandlerError", "errorMessage": message}


def _how_it_ended(exit_code: int) -> str:
    if exit_code == 0:
        return "Runtime exited without providing a reason"
    if exit_code > 0:
        return f"Runtime exited with error: exit status {exit_code}"
    name = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGSEGV: "segmentation fault"}
    return f"Runtime exited with error: signal: {name.get(signal.Signals(-exit_code), str(-exit_code))}"


# Metrics ----------------------------------------------------------------------------------------------------


def execute_and_measure(
    function: Function, config: dict[str, Any], event: Any, request_id: str, started: float
) -> Outcome:
    """Run one invocation and publish its AWS/Lambda metrics and the metrics embedded in its log."""
    outcome: Outcome = _upstream_execute(function, config, event, request_id, started)
    dimensions = {"FunctionName": config["FunctionName"]}
    cloudwatch.record_metric("AWS/Lambda", "Invocations", 1, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Errors", int(bool(outcome.get("error"))), "Count", dimensions)
    duration_ms = (time.time() - started) * 1000
    cloudwatch.record_metric("AWS/Lambda", "Duration", duration_ms, "Milliseconds", dimensions)
    for line in (outcome.get("log") or "").splitlines():
        if '"_aws"' in line:
            record_embedded_metrics(line)
    return outcome


def acquire_slot(function: Function, config: dict[str, Any]) -> tuple[str | None, str | None]:
    """Reserve concurrency; a refusal counts as a throttle."""
    slot, limit = _upstream_acquire_slot(function, config)
    if slot is None:
        dimensions = {"FunctionName": config["FunctionName"]}
        cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", dimensions)
    return slot, limit


def record_embedded_metrics(line: str) -> None:
    """Publish the metrics of one log line in the embedded metric format, if it is one.

    Amazon CloudWatch User Guide, "Specification: Embedded metric format"; ministack leaves such lines alone.
    """
    try:
        document = json.loads(line)
        directives = document["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return
    for directive in directives:
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document[name]) for name in names if name in document}
            for metric in directive.get("Metrics", []):
                values = document.get(metric["Name"], [])
                for value in values if isinstance(values, list) else [values]:
                    unit = metric.get("Unit", "None")
                    cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, unit, dimensions)
