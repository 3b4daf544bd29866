"""Error codes of AWS services, whatever the request.

Used by the adapters; `redrive.adapters.api_errors` says what a code means to a lane.
"""

from botocore.exceptions import ClientError

#: As the query protocol, the JSON protocols, and SQS name a missing permission.
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})


def error_code(error: Exception) -> str:
    """Return the service's error code, or the name of whatever else went wrong with a request."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
