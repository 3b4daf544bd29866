"""How far a run is, and how fast it is.

Made by the commands that watch a run or move messages themselves; `redrive.command.display` shows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from redrive.command.output import ago
from redrive.command.report_text import by_reason
from redrive.domain.moving.results import Totals

# Seconds over which the rate is measured: lanes record what they did every two seconds.
_WINDOW = 15.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is at a moment."""

    #: Name of the dead-letter queue.
    title: str
    #: What it does: `moving`, `waiting for messages in flight` ...
    doing: str
    totals: Totals
    #: Messages that it will have dealt with at the end, approximately; None if that isn't known.
    total: int | None
    #: Messages per second that it may redrive; None if that isn't known.
    limit: float | None
    #: Messages redriven per second now; None if that isn't known yet.
    rate: float | None

    @property
    def done(self) -> int:
        """Messages that are dealt with: moved, or judged and left."""
        return self.totals.counts.moved + self.totals.counts.stayed

    @property
    def seconds_left(self) -> float | None:
        """How long it will take; None if that isn't known."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate

    def lines(self) -> Iterator[str]:
        """Yield what there is to say, the most important first."""
        moved = self.totals.counts.moved
        of = "" if self.total is None else f" of about {max(self.total, self.done):,}"
        yield f"{moved:,}{of} moved, {self.doing}"
        now = "" if self.rate is None else f"{self.rate:,.3g} per second"
        unit = "" if now else " per second"
        limit = "" if self.limit is None else f"at most {self.limit:g}{unit}"
        left = "" if self.seconds_left is None else f"about {ago(self.seconds_left)} left"
        if pace := ", ".join(filter(None, (now, limit, left))):
            yield pace
        totals = self.totals
        for what, number, reasons in (
            ("quarantined", totals.counts.quarantined, totals.quarantine_reasons),
            ("skipped", totals.counts.skipped, totals.skip_reasons),
            ("failed", totals.counts.failed, totals.failure_codes),
        ):
            if number:
                yield f"{number:,} {what}" + (f" ({by_reason(reasons)})" if reasons else "")


@dataclass
class Pace:
    """The rate at which a run redrives now, from what it had redriven at several moments."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, redriven: int, now: float) -> float | None:
        """Return messages per second, over the last seconds; None if nothing can be said yet.

        Parameters
        ----------
        redriven : int
            Messages redriven so far.
        now : float
            Seconds on a monotonic clock.
        """
        # What an interrupted slice counted may be counted again, by less.
        while self._seen and self._seen[-1][1] > redriven:
            self._seen.pop()
        self._seen.append((now, redriven))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:
            self._seen.popleft()
        (then, before), *_ = self._seen
        return (redriven - before) / (now - then) if now > then else None
