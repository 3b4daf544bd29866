"""Makes ministack run state machines in JSONata, keep their history, and handle their errors as Step Functions does.

``local.ministack_compat.apply`` calls :func:`apply`. Map states and the calls to other services have modules of their
own. Parallel states, JSONPath, and heartbeats aren't supported, because no state machine here uses them.
"""

from __future__ import annotations

import contextvars
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch, stepfunctions

from local import call_recorder
from local.ministack_compat import fit

# Step Functions Developer Guide, "Step Functions service quotas": input or output of a state or task, in bytes.
MAX_PAYLOAD_BYTES = 262_144
# The same guide, "Retrying after an error": defaults of a retrier.
DEFAULT_INTERVAL_SECONDS, DEFAULT_BACKOFF_RATE = 1, 2.0

ExecutionError: Any = stepfunctions._ExecutionError
Execution = dict[str, Any]
State = dict[str, Any]
Context = dict[str, Any]

_upstream_add_event = stepfunctions._add_event
_upstream_start = stepfunctions._start_execution
_upstream_stop = stepfunctions._stop_execution
_upstream_reset = stepfunctions.reset

_history_lock = threading.Lock()
_over: dict[str, threading.Event] = {}
# What ends the work of the current thread: its execution, and the Map states around it.
_enders: contextvars.ContextVar[tuple[threading.Event, ...]] = contextvars.ContextVar("enders", default=())


class ExecutionOverError(Exception):
    """The execution was stopped or timed out, or a sibling failed, while one of its states ran."""


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(
        stepfunctions,
        _add_event=add_event,
        _apply_state_assign=assign,
        _error_matches=error_matches,
        _execute_choice=execute_choice,
        _execute_task=execute_task,
        _run_execution=run_execution,
        _run_sub_machine=run_states,
        _scaled_sleep=pause,
        _start_execution=start_execution,
        _stop_execution=stop_execution,
        _with_retry_and_catch=with_retry_and_catch,
        reset=reset,
    )


# Executions -------------------------------------------------------------------------------------------------


def start_execution(request: dict[str, Any]) -> Any:
    """StartExecution; the same name and input as a running execution answers with that execution.

    ministack refuses; AWS calls a standard workflow's start idempotent (Step Functions API Reference, StartExecution).
    """
    machine = stepfunctions._state_machines.get(request.get("stateMachineArn", ""))
    if machine and request.get("name"):
        arn = machine["stateMachineArn"].replace(":stateMachine:", ":execution:") + f":{request['name']}"
        running = stepfunctions._executions.get(arn)
        if running and running["status"] == "RUNNING" and running["input"] == request.get("input", "{}"):
            return stepfunctions.json_response({"executionArn": arn, "startDate": running["startDate"]})
    response = _upstream_start(request)
    if machine and response[0] < 400:
        _record(machine["stateMachineArn"], "ExecutionsStarted")
    return response


