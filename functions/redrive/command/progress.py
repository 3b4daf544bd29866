"""How far a run is, as one line or as a display that is updated in place.

Used by the commands that wait for a run. Decides from numbers only; whoever watches the run gets them.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from redrive.command.output import Output, ago
from redrive.command.report_text import by_reason
from redrive.domain.moving.results import Totals
from redrive.domain.plain_text import plain

if TYPE_CHECKING:
    from rich.live import Live

# Seconds over which the rate is measured: lanes record what they did every two seconds.
_WINDOW = 15.0
# Seconds between two lines where nothing can be updated in place.
_LINE_EVERY = 10.0
# Of the bar, in columns.
_BAR = 30


class Tracked(Protocol):
    """The progress of anything at one moment."""

    @property
    def title(self) -> str:
        """What the progress is about."""

    @property
    def total(self) -> int | None:
        """The amount of work; None if it isn't known."""

    @property
    def done(self) -> int:
        """The amount of work done."""

    def lines(self) -> Iterator[str]:
        """Yield what there is to say, the most important first."""


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
    requested: float | None
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
        requested = "" if self.requested is None else f"{self.requested:g}{unit} requested"
        left = "" if self.seconds_left is None else f"about {ago(self.seconds_left)} left"
        if pace := ", ".join(filter(None, (now, requested, left))):
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


class Display:
    """Shows progress on standard error: updated in place on a terminal, and as a line now and then elsewhere.

    Parameters
    ----------
    output : Output
        Says whether anything is shown.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._in_place = not output.quiet and sys.stderr is not None and sys.stderr.isatty()
        self._said: float | None = None

    def __enter__(self) -> Self:
        """Begin."""
        if self._in_place:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End, and take the progress off the screen, where the report follows."""
        if self._in_place:
            self._live.stop()

    def show(self, progress: Tracked, now: float) -> None:
        """Show the progress. `now` is in seconds on a monotonic clock."""
        if self._in_place:
            self._live.update(_drawn(progress), refresh=True)
        elif self._said is None or now - self._said >= _LINE_EVERY:
            self._said = now
            self._output.say(f"{progress.title}: {'; '.join(progress.lines())}")

    def say(self, text: str) -> None:
        """Tell the operator something else, above what is updated."""
        if self._in_place:
            self._live.console.print(plain(text))
        else:
            self._output.say(text)

    @cached_property
    def _live(self) -> Live:
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        return Live(console=console, auto_refresh=False, transient=True)


def _drawn(progress: Tracked) -> Any:
    from rich.console import Group  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    lines: list[Any] = [Text(plain(progress.title), style="bold")]
    if progress.total:
        bar = ProgressBar(total=max(progress.total, progress.done), completed=progress.done, width=_BAR)
        lines.append(Padding(bar, 0, expand=False))
    lines += [Text(plain(line)) for line in progress.lines()]
    return Group(*lines)
