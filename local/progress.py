"""Shows what a command is doing and how far along it is: a bar on a terminal, a line every few seconds elsewhere.

`local.stage` and `local.scenario` use it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# Often enough to show that something happens, seldom enough to read.
LINE_SECONDS = 10.0

type Report = Callable[[int], None]


@contextmanager
def progress(console: Console, doing: str, total: int | None = None) -> Iterator[Report]:
    """Show progress until the block ends; return what reports how much is done.

    Parameters
    ----------
    console : Console
        Where it is shown.
    doing : str
        What the command is doing, such as "Deploying the app".
    total : int | None
        How much there is to do; None if only the time that passes is known. A block that ends without an error
        has done all of it, although the last report may be a second old.
    """
    display = _bar if console.is_terminal else _lines
    with display(console, doing, total) as report:
        yield report


@contextmanager
def _bar(console: Console, doing: str, total: int | None) -> Iterator[Report]:
    counts = [SpinnerColumn(finished_text="done")] if total is None else [BarColumn(), MofNCompleteColumn()]
    with Progress(TextColumn("{task.description}"), *counts, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.update(task, completed=min(done, total or done))
        end = 1 if total is None else total
        bar.update(task, total=end, completed=end)


@contextmanager
def _lines(console: Console, doing: str, total: int | None) -> Iterator[Report]:
    began, ended = time.monotonic(), threading.Event()
    reported = 0

    def report(done: int) -> None:
        nonlocal reported
        reported = done

    def say(done: int, end: str) -> None:
        count = "" if total is None else f"{min(done, total)} of {total}, "
        console.print(f"{doing}: {count}{time.monotonic() - began:.0f} s{end}", soft_wrap=True)

    def tick() -> None:
        while not ended.wait(LINE_SECONDS):
            say(reported, " ...")

    ticker = threading.Thread(target=tick, daemon=True)
    console.print(f"{doing} ...", soft_wrap=True)
    ticker.start()
    try:
        yield report
    finally:
        ended.set()
        ticker.join()
    say(total or 0, ", done")
