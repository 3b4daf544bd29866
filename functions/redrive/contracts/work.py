"""Bounds the work on one message: in steps that grow with its size, never in seconds.

A pattern or a query can run for hours on one text, maliciously or by accident. A clock would also end honest work on a
busy machine; counting steps gives the same verdict everywhere. Used by JSON Schema contracts, JMESPath queries, and
whatever else parses a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# pydantic stops at the same depth.
MAX_DEPTH = 200


class TooMuchWorkError(Exception):
    """A check needs more work than a message of this size gets, which says nothing about the message."""


def check_depth(text: str, content: Any) -> None:
    """Refuse parsed JSON whose arrays and objects are nested deeper than `MAX_DEPTH`; `text` is the JSON.

    Raises
    ------
    TooMuchWorkError
        If they are.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    level = [content]
    for _ in range(MAX_DEPTH):
        containers = [value for value in level if isinstance(value, (dict, list))]
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    if any(isinstance(value, (dict, list)) for value in level):
        raise TooMuchWorkError


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
