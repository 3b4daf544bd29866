"""Runs the workflows' definitions in the interpreter that moto ships: LocalStack's, which is validated against AWS.

Used by the tests in tests/state_machines. moto leaves out what evaluates JSONata; the reference implementation takes
its place, and gets the variables as values, not as text in the expression. Functions are called directly, all other
services are moto's. No time passes: waits and the delays of retries are noted.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sns import (
    StateTaskServiceSns,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from redrive.domain.errors import RedriveError
from tests.support.definitions import definition
from tests.support.executions import ACCOUNT, MAX_CAUSE, REGION, VALUES, Finished, Functions, TaskError
from tests.support.jsonata_engines import UNDEFINED, Evaluate, EvaluationError

_SECONDS = 60.0
# Parsing takes as long as running, and what is parsed holds no state.
_parse = cache(AmazonStateLanguageParser.parse)


@dataclass
class Interpreter:
    """Runs executions."""

    evaluate: Evaluate
    #: Returns what a function answers to an event.
    functions: Functions
    #: The state machines, by name.
    arns: dict[str, str] = field(default_factory=dict)
    #: The errors that the next attempts at a state's task fail with.
    failures: dict[str, list[TaskError]] = field(default_factory=dict)
    #: What to call before a state's task.
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    #: Attempts at tasks, by state.
    attempts: Counter[str] = field(default_factory=Counter)
    #: The seconds before each retry and of each wait.
    delays: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    #: Expressions that were evaluated.
    evaluated: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _one_function: threading.Lock = field(default_factory=threading.Lock)

    def create(self, name: str, states: Mapping[str, Any] | None = None) -> str:
        """Create the state machine of a definition, or another definition under its name; return its ARN."""
        text = json.dumps(definition(name) if states is None else states)
        for placeholder, value in VALUES.items():
            text = text.replace(f"${{{placeholder}}}", value)
        made = self._backend.create_state_machine(name, text, f"arn:aws:iam::{ACCOUNT}:role/workflow")
        self.arns[name] = made.arn
        return self.arns[name]

    def run(self, arn: str, given: Any, name: str = "run-1") -> Finished:
        """Run an execution to its end."""
        return self.finished(self._backend.start_execution(arn, name, json.dumps(given)).exec_arn)

    def finished(self, arn: str) -> Finished:
        """Return an execution after its end."""
        execution: Any = self._backend.describe_execution(arn)
        until = time.monotonic() + _SECONDS
        while execution.status == "RUNNING":
            assert time.monotonic() < until, f"expected {arn} to end within {_SECONDS:g} seconds"
            time.sleep(0.001)
        events: list[Any] = execution.to_history_output()["events"]
        return Finished(execution.status, execution.output, execution.error, execution.cause, events, arn)

    def executions(self, state_machine: str) -> list[Finished]:
        """Return all executions of a state machine, the first one first, each after its end."""
        started = self._backend.describe_state_machine(state_machine).executions
        return [self.finished(execution.exec_arn) for execution in started]

    def statuses(self, state_machine: str) -> list[str]:
        """Return the status of each execution of a state machine."""
        return [execution.status for execution in self._backend.describe_state_machine(state_machine).executions]

    def stop(self, arn: str) -> None:
        """Abort an execution."""
        self._backend.stop_execution(arn)

    @property
    def _backend(self) -> Any:
        return stepfunctions_parser_backends[ACCOUNT][REGION]

    # What takes the place of parts of moto

    def _jsonata(self, component: Any, env: Any) -> None:
        states = {
            key: value
            for key, value in env.states._states_data.items()
            if value is not None or key not in {"result", "errorOutput"}
        }
        store = env.variable_store
        expression = component.expression.strip()
        with self._lock:
            self.evaluated.add(expression)
        try:
            value = self.evaluate(expression, {**store._outer_scope, **store._inner_scope, "states": states})
            problem = "returned nothing (undefined)" if value is UNDEFINED else None
        except EvaluationError as error:
            problem = f"failed: {error}"
        if problem:
            raise _failure(env, "States.QueryEvaluationError", f"The JSONata expression '{expression}' {problem}.")
        env.stack.append(value)

    def _task(self, original: Callable[..., None] | None, component: Any, *, env: Any, **given: Any) -> None:
        name = component.name
        self.before.get(name, lambda: None)()
        with self._lock:
            self.attempts[name] += 1
            pending = self.failures.get(name)
            failing = pending.pop(0) if pending else None
        try:
            if failing is not None and not failing.late:
                raise failing
            if original is None:
                arguments = given["normalised_parameters"]
                payload = json.loads(arguments["Payload"])
                # The functions share an environment, which they read.
                with self._one_function:
                    answer = self.functions(arguments["FunctionName"], payload)
                env.stack.append({"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": answer})
            else:
                original(component, env=env, **given)
            if failing is not None:
                raise failing
        except TaskError as error:
            raise _failure(env, error.error, error.cause, component) from None
        except RedriveError as error:
            cause = {"errorMessage": str(error), "errorType": type(error).__name__}
            raise _failure(env, type(error).__name__, json.dumps(cause), component) from None


def _failure(env: Any, error: str, cause: str, component: Any = None) -> FailureEventException:
    kind = next((kind for kind in StatesErrorNameType if kind.to_name() == error), None)
    failed = {
        "error": error,
        "cause": cause[:MAX_CAUSE],
        "resource": component._get_sfn_resource() if component else "",
        "resourceType": component._get_sfn_resource_type() if component else "",
    }
    details: Any = {"taskFailedEventDetails": failed}
    event = FailureEvent(
        env=env,
        error_name=CustomErrorName(error) if kind is None else StatesErrorName(typ=kind),
        event_type=HistoryEventType.TaskFailed,
        event_details=details,
    )
    return FailureEventException(failure_event=event)


def _to_request(component: Any, parameters: dict[str, Any], **_: Any) -> None:
    # moto left LocalStack's renaming out. In a definition, the parameters of StartExecution begin with capital letters.
    if isinstance(component, StateTaskServiceSfn | StateTaskServiceAwsSdk):
        for name in list(parameters):
            parameters[name[0].lower() + name[1:]] = parameters.pop(name)


def _from_response(component: Any, response: Any, **_: Any) -> None:
    if isinstance(component, StateTaskServiceSfn | StateTaskServiceAwsSdk):
        for name in list(response):
            response[name[0].upper() + name[1:]] = response.pop(name)


@contextmanager
def interpreter(evaluate: Evaluate, functions: Functions) -> Iterator[Interpreter]:
    """Provide an interpreter; the account must be one that runs workflows."""
    made = Interpreter(evaluate, functions)
    made._backend.reset()

    def note_wait(_function: Any, env: Any, wait_seconds: float) -> None:
        assert env.is_running()
        made.waits.append(wait_seconds)

    def evaluate_expression(component: Any, env: Any) -> None:
        made._jsonata(component, env)

    def patched(kind: Any, *, calls: bool = True) -> Any:
        original = kind._eval_service_task if calls else None
        return patch.object(
            kind, "_eval_service_task", lambda component, **given: made._task(original, component, **given)
        )

    def from_error(component: Any, env: Any, ex: Exception) -> FailureEvent:
        event = describe_error(component, env, ex)
        # The description of a nested execution that failed: moto doesn't cut it off.
        details: Any = event.event_details
        details["taskFailedEventDetails"]["cause"] = details["taskFailedEventDetails"]["cause"][:MAX_CAUSE]
        return event

    describe_error = StateTaskServiceSfn._from_error
    pause, poll = SimpleNamespace(sleep=made.delays.append), SimpleNamespace(sleep=lambda _: time.sleep(0.002))
    with ExitStack() as stack:
        for patching in (
            patch.object(AmazonStateLanguageParser, "parse", _parse),
            # It writes out the whole program at each failure.
            patch.object(EvalComponent, "_log_failure_event_exception", lambda *_, **__: None),
            patch.object(StringJSONata, "_eval_body", evaluate_expression),
            patch.object(retrier_decl, "time", pause),
            patch.object(state_task_service_callback, "time", poll),
            patch.object(WaitFunction, "_wait_interval", note_wait),
            patch.object(StateTaskService, "_normalise_parameters", _to_request),
            patch.object(StateTaskService, "_normalise_response", _from_response),
            patch.object(StateTaskServiceSfn, "_from_error", from_error),
            patched(StateTaskServiceLambda, calls=False),
            patched(StateTaskServiceSfn),
            patched(StateTaskServiceSns),
            patched(StateTaskServiceAwsSdk),
        ):
            stack.enter_context(patching)
        yield made
