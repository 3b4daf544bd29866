"""What the error codes of destinations mean, in words for an operator.

Used by the sentence that says why a run is incomplete. Codes are those of the API references: SQS SendMessageBatch,
Lambda Invoke, Step Functions StartExecution, and botocore's names for requests without an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from redrive.domain.messages.queue_keys import KEY_ERRORS

_TOO_LARGE = "larger than the destination accepts"
_AGAIN = "start another run"
_SLOWER = "throttled; start another run at a lower rate"
_DENIED = "this deployment may not deliver to it; check its policy, its key, and the parameters of this stack"
_KEY = "SQS can't use the key of the destination; enable it, and allow the mover's role to use it in its policy"
_DELETED = "the destination doesn't exist anymore"
_NO_ANSWER = f"the service gave no clear answer; {_AGAIN}"

#: Error codes, and what each means, with what to do.
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "AccessDenied": _DENIED,
        "AccessDeniedException": _DENIED,
        "AWS.SimpleQueueService.NonExistentQueue": _DELETED,
        "QueueDoesNotExist": _DELETED,
        "ResourceNotFoundException": _DELETED,
        "StateMachineDoesNotExist": _DELETED,
        "StateMachineDeleting": _DELETED,
        "InvalidParameterValue": "the destination doesn't accept its size, an attribute, or another value",
        "InvalidMessageContents": "the body contains characters that SQS doesn't accept",
        "BatchRequestTooLong": _TOO_LARGE,
        "AWS.SimpleQueueService.BatchRequestTooLong": _TOO_LARGE,
        "RequestTooLargeException": _TOO_LARGE,
        "RequestEntityTooLargeException": _TOO_LARGE,
        "UnsupportedOperation": "the destination doesn't support the request",
        "AWS.SimpleQueueService.UnsupportedOperation": "the destination doesn't support the request",
        "InvalidRequestContentException": "the payload isn't JSON, which a function takes",
        "UnsupportedMediaTypeException": "the payload isn't JSON, which a function takes",
        "InvalidExecutionInput": "the payload isn't JSON, which a state machine takes",
        "InvalidName": "the name of the execution is invalid",
        **dict.fromkeys(sorted(KEY_ERRORS), _KEY),
        "KMS.ThrottlingException": _SLOWER,
        "KmsThrottled": _SLOWER,
        "RequestThrottled": _SLOWER,
        "Throttling": _SLOWER,
        "ThrottlingException": _SLOWER,
        "TooManyRequestsException": _SLOWER,
        "ExecutionLimitExceeded": _SLOWER,
        "EC2ThrottledException": _SLOWER,
        "ConnectTimeoutError": _NO_ANSWER,
        "ConnectionClosedError": _NO_ANSWER,
        "EndpointConnectionError": _NO_ANSWER,
        "InternalError": _NO_ANSWER,
        "InternalFailure": _NO_ANSWER,
        "NotListed": _NO_ANSWER,
        "ReadTimeoutError": _NO_ANSWER,
        "ServiceException": _NO_ANSWER,
        "ServiceUnavailable": _NO_ANSWER,
    }
)
#: Codes that may mean that a message is too large for its destination.
OF_SIZE = frozenset(code for code, meaning in MEANINGS.items() if "size" in meaning or meaning == _TOO_LARGE)