def run_execution(execution_arn: str) -> None:
    """Run a state machine to its end; the body of the thread that StartExecution starts."""
    execution: Execution = stepfunctions._executions[execution_arn]
    machine = stepfunctions._state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    execution_input = json.loads(execution["input"])
    over = _over.setdefault(execution_arn, threading.Event())
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution_arn,
            "Input": execution_input,
            "Name": execution["name"],
            "RoleArn": machine["roleArn"],
            "StartTime": execution["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }
    timer = _start_timer(execution, definition.get("TimeoutSeconds"))
    token = _enders.set((over,))
    try:
        output = run_states(definition["States"], definition["StartAt"], execution_input, execution, context)
        finish(execution, "SUCCEEDED", output=output)
    except ExecutionOverError:
        # Whatever ended it has recorded the end.
        return
    except ExecutionError as error:
        finish(execution, "FAILED", error=error.error, cause=error.cause)
    except Exception as error:  # noqa: BLE001 (the edge of the execution's thread; the history shows it)
        stepfunctions.logger.exception("execution %s failed unexpectedly", execution_arn)
        finish(execution, "FAILED", error="States.Runtime", cause=str(error))
    finally:
        _enders.reset(token)
        if timer:
            timer.cancel()
        _over.pop(execution_arn, None)


def _start_timer(execution: Execution, seconds: float | None) -> threading.Timer | None:
    if seconds is None:
        return None
    context = contextvars.copy_context()
    timer = threading.Timer(seconds, context.run, (time_out, execution))
    timer.daemon = True
    timer.start()
    return timer


def time_out(execution: Execution) -> None:
    """End an execution that ran longer than the state machine's TimeoutSeconds, which ministack ignores."""
    finish(execution, "TIMED_OUT", error="States.Timeout")
    _end(execution["executionArn"])


def stop_execution(request: dict[str, Any]) -> Any:
    """StopExecution that also ends the waits and the iterations that are under way."""
    response = _upstream_stop(request)
    execution = stepfunctions._executions.get(request.get("executionArn"))
    if execution and execution["status"] == "ABORTED" and _end(execution["executionArn"]):
        _record(execution["stateMachineArn"], "ExecutionsAborted")
    return response


def reset() -> None:
    """End every execution along with the reset of ministack, which would let them run on."""
    for over in list(_over.values()):
        over.set()
    _upstream_reset()


def _end(execution_arn: str) -> bool:
    over = _over.get(execution_arn)
    if over is None or over.is_set():
        return False
    over.set()
    return True


def finish(
    execution: Execution,
    status: str,
    *,
    output: Any = None,
    error: str | None = None,
    cause: str | None = None,
) -> None:
    """Record how an execution ended, unless it has ended already.

    The status comes last, because requests read without the lock: whoever sees it sees output and history, too.
    """
    names = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "TIMED_OUT": "TimedOut"}
    details: dict[str, Any]
    if status == "SUCCEEDED":
        details = {"output": json.dumps(output)}
        end = details
    else:
        # DescribeExecution shows error and cause, and no output, of a failed execution.
        details = {"error": error, "cause": cause or ""}
        end = {"error": error, "cause": cause}
    with _history_lock:
        if execution["status"] != "RUNNING":
            return
        execution.update(end, stopDate=stepfunctions.now_iso())
        _append(execution, f"Execution{names[status]}", {f"execution{names[status]}EventDetails": details})
        execution["status"] = status
    stepfunctions._emit_execution_status_event(execution)
    _record(execution["stateMachineArn"], f"Executions{names[status]}")


def _record(state_machine_arn: str, metric: str) -> None:
    cloudwatch.record_metric("AWS/States", metric, 1, "Count", {"StateMachineArn": state_machine_arn})


def add_event(execution: Execution, event_type: str, details: dict[str, Any] | None = None) -> Any:
    """Add to the history; iterations do so at the same time, and ministack gives them the same number."""
    with _history_lock:
        return _append(execution, event_type, details)


def _append(execution: Execution, event_type: str, details: dict[str, Any] | None) -> Any:
    event = _upstream_add_event(execution, event_type, details)
    event["previousEventId"] = event["id"] - 1
    return event


# States -----------------------------------------------------------------------------------------------------


def run_states(states: dict[str, State], start_at: str, state_input: Any, execution: Execution, ctx: Context) -> Any:
    """Walk states from ``start_at`` to an end and return the last one's output.

    Used for a state machine and an iteration alike. ministack leaves the states of iterations out of the history and
    lets them run on when the execution is stopped.
    """
    name: str | None = start_at
    value = state_input
    while name is not None:
        check_not_over()
        state = states.get(name)
        if state is None:
            raise ExecutionError("States.Runtime", f"State '{name}' not found in definition")
        kind = state["Type"]
        ctx["State"] = {"Name": name, "EnteredTime": stepfunctions.now_iso(), "RetryCount": 0}
        entered = {"name": name, "input": json.dumps(value)}
        stepfunctions._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
        if kind == "Fail":
            raise ExecutionError(*stepfunctions._fail_state_error(state, value, ctx))
        value, following = _execute(kind, state, value, execution, ctx)
        check_not_over()
        check_size(value, f"The state '{name}'")
        exited = {"name": name, "output": json.dumps(value)}
        stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": exited})
        name = following
    return value


def _execute(kind: str, state: State, value: Any, execution: Execution, ctx: Context) -> tuple[Any, str | None]:
    if kind in ("Task", "Map", "Choice", "Wait") and stepfunctions._state_query_language(state, ctx) != "JSONata":
        raise ExecutionError("States.Runtime", "The embedded cloud expects QueryLanguage to be JSONata.")
    if kind in ("Task", "Map"):
        run = getattr(stepfunctions, f"_execute_{kind.lower()}")
        result: tuple[Any, str | None] = run(state, value, execution, ctx)
    elif kind in ("Pass", "Choice", "Wait"):
        result = getattr(stepfunctions, f"_execute_{kind.lower()}")(state, value, ctx)
    elif kind == "Succeed":
        # ministack ignores the Output of a Succeed state.
        result = stepfunctions._apply_jsonata_output(state, value, ctx, default=value), None
    else:
        raise ExecutionError("States.Runtime", f"The embedded cloud doesn't support states of the type {kind}.")
    return result


