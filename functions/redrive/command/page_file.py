"""The file that `--html` names. It's checked before anything else happens, and never replaces an existing file.

Used by the commands that write the page of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from redrive.command.output import Output
from redrive.domain.page.document import page_of
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.report import Report


def with_page[F: Callable[..., Any]](function: F) -> F:
    """Add the option `--html`. Its value is the argument `page`: a file for the run's page, or None."""
    option: Callable[[F], F] = click.option(
        "--html", "page", metavar="FILE", callback=_check, help="Also write the run's page to this new file."
    )
    return option(function)


def write_page(output: Output, file: str | None, report: Report, record: RunRecord | None) -> None:
    """Write the page of a run to the file that `--html` names, if it names one."""
    if file is not None:
        with Path(file).open("x", encoding="utf-8") as opened:
            opened.write(page_of(report, record))
        output.say(f"The page of the run: {Path(file).absolute()}")


def _check(_ctx: click.Context, _option: click.Parameter, file: str | None) -> str | None:
    """Refuse a file that exists or can't be written."""
    if file is not None:
        try:
            # Only an attempt shows that the name is too long or the file system is read-only.
            Path(file).open("x").close()
            Path(file).unlink()
        except FileExistsError:
            raise click.BadParameter(f"{file!r} exists. Pass another name, or remove it.") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise click.BadParameter(f"expected a file that can be written, found {file!r}: {why}.") from None
    return file
