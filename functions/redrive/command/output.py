"""What a command prints: results to standard output, everything else to standard error.

Nothing that comes from a message or from AWS reaches the terminal with control characters in it, which could move the
cursor, hide text, or send keystrokes. Colors appear on a terminal only, and never with NO_COLOR.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from io import BufferedWriter, FileIO, TextIOWrapper
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from redrive.domain.plain_text import plain

if TYPE_CHECKING:
    from rich.console import Console

# Where output isn't a terminal, lines stay whole, so that grep and awk find what they look for.
_WIDTH_OF_FILES = 400
# Names that one sentence lists.
_MOST_NAMED = 5
_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = ".:-=+*%#"
#: Version of the JSON that `--json` prints. It changes if a key is renamed, removed, or means something else.
JSON_VERSION = 1


@dataclass
class Output:
    """Where a command prints, and which account it works in."""

    as_json: bool = False
    quiet: bool = False
    profile: str | None = None
    region: str | None = None
    #: Profiles and Regions of a command that looks at several; each can be a comma-separated list.
    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    #: The stack that the command works with; None if it works without one.
    stack: str | None = None

    #: Whether suggested commands will run in another environment than this one, such as those on a page.
    elsewhere: bool = False
    #: Whether all goes to standard error, because it isn't the command's result.
    aside: bool = False

    @property
    def places(self) -> list[tuple[str | None, str | None]]:
        """Profiles and Regions to look at, each profile in each Region."""
        # Options before the command's name have one value, even if the command takes several.
        profiles = _listed(self.profiles or (self.profile or "",)) or [None]
        regions = _listed(self.regions or (self.region or "",)) or [None]
        return list(dict.fromkeys(product(profiles, regions)))

    @property
    def place(self) -> dict[str, str]:
        """The profile and Region options that this command was given."""
        profile, region = ",".join(self.profiles) or self.profile, ",".join(self.regions) or self.region
        return ({"--profile": profile} if profile else {}) | ({"--region": region} if region else {})

    @property
    def talk(self) -> Output:
        """The same, but on standard error: for what isn't the result of a command."""
        return replace(self, aside=True)

    @cached_property
    def console(self) -> Console:
        """Standard output. rich is imported when something is printed."""
        from rich.console import Console  # noqa: PLC0415

        class Terminal(Console):
            def on_broken_pipe(self) -> None:
                # rich would exit with 1.
                raise BrokenPipeError(errno.EPIPE, "")

        stream = sys.stderr if self.aside else sys.stdout
        width = None if stream.isatty() else _WIDTH_OF_FILES
        return Terminal(stderr=self.aside, highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)

    def prepare(self) -> None:
        """Import what prints a table, which takes a while, so that requests can be under way meanwhile."""
        if not self.as_json:
            import_module("rich.table")

    def document(self, **parts: Any) -> None:
        """Print one JSON document."""
        with _as_far_as_read():
            click.echo(json.dumps({"version": JSON_VERSION, **parts}, indent=2))

    def text(self, line: str = "", style: str | None = None, *, whole: bool = False) -> None:
        """Print a line of the result. A whole line isn't wrapped at the terminal's width, so a shell can take it."""
        with _as_far_as_read():
            self.console.print(plain(line), style=style, soft_wrap=whole)

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> None:
        """Print a table.

        Parameters
        ----------
        titles : Sequence[str]
            The titles of the columns.
        rows : Iterable[Sequence[str]]
            The cells, row by row.
        numbers : Iterable[int]
            Places of the columns that are aligned to the right.
        """
        from rich.table import Table  # noqa: PLC0415

        rows = [[plain(cell) for cell in row] for row in rows]
        # A column without a value says nothing, and takes the width of its title from the others.
        kept = [place for place in range(len(titles)) if place == 0 or any(row[place] for row in rows)]
        right = {kept.index(place) for place in numbers if place in kept}
        titles = [titles[place] for place in kept]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, title in enumerate(titles):
            table.add_column(title, justify="right" if place in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(row[place] for place in kept))
        with _as_far_as_read():
            self.console.print(table)

    def say(self, text: str) -> None:
        """Tell the operator something that isn't part of the result: progress, advice, what to run next."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Tell the operator what the result lacks, or what may be lost or arrive twice, even if they want no talk."""
        click.echo(plain(text), err=True)


def _listed(values: Iterable[str]) -> list[str | None]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


@contextmanager
def _as_far_as_read() -> Iterator[None]:
    """Keep the command running if the reader of standard output goes away; print nothing from then on."""
    try:
        yield
    except OSError as error:
        # EIO comes from a closed terminal.
        if error.errno not in {errno.EPIPE, errno.EIO}:
            raise
        # Otherwise, Python would report the error again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _BestEffortFile(FileIO):
    """A file that ignores write errors."""

    def write(self, content: Any) -> int:
        try:
            written = super().write(content)
        except OSError:
            return len(content)
        return len(content) if written is None else written


def ignore_stderr_errors() -> None:
    """Keep commands and runs going when standard error is a closed pipe, a closed terminal, or on a full disk."""
    if isinstance(sys.stderr, TextIOWrapper):
        raw = _BestEffortFile(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = TextIOWrapper(
            BufferedWriter(raw), sys.stderr.encoding, "backslashreplace", line_buffering=True, write_through=True
        )


def names(of: Iterable[str]) -> str:
    """Return the first few names in one line, and how many more there are."""
    known = list(of)
    more = f", and {len(known) - _MOST_NAMED:,} more" if len(known) > _MOST_NAMED else ""
    return ", ".join(known[:_MOST_NAMED]) + more


def messages(number: int) -> str:
    """Return a number of messages in words."""
    return f"{number:,} message{'' if number == 1 else 's'}"


def bars(values: Sequence[float]) -> str:
    """Return a bar for each value, the highest for the largest one and none for zero."""
    top = max(values, default=0) or 1
    signs = _BARS if _is_encodable(_BARS) else _ASCII_BARS
    return "".join(signs[max(0, int(value * len(signs) // top) - 1)] if value else " " for value in values)


def _is_encodable(text: str) -> bool:
    """Return whether standard output can encode a text; with LANG=C, a terminal may not."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def moment(time: datetime) -> str:
    """Return a time in the local zone, and in UTC if that is another one."""
    local = time.astimezone()
    text = f"{local:%Y-%m-%d %H:%M:%S %Z}"
    return text if not local.utcoffset() else f"{text} ({time.astimezone(UTC):%H:%M:%S} UTC)"


def ago(seconds: float) -> str:
    """Return a span of time as a person says it: `45 s`, `12 min`, `3 h`, `2 d 5 h`."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes and hours < 6 else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
