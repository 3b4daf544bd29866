"""Error codes of AWS services, whatever the request.

Used by the adapters; `redrive.adapters.api_errors` says what a code means to a lane.
"""

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, ParamValidationError

#: As the query protocol, the JSON protocols, and SQS name a missing permission.
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})
#: As the query protocol names a queue that doesn't exist, which botocore reports, and as the JSON protocol does.
NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
#: Common to all services.
THROTTLED = frozenset(
    {
        *("ThrottlingException", "Throttling", "RequestThrottled", "RequestThrottledException"),
        # Of the runs table, which is read along with messages (DynamoDB developer guide, "Error handling").
        *("ProvisionedThroughputExceededException", "RequestLimitExceeded"),
    }
)
CREDENTIALS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidSecurity"),
        *("UnrecognizedClientException", "InvalidSignatureException"),
    }
)
# Others with a status below 500 (S3 API reference, "Error responses"; botocore, retries/standard.py).
_TRANSIENT = (
    THROTTLED | CREDENTIALS | {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "TooManyRequestsException"}
)
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500


def error_code(error: Exception) -> str:
    """Return the service's error code, or the name of whatever else went wrong with a request."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__


def is_transient(error: ClientError | BotoCoreError) -> bool:
    """Return whether the same read may succeed later: no answer, a throttle, or an error of the service itself."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERRORS or status == _TOO_MANY_REQUESTS or error_code(error) in _TRANSIENT
    return not isinstance(error, ParamValidationError)


def passes(error: Exception) -> bool:
    """Return whether waiting is all it takes: no answer, a throttle, or an error of the service; not of credentials."""
    if isinstance(error, ClientError):
        return is_transient(error) and error_code(error) not in CREDENTIALS
    return isinstance(error, (ConnectionError, HTTPClientError))
