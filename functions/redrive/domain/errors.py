"""The errors that the workflow's Catch names by class, and what becomes of all others.

Raised by domain, workflow, and adapters. A text says what was expected, what was found, and what to do. It never
repeats anything from a message, because it goes to the execution history, logs, traces, and SNS.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from redrive.domain.names import display_name

#: Logs that one message raised an unexpected error: the message's id, and the name of the error's class. The error's
#: text stays out, because it may quote the message.
type LogMessageError = Callable[[str, str], None]

# Frames of a traceback that say where an error was raised.
_FRAMES = 4


class RedriveError(Exception):
    """Base of all errors whose text may be shown to an operator as is."""


class RejectedError(RedriveError):
    """The run was refused before anything moved."""


class LockLostError(RedriveError):
    """Another run holds the lock of the dead-letter queue, so this one must not move anything."""


class FormatError(RedriveError):
    """A run or a row of the runs table is of another version of this app, which works on it in another way."""


class SupersededError(LockLostError):
    """Another attempt at the same slice has taken the lane's place, so this one must not move anything."""


class StateFileError(LockLostError):
    """The local file of a run without a stack can't be read or written, so nothing more may move."""


class SuspendedError(RedriveError):
    """A run without a stack can't go on for now, such as without valid credentials; it can be resumed."""


class ContinuationError(RedriveError):
    """The execution that a long run continued in ended without a report: it was aborted, or Step Functions ended it."""


class NotReleasedError(RedriveError):
    """Messages that a run kept invisible could not be made visible again; trying again may help."""


class UnavailableError(RedriveError):
    """A contract or a mapping can't be read at the moment; trying again may help, so the workflow repeats the step."""


class UnexpectedError(RedriveError):
    """Something failed that nothing here expects. The text has the form that `unexpected` gives it."""


def unexpected(error: BaseException) -> UnexpectedError:
    """Return the error that takes a foreign one's place: its type, its place in the code, and AWS's code if it has one.

    The foreign text may quote a message: a KeyError its key, a ValidationError its input, a ClientError its parameters.
    """
    facts = [display_name(type(error).__name__), *_aws_facts(error)]
    frames = list(traceback.walk_tb(error.__traceback__))[-_FRAMES:]
    place = " < ".join(f"{frame.f_code.co_name}:{line}" for frame, line in reversed(frames))
    return UnexpectedError(f"Expected no error, found {', '.join(facts)}{f' at {place}' if place else ''}.")


def _aws_facts(error: BaseException) -> list[str]:
    """Return the code and the request id of an error that botocore raised for an AWS service's answer."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return []
    members = (("code", response.get("Error"), "Code"), ("request", response.get("ResponseMetadata"), "RequestId"))
    return [
        f"{name} {display_name(part[key])}"
        for name, part, key in members
        if isinstance(part, dict) and isinstance(part.get(key), str)
    ]


def guarded[**P, R](*own: type[Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that lets no foreign error out of a Lambda handler.

    Lambda puts the text of an error into its log and its answer, into X-Ray, and into the record for an on-failure
    destination; Step Functions puts it into the execution history.

    Parameters
    ----------
    own : type[Exception]
        Errors that leave the handler as they are, because their texts are written for operators.
    """
    passed: tuple[type[Exception], ...] = (RedriveError, *own)

    def decorator(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def guard(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except passed as error:
                # Without the error that it was raised for.
                raise error from None
            except Exception as error:  # noqa: BLE001
                # The outermost edge.
                raise unexpected(error) from None

        return guard

    return decorator
