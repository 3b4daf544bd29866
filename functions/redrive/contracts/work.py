"""Bounds the work on one message: in steps that grow with its size, never in seconds.

A pattern or a query can run for hours on one text, maliciously or by accident. A clock would also end honest work on a
busy machine; counting steps gives the same verdict everywhere. Used by JSON Schema contracts and JMESPath queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class TooMuchWorkError(Exception):
    """A check needs more work than a message of this size gets, which says nothing about the message."""


@dataclass(slots=True)
class Work:
    """The steps that each of several checks may take."""

    #: Steps that every message gets.
    base: int
    #: Steps that it gets in addition for each byte.
    per_byte: int
    #: Steps that are left.
    left: int = field(default=0, init=False)

    def start(self, size: int) -> None:
        """Start the check of a message of `size` bytes or characters."""
        self.left = self.allowed(size)

    def allowed(self, size: int) -> int:
        """Return the steps that a message of `size` bytes or characters gets."""
        return self.base + self.per_byte * size

    def take(self, steps: int = 1) -> None:
        """Take steps before doing them.

        Raises
        ------
        TooMuchWorkError
            If not enough are left; then none are left.
        """
        self.left -= steps
        if self.left < 0:
            self.left = 0
            raise TooMuchWorkError