def check_not_over() -> None:
    """Raise ExecutionOverError once the execution is stopped or a sibling has failed."""
    if any(ender.is_set() for ender in _enders.get()):
        raise ExecutionOverError


def check_size(payload: Any, what: str) -> None:
    """Refuse a payload that is over the service quota, which ministack does not know."""
    if len(json.dumps(payload, ensure_ascii=False).encode()) > MAX_PAYLOAD_BYTES:
        raise ExecutionError(
            "States.DataLimitExceeded",
            f"{what} returned a result with a size exceeding the maximum number of bytes service limit.",
        )


def pause(seconds: float) -> None:
    """Sleep for ``seconds`` times SFN_WAIT_SCALE, or until the execution is stopped."""
    until = time.monotonic() + seconds * stepfunctions._SFN_WAIT_SCALE
    enders = _enders.get()
    while (remaining := until - time.monotonic()) > 0:
        check_not_over()
        if enders:
            enders[-1].wait(min(remaining, 0.1))
        else:
            time.sleep(remaining)
    check_not_over()


def execute_choice(state: State, value: Any, ctx: Context) -> tuple[Any, str | None]:
    """Run a Choice state.

    A Condition must be a boolean, and the Output next to Choices belongs to the Default branch (Step Functions
    Developer Guide, "Choice workflow state"). ministack accepts anything truthy and ignores that Output.
    """
    for rule in state.get("Choices", []):
        if stepfunctions._jsonata_state_field(rule, "Condition", "boolean", value, ctx):
            chosen, following = rule, rule["Next"]
            break
    else:
        if "Default" not in state:
            raise ExecutionError("States.NoChoiceMatched", "No choice rule matched and no Default")
        chosen, following = state, state["Default"]
    output = stepfunctions._apply_jsonata_output(chosen, value, ctx, default=value)
    stepfunctions._apply_state_assign(chosen, value, ctx)
    return output, following


def assign(state: State, value: Any, ctx: Context | None, result: Any = None, error_output: Any = None) -> None:
    """Evaluate Assign; every expression sees the variables as they were when the state was entered.

    ministack lets later expressions see the values of earlier ones (Step Functions Developer Guide, "Passing data
    between states with variables": evaluation order in an Assign field).
    """
    if ctx is None or not isinstance(state.get("Assign"), dict):
        return
    values = {
        name: stepfunctions._apply_jsonata_template(template, value, ctx, result, error_output)
        for name, template in state["Assign"].items()
    }
    ctx.setdefault("variables", {}).update(values)


# Tasks ------------------------------------------------------------------------------------------------------


def execute_task(state: State, value: Any, execution: Execution, ctx: Context) -> tuple[Any, str | None]:
    """Run a Task state under its Retry and Catch."""
    if ".waitForTaskToken" in state["Resource"]:
        ctx["Task"] = {"Token": stepfunctions.new_uuid()}
    result: tuple[Any, str | None] = stepfunctions._with_retry_and_catch(
        state, value, ctx, lambda: _attempt_task(state, value, execution, ctx)
    )
    return result


def _attempt_task(state: State, value: Any, execution: Execution, ctx: Context) -> tuple[Any, str | None]:
    arguments = stepfunctions._apply_jsonata_arguments(state, value, ctx)
    result = _invoke(state, arguments, value, execution, ctx)
    output = stepfunctions._apply_jsonata_output(state, value, ctx, result=result, default=result)
    stepfunctions._apply_state_assign(state, value, ctx, result=result)
    return output, stepfunctions._next_or_end(state)


def _invoke(state: State, arguments: Any, value: Any, execution: Execution, ctx: Context) -> Any:
    resource = state["Resource"]
    names = _resource_names(resource)
    check_size(arguments, "The input of the task")
    scheduled = {**names, "region": stepfunctions.get_region(), "parameters": json.dumps(arguments)}
    stepfunctions._add_event(execution, "TaskScheduled", {"taskScheduledEventDetails": scheduled})
    stepfunctions._add_event(execution, "TaskStarted", {"taskStartedEventDetails": names})
    call_recorder.record({"role": ctx["Execution"]["RoleArn"]}, names["resourceType"], names["resource"], arguments)
    try:
        timeout = None
        if "TimeoutSeconds" in state:
            timeout = float(stepfunctions._jsonata_state_field(state, "TimeoutSeconds", "number", value, ctx))
        if ".waitForTaskToken" in resource:
            result = _invoke_and_wait_for_token(resource, arguments, ctx["Task"]["Token"], timeout)
        elif timeout is not None and ":activity:" not in resource:
            result = stepfunctions._invoke_resource_with_timeout(resource, arguments, timeout)
        else:
            result = stepfunctions._invoke_resource(resource, arguments)
        check_size(result, "The task")
    except ExecutionError as error:
        event = "TaskTimedOut" if error.error == "States.Timeout" else "TaskFailed"
        failure = {**names, "error": error.error, "cause": error.cause or ""}
        stepfunctions._add_event(execution, event, {f"t{event[1:]}EventDetails": failure})
        raise
    succeeded = {**names, "output": json.dumps(result)}
    stepfunctions._add_event(execution, "TaskSucceeded", {"taskSucceededEventDetails": succeeded})
    return result


