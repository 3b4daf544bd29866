"""What can keep a stack, or one scenario, from being verified."""

from __future__ import annotations


class VerifyError(Exception):
    """Nothing can be verified; the message says what was expected, what was found, and what to do."""


class MismatchError(Exception):
    """A scenario found something else than the redrive promises."""


class SkippedError(Exception):
    """A scenario can't be played here; the message says why, and how to enable it."""


class InterruptedByUserError(Exception):
    """Ctrl-C or SIGTERM: the scenario ends and removes what it made."""
