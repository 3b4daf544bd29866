"""Runs the handler of one Python function: one such process is one Lambda execution environment.

``local.ministack_compat.lambda_runtime`` gives its text to ministack as the program of a worker process, so it imports
nothing but the standard library. ministack writes the configuration and then one invocation a line to its standard
input; it answers with one line each and ends each invocation's log with a marker line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The log of an invocation is complete when this line has arrived; ministack otherwise waits 50 ms for more.
END_OF_LOG = "\x1eend of the invocation's log\x1e"
# AWS Lambda Developer Guide, "Lambda quotas": invocation payload (request and response), synchronous.
MAX_RESPONSE_BYTES = 6_291_556

Handler = Callable[[Any, Any], Any]


class LambdaContext:
    """What AWS passes to a handler as its second argument."""

    identity = None
    client_context = None

    def __init__(self, setup: dict[str, Any], call: dict[str, Any]) -> None:
        self.function_name = setup["function_name"]
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = str(setup.get("memory", 128))
        self.invoked_function_arn = call.get("invoked_function_arn") or setup.get("arn", "")
        self.aws_request_id = call["request_id"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self._deadline = time.monotonic() + call["timeout_ms"] / 1000

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the function times out."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class InitError(Exception):
    """The handler cannot be imported; ``failure`` is what the caller gets to see."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(failure["errorMessage"])
        self.failure = failure


def main() -> None:
    """Serve invocations until standard input closes."""
    # Handlers, and what they run, may print: file descriptor 1 becomes the log, and a copy of it carries the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    setup = json.loads(sys.stdin.readline())
    _set_environment(setup)
    if recorder := os.environ.get("CALL_RECORDER"):
        runpy.run_path(recorder)["watch_botocore"](setup["function_name"])
    handler: Handler | None = None
    # After an error AWS initializes again at the next invocation, and reports it there.
    with contextlib.suppress(InitError):
        handler = _import_handler(setup)
    _answer(answers, {"status": "ready", "cold": True})
    for line in sys.stdin:
        envelope = json.loads(line)
        call = envelope.get("ctx") or {}
        _set_trace_header(call.get("trace_id"))
        try:
            handler = handler or _import_handler(setup)
            outcome = _invoke(handler, envelope["event"], LambdaContext(setup, call))
        except InitError as error:
            outcome = {"failure": error.failure}
        print(END_OF_LOG, file=sys.stderr, flush=True)
        # Always "ok": ministack kills the worker of an invocation that did not end so; AWS keeps it warm.
        _answer(answers, {"status": "ok", "result": None, **outcome})


def _set_environment(setup: dict[str, Any]) -> None:
    os.environ.update(setup.get("env") or {})
    # AWS Lambda Developer Guide, "Defined runtime environment variables".
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    os.environ.setdefault("AWS_LAMBDA_LOG_GROUP_NAME", f"/aws/lambda/{setup['function_name']}")
    os.environ.setdefault("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    os.environ.setdefault("AWS_EXECUTION_ENV", f"AWS_Lambda_python{version}")
    os.environ.setdefault("_HANDLER", f"{setup['module']}.{setup['handler']}")
    os.environ["TZ"] = ":UTC"
    time.tzset()
    sys.path.insert(0, setup["code_dir"])
    for layer in filter(None, os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep)):
        sys.path.insert(1, str(Path(layer) / "python"))


def _set_trace_header(trace_id: str | None) -> None:
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def _import_handler(setup: dict[str, Any]) -> Handler:
    module_name, handler_name = setup["module"], setup["handler"]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InitError(
            _failure("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}", error)
        ) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise InitError(_failure("Runtime.UserCodeSyntaxError", message, error)) from error
    except Exception as error:
        raise InitError(_failure(type(error).__name__, str(error), error)) from error
    handler: Handler | None = getattr(module, handler_name, None)
    if handler is None:
        message = f"Handler '{handler_name}' missing on module '{module_name}'"
        raise InitError(_failure("Runtime.HandlerNotFound", message, None))
    return handler


def _invoke(handler: Handler, event: Any, context: LambdaContext) -> dict[str, Any]:
    try:
        result = handler(event, context)
    except Exception as error:  # noqa: BLE001 (the edge of the handler: whatever it raises is its answer)
        traceback.print_exception(error, file=sys.stderr)
        return {"failure": _failure(type(error).__name__, str(error), error, context.aws_request_id)}
    try:
        size = len(json.dumps(result, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return {"failure": _failure("Runtime.MarshalError", message, None, context.aws_request_id)}
    if size > MAX_RESPONSE_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        return {"failure": {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}}
    return {"result": result}


def _failure(error_type: str, message: str, error: BaseException | None, request_id: str = "") -> dict[str, Any]:
    # The first frame is this program's own.
    frames = traceback.extract_tb(error.__traceback__)[1:] if error else []
    return {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": traceback.format_list(frames),
    }


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main()
    except SystemExit as exiting:
        # The orderly end of the interpreter closes the answers first, and whoever reads them then ends the process
        # before its exit status is known.
        sys.stderr.flush()
        os._exit(exiting.code if isinstance(exiting.code, int) else int(exiting.code is not None))
