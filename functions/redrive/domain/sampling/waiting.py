"""Foresees which messages a run would leave because one in front of them in their FIFO group stays.

Used by the sample step; `redrive.domain.moving.hand` does the same to the messages that a lane has in hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from redrive.domain.judging.judge import Judgment
from redrive.domain.judging.verdicts import Line, Reason, Redrive, Skip, line_of


@dataclass(slots=True)
class Waiting:
    """The groups of the messages peeked at, in the order in which SQS returned them."""

    #: The dead-letter queue is a FIFO queue.
    fifo: bool
    lines: set[Line] = field(default_factory=set)
    #: Those of which a message stays.
    blocked: set[Line] = field(default_factory=set)

    def judged(self, judgment: Judgment, group_id: str | None) -> Judgment:
        """Return the judgment on the next message: the given one, or that it waits."""
        verdict = judgment.verdict
        line = line_of(verdict, group_id, fifo=self.fifo)
        if line is None:
            return judgment
        self.lines.add(line)
        if line in self.blocked and (self.fifo or isinstance(verdict, Redrive)):
            return judgment._replace(verdict=Skip(Reason.GROUP_WAITS))
        if isinstance(verdict, Skip):
            self.blocked.add(line)
        return judgment
