"""Shows how far a command is, as one line or as a display that is updated in place.

Used by the commands that wait for something. Decides from numbers only; whoever watches the work gets them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from redrive.command.output import Output
from redrive.domain.plain_text import plain

if TYPE_CHECKING:
    from rich.live import Live

# Seconds between lines when the display can't be updated in place.
_LINE_EVERY = 10.0
# Width of the progress bar, in columns.
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
