"""Makes the calls of state machines to other services succeed and fail as Step Functions' integrations do.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core import responses
from ministack.services import lambda_svc, sqs, stepfunctions

from local.ministack_compat import fit, sns
from local.ministack_compat.step_functions import ExecutionError, check_not_over

# By the service of an integration: the model that declares its errors.
MODELS = {"sqs": "sqs", "sns": "sns", "sfn": "states"}

CHILD_POLL_SECONDS = 0.02
# Characters of a task's cause (Step Functions API Reference, TaskFailedEventDetails).
MAX_CAUSE = 32_768

_upstream_invoke = stepfunctions._invoke_resource


def apply() -> None:
    """Put the patches of this module in place."""
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::sns:publish"] = publish
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::sqs:sendMessage"] = send_message
    fit.replace(
        stepfunctions,
        _call_lambda=call_lambda,
        _invoke_nested_start_execution=start_execution,
        _invoke_nested_start_execution_sync=start_execution_and_wait,
        _invoke_resource=invoke_resource,
    )


def invoke_resource(resource: str, arguments: Any) -> Any:
    """Call what a Task names; the result of ``lambda:invoke`` says which version ran."""
    result = _upstream_invoke(resource, arguments)
    if "states:::lambda:invoke" in resource:
        return {"ExecutedVersion": "$LATEST", **result}
    return result


def call_lambda(function_reference: str, event: Any) -> Any:
    """Invoke a function for a Task.

    ministack parses a text that the function returns as JSON, and reports throttling as ``Lambda.Unknown`` (Step
    Functions Developer Guide, "Error names": Lambda.TooManyRequestsException).
    """
    function, config, name = lambda_svc._get_func_record_for_ref(function_reference)
    if not function or not config:
        raise ExecutionError("Lambda.ResourceNotFoundException", f"Function not found: {name}")
    record = lambda_svc._execution_record_for_config(function, config)
    outcome = lambda_svc._execute_function_with_config_scope(record, event)
    body = outcome.get("body")
    if outcome.get("throttle"):
        raise ExecutionError("Lambda.TooManyRequestsException", body["message"])
    if outcome.get("error"):
        raise ExecutionError(body.get("errorType") or "Lambda.Unknown", json.dumps(body))
    return body


def publish(_resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The optimized integration ``sns:publish``."""
    try:
        return sns.publish(arguments)
    except sns.PublishError as error:
        raise ExecutionError(_java_name("SNS", "sns", error.code), str(error)) from error


def send_message(_resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The optimized integration ``sqs:sendMessage``; an object as MessageBody is sent as JSON text."""
    body = arguments.get("MessageBody")
    request = {**arguments, "MessageBody": body if isinstance(body, str) else json.dumps(body)}
    try:
        result: dict[str, Any] = sqs._act_send_message(request, arguments.get("QueueUrl", ""))
    except sqs._Err as error:
        raise ExecutionError(_java_name("SQS", "sqs", error.code), error.message) from error
    return result


def _java_name(prefix: str, service: str, code: str) -> str:
    """Return the name of an error as the AWS SDK for Java has it, such as ``Sqs.QueueDoesNotExistException``.

    An error that the model of the service doesn't declare is its general exception, ``SqsException`` (Step Functions
    Developer Guide, "Learning to use AWS service SDK integrations").
    """
    code = code.rsplit("#", 1)[-1]
    model = responses._service_model(MODELS[service])
    if model is None or code not in _declared_errors(model):
        general = stepfunctions._AWS_SDK_ERROR_PREFIX[service]
        return f"{prefix}.{general}Exception"
    name = _declared_errors(model)[code]
    return f"{prefix}.{name if name.endswith('Exception') else name + 'Exception'}"


def _declared_errors(model: Any) -> dict[str, str]:
    """Return the declared errors by name and by code: SNS answers NotFound for its NotFoundException."""
    names: dict[str, str] = {}
    for shape in model.error_shapes:
        names[shape.name] = shape.name
        names[shape.metadata.get("error", {}).get("code", shape.name)] = shape.name
    return names


# Nested executions ------------------------------------------------------------------------------------------


def start_execution(_resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """``states:startExecution``; its errors are those of the StepFunctions client."""
    request = stepfunctions._nested_start_execution_request(arguments)
    status, _headers, body = stepfunctions._start_execution(request)
    answer = json.loads(body)
    if status >= 400:
        code = answer.get("__type", "AWSStepFunctions").rsplit("#", 1)[-1]
        raise ExecutionError(_java_name("StepFunctions", "sfn", code), answer.get("message", ""))
    return {"ExecutionArn": answer["executionArn"], "StartDate": answer["startDate"]}


def start_execution_and_wait(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """``states:startExecution.sync`` and ``.sync:2``.

    A child that does not succeed fails the task with ``States.TaskFailed``, its description being the cause, cut off if
    it's too long; ministack passes the child's own error on (Step Functions Developer Guide, "Start a new AWS Step
    Functions state machine from a running execution"). Stopping the parent stops the child.
    """
    arn = start_execution(resource, arguments)["ExecutionArn"]
    execution = stepfunctions._executions[arn]
    try:
        while execution["status"] == "RUNNING":
            check_not_over()
            time.sleep(CHILD_POLL_SECONDS)
    finally:
        if execution["status"] == "RUNNING":
            stepfunctions._stop_execution({"executionArn": arn})
    description = _described(execution)
    if execution["status"] != "SUCCEEDED":
        raise ExecutionError("States.TaskFailed", json.dumps(description)[:MAX_CAUSE])
    if resource.endswith(".sync:2"):
        description["Output"] = json.loads(execution["output"])
    return description


def _described(execution: dict[str, Any]) -> dict[str, Any]:
    description = {
        "ExecutionArn": execution["executionArn"],
        "Input": execution["input"],
        "InputDetails": {"Included": True},
        "Name": execution["name"],
        "Output": execution.get("output"),
        "OutputDetails": {"Included": True},
        "RedriveCount": 0,
        "StartDate": stepfunctions._iso_to_epoch_ms(execution["startDate"]),
        "StateMachineArn": execution["stateMachineArn"],
        "Status": execution["status"],
        "StopDate": stepfunctions._iso_to_epoch_ms(execution["stopDate"]),
        "Error": execution.get("error"),
        "Cause": execution.get("cause"),
    }
    return {name: value for name, value in description.items() if value is not None}
