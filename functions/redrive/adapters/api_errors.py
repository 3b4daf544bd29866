"""What the errors of SQS, Lambda, and Step Functions mean to a lane.

Used by the pipeline, which makes the requests. Codes are those of the API references: SQS "Common errors" and the lists
of its actions, Lambda Invoke, Step Functions StartExecution.
"""

from __future__ import annotations

from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.error_codes import CREDENTIALS, DENIED, NO_QUEUE, THROTTLED
from redrive.domain.messages.destinations import Kind
from redrive.domain.messages.queue_keys import KEY_ERRORS
from redrive.domain.moving.actions import Action, ApiError, ErrorKind, Send

# The request didn't leave this machine.
_NOT_SENT = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}


class _Codes(NamedTuple):
    """The error codes of a service. Any other means refused below HTTP status 500, and uncertain from 500 on."""

    throttled: frozenset[str]
    gone: frozenset[str]
    limit: frozenset[str] = frozenset()

    def kind(self, code: str, *, sender_fault: bool) -> ErrorKind:
        """Return what a code means."""
        if code in self.throttled or code in THROTTLED:
            return ErrorKind.THROTTLED
        if code in self.limit:
            return ErrorKind.LIMIT
        if code in self.gone or code in DENIED or code in CREDENTIALS:
            return ErrorKind.GONE
        return ErrorKind.REFUSED if sender_fault else ErrorKind.UNCERTAIN


_SQS = _Codes(
    throttled=frozenset({"TooManyRequestsException", "KMS.ThrottlingException", "KmsThrottled"}),
    gone=frozenset(
        {
            # As the query protocol names them, which botocore reports, and as the JSON protocol does.
            *NO_QUEUE,
            *("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"),
            *KEY_ERRORS,
        }
    ),
    limit=frozenset({"OverLimit", "AWS.SimpleQueueService.OverLimit"}),
)
_LAMBDA = _Codes(
    throttled=frozenset(
        {
            "TooManyRequestsException",
            "EC2ThrottledException",
            # The function is being created or updated.
            *("ResourceConflictException", "ResourceNotReadyException"),
        }
    ),
    gone=frozenset({"ResourceNotFoundException"}),
)
_STEP_FUNCTIONS = _Codes(
    # A million executions can be open at a time (Step Functions developer guide, "Quotas").
    throttled=frozenset({"ExecutionLimitExceeded", "KmsThrottlingException"}),
    gone=frozenset(
        {
            *("StateMachineDoesNotExist", "StateMachineDeleting"),
            *("KmsAccessDeniedException", "KmsInvalidStateException"),
        }
    ),
)


def api_error_of(error: ClientError | BotoCoreError, action: Action) -> ApiError:
    """Return what an error of a whole request means.

    Parameters
    ----------
    error : ClientError | BotoCoreError
        What botocore raised.
    action : Action
        What was requested.
    """
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "Unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return ApiError(code, _kind(code, action, sender_fault=status < 500))
    code = type(error).__name__
    if code in _NOT_SENT:
        return ApiError(code, ErrorKind.THROTTLED)
    return ApiError(code, ErrorKind.REFUSED if code == "ParamValidationError" else ErrorKind.UNCERTAIN)


def entry_error_of(code: str, action: Action, *, sender_fault: bool) -> ApiError:
    """Return what a `Failed` entry of a batch means. SQS lists an entry there if it was not carried out."""
    kind = _kind(code, action, sender_fault=sender_fault)
    return ApiError(code, ErrorKind.THROTTLED if kind is ErrorKind.UNCERTAIN else kind)


def _kind(code: str, action: Action, *, sender_fault: bool) -> ErrorKind:
    kind = _codes_of(action).kind(code, sender_fault=sender_fault)
    if kind is ErrorKind.GONE and code not in CREDENTIALS and isinstance(action, Send) and action.destination.met:
        # One that some messages go to, not the run's own: they stay, and the others go on.
        return ErrorKind.REFUSED
    return kind


def _codes_of(action: Action) -> _Codes:
    if isinstance(action, Send):
        return {Kind.FUNCTION: _LAMBDA, Kind.STATE_MACHINE: _STEP_FUNCTIONS}.get(action.destination.kind, _SQS)
    return _SQS