def _resource_names(resource: str) -> dict[str, str]:
    if ":function:" in resource:
        return {"resourceType": "lambda", "resource": "invoke"}
    *service, action = resource.removeprefix("arn:aws:states:::").split(":")
    return {"resourceType": ":".join(service), "resource": action}


def _invoke_and_wait_for_token(resource: str, arguments: Any, token: str, timeout: float | None) -> Any:
    """Make the call that passes the token on, then wait for SendTaskSuccess or SendTaskFailure.

    ministack waits even if the call itself has failed.
    """
    callback: dict[str, Any] = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
    stepfunctions._task_tokens[token] = callback
    started = time.monotonic()
    try:
        stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), arguments)
        while not callback["event"].wait(0.05):
            check_not_over()
            if timeout is not None and time.monotonic() - started > timeout:
                raise ExecutionError("States.Timeout", "")
    finally:
        stepfunctions._task_tokens.pop(token, None)
    if callback["error"]:
        raise ExecutionError(callback["error"]["Error"], callback["error"]["Cause"])
    return json.loads(callback["result"])


# Errors -----------------------------------------------------------------------------------------------------


def with_retry_and_catch(
    state: State, value: Any, ctx: Context, attempt: Callable[[], tuple[Any, str | None]]
) -> tuple[Any, str | None]:
    """Run an attempt of a Task or Map state with the state's Retry and Catch."""
    entered = ctx["State"]
    attempts_of_retrier: dict[int, int] = {}
    while True:
        # Each attempt counts the retries before it.
        ctx["State"] = {**entered, "RetryCount": sum(attempts_of_retrier.values())}
        try:
            return attempt()
        except ExecutionError as error:
            retrier, number = stepfunctions._find_matching_retrier(
                state.get("Retry", []), error.error, attempts_of_retrier
            )
            if retrier is not None:
                attempts = attempts_of_retrier.get(number, 0)
                stepfunctions._scaled_sleep(retry_delay(retrier, attempts))
                attempts_of_retrier[number] = attempts + 1
                continue
            catcher = stepfunctions._find_matching_catcher(state.get("Catch", []), error.error)
            if catcher is None:
                raise
            error_output = {"Error": error.error, "Cause": error.cause}
            output = stepfunctions._apply_catcher(catcher, value, ctx, "JSONata", error_output)
            return output, catcher["Next"]


def retry_delay(retrier: dict[str, Any], attempts: int) -> float:
    """Return the seconds to wait before the next attempt.

    ministack ignores MaxDelaySeconds and JitterStrategy and never waits longer than a minute (Step Functions Developer
    Guide, "Retrying after an error").
    """
    interval = float(retrier.get("IntervalSeconds", DEFAULT_INTERVAL_SECONDS))
    delay = interval * float(retrier.get("BackoffRate", DEFAULT_BACKOFF_RATE)) ** attempts
    delay = min(delay, float(retrier.get("MaxDelaySeconds", delay)))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay


def error_matches(error_equals: list[str], error: str) -> bool:
    """Return whether a retrier or catcher matches an error.

    Unlike ministack's, the wildcards don't match the two terminal errors (Step Functions Developer Guide, "Error
    names": States.ALL, States.DataLimitExceeded, States.Runtime, States.TaskFailed, States.Timeout).
    """
    if error in error_equals:
        return True
    if error in ("States.DataLimitExceeded", "States.Runtime"):
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


# Concurrency ------------------------------------------------------------------------------------------------


def under_ender[T](ender: threading.Event, work: Callable[[], T]) -> T:
    """Run ``work`` so that setting ``ender`` makes it raise ExecutionOverError at its next step."""
    token = _enders.set((*_enders.get(), ender))
    try:
        check_not_over()
        return work()
    finally:
        _enders.reset(token)
