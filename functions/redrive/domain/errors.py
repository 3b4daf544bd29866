"""The errors of a redrive that the workflow's Catch names by class.

Raised by domain and adapters. A text says what was expected, what was found and what to do, and never repeats
anything from a message, since it goes to the execution history and to SNS.
"""


class RedriveError(Exception):
    """Base of all errors whose text may be shown to an operator as it is."""


class RejectedError(RedriveError):
    """The run was refused before anything moved."""


class LockLostError(RedriveError):
    """Another run holds the lock of the dead-letter queue: this one must not move anything."""
