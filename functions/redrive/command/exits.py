"""How a command ends: its exit code, and what an error of the operator's or of AWS means to a person."""

from __future__ import annotations

import errno
from enum import IntEnum

# Whatever botocore raises before or instead of a request, with what to do.
_REMEDIES = {
    "NoCredentialsError": "No AWS credentials were found. Sign in (aws sso login), or set AWS_PROFILE or --profile.",
    "PartialCredentialsError": "The AWS credentials are incomplete. Check the profile, or sign in (aws sso login).",
    "TokenRetrievalError": "The session of AWS IAM Identity Center has expired. Sign in again: aws sso login",
    "SSOTokenLoadError": "There is no session of AWS IAM Identity Center. Sign in: aws sso login",
    "UnauthorizedSSOTokenError": "The session of AWS IAM Identity Center has expired. Sign in again: aws sso login",
    "CredentialRetrievalError": "The credential process of this profile failed. Run it by itself to see why.",
    "NoRegionError": "No AWS Region is set. Set AWS_REGION, or use --region.",
    "InvalidRegionError": "The Region isn't valid. Expected a code such as eu-west-1 in --region or AWS_REGION.",
    "ProfileNotFound": "The profile isn't in your AWS configuration. List those that are: aws configure list-profiles",
}
_UNREACHABLE = {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"} | {
    "SSLError",
    "ProxyConnectionError",
}
# botocore can't use a file, a profile, or a variable. Its text says why, and contains nothing secret.
_CONFIGURATION = {"ConfigParseError", "InvalidConfigError", "InvalidDefaultsMode", "InvalidRetryConfigurationError"} | {
    "LoginError",
    "MissingDependencyException",
}
# The answer isn't from AWS. botocore has a specific error only if the protocol is XML.
_NOT_AWS = {"NotAwsError", "ResponseParserError"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
# Besides those that the adapters know.
_WRONG = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthFailure", "MissingAuthenticationToken"}


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    HALTED = 3
    REJECTED = 4
    STOPPED = 5
    #: The command did what it should, and something is left to do.
    LEFT = 6


#: As a shell reports a process that Ctrl-C has ended.
INTERRUPTED = 130
MEANINGS = {
    Exit.DONE: "Done.",
    Exit.FAILED: "Failed: the message says why and what to do.",
    Exit.USAGE: "Wrong usage: an option, an argument, or a file that it names.",
    Exit.HALTED: "The run halted before its end.",
    Exit.REJECTED: "Rejected before anything moved.",
    Exit.STOPPED: "An operator stopped the run.",
    Exit.LEFT: "Done, and something is left to do: for `look` and `plan`, messages that a run wouldn't redrive; for "
    "`doctor`, problems or warnings.",
}


class CommandError(Exception):
    """A command can't do what it was asked to. The text says what was expected, what was found, and what to do."""

    def __init__(self, text: str, exit_code: int = Exit.FAILED) -> None:
        super().__init__(text)
        self.exit = exit_code


def explained(error: Exception) -> CommandError | None:
    """Return what an error means to an operator, or None if it is a defect of this command."""
    if isinstance(error, CommandError):
        return error
    name = type(error).__name__
    found = CommandError(_REMEDIES[name]) if name in _REMEDIES else None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if {"RedriveError", "StackError"} & kinds:
        found = CommandError(str(error), Exit.REJECTED if name == "RejectedError" else Exit.FAILED)
    elif name in _UNREACHABLE:
        found = CommandError(f"AWS can't be reached ({name}). Check the network, the Region, and AWS_ENDPOINT_URL.")
    elif _CONFIGURATION & kinds:
        found = CommandError(f"Your AWS configuration can't be used. {error}")
    elif name in _NOT_AWS:
        found = CommandError(
            "The answer isn't from AWS. It may be from a proxy, a network's sign-in page, or another server at "
            "AWS_ENDPOINT_URL. Check them."
        )
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}:
        found = CommandError(f"A file can't be written: {error.strerror}. Free some space, or choose another place.")
    elif isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):
        found = CommandError("AWS_ENDPOINT_URL isn't a URL. Expected one such as http://127.0.0.1:4566, or unset it.")
    elif isinstance(response := getattr(error, "response", None), dict):
        found = _of_aws(response, getattr(error, "operation_name", "a request"))
    return found


def _of_aws(response: dict[str, dict[str, str]], operation: str) -> CommandError:
    # Imports botocore, which `redrive --help` must not wait for.
    from redrive.adapters.error_codes import CREDENTIALS, DENIED  # noqa: PLC0415

    code = response.get("Error", {}).get("Code", "Unknown")
    if code in _EXPIRED:
        return CommandError("The AWS credentials have expired. Sign in again (aws sso login), or renew them.")
    if code in CREDENTIALS | _WRONG:
        return CommandError(f"AWS doesn't accept the credentials ({code}). Check the profile and the Region.")
    if code in DENIED:
        return CommandError(f"These credentials don't allow {operation} ({code}). Ask for that permission.")
    return CommandError(f"AWS answered {operation} with {code}. Try again; if it stays, check the Region.")
