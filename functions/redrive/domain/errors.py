"""The errors that the workflow's Catch names by class.

Raised by domain, workflow, and adapters. A text says what was expected, what was found, and what to do. It never
repeats anything from a message, because it goes to the execution history and to SNS.
"""

from collections.abc import Callable

#: Logs that one message raised an unexpected error: the message's id, and the name of the error's class. The error's
#: text stays out, because it may quote the message.
type LogMessageError = Callable[[str, str], None]


class RedriveError(Exception):
    """Base of all errors whose text may be shown to an operator as is."""


class RejectedError(RedriveError):
    """The run was refused before anything moved."""


class LockLostError(RedriveError):
    """Another run holds the lock of the dead-letter queue, so this one must not move anything."""


class SupersededError(LockLostError):
    """Another attempt at the same slice has taken the lane's place, so this one must not move anything."""


class NotReleasedError(RedriveError):
    """Messages that a run kept invisible could not be made visible again; trying again may help."""
