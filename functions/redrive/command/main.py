"""The entry point of the `redrive` command: options that all commands share, and what an error looks like.

A command's module is imported when the command runs, so `redrive --help` imports neither botocore nor pydantic.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from redrive import VERSION
from redrive.command.exits import INTERRUPTED, Exit, explained
from redrive.command.output import Output, ignore_stderr_errors
from redrive.command.shared import shared
from redrive.domain.plain_text import plain

# Name, and what it is for. The module of the same name has a click command `command`.
COMMANDS = {
    "queues": "List dead-letter queues, the ones with messages first.",
    "look": "Show what is in a dead-letter queue, without moving anything.",
    "messages": "Show individual messages, masked or unmasked.",
    "export": "Write messages to a file, unmasked.",
    "plan": "Show what a run would do, without moving anything.",
    "move": "Move messages from this computer, without a stack.",
    "start": "Start a run in a stack, after showing its plan.",
    "watch": "Show a run's progress, and its report at the end.",
    "stop": "Stop a run.",
    "runs": "List runs of a stack, newest first.",
    "report": "Show what a run did, who started it, and why.",
    "doctor": "Check credentials, queues, consumers, and the stack.",
    "runbook": "Print a runbook for a dead-letter queue, as Markdown.",
    "completion": "Print a script for shell completion.",
}


class Commands(click.Group):
    """The commands, imported when they are needed."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names, in the order in which an operator needs them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, or None if there is none of that name."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"redrive.command.{name}").command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="redrive")
@shared
def cli() -> None:
    """Look into dead-letter queues of Amazon SQS, and move their messages back where they belong.

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage,
    3 halted, 4 rejected, 5 stopped, 6 something is left.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with one of the codes of `Exit`."""
    ignore_stderr_errors()
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    if sys.stdout is None:
        # Closed by whoever started the command, so nobody wants its output.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal's encoding may lack characters that messages and tables contain (LANG=C, Windows).
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result: Any = cli.main(arguments, prog_name="redrive", standalone_mode=False, obj=Output())
        sys.stdout.flush()
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        return code
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except SystemExit:
        # click exits like this when nobody reads its output anymore, and after a shell completion.
        return Exit.DONE
    return int(result) if isinstance(result, int) else Exit.DONE


def _code_of(error: Exception) -> int | None:
    """Say what an error means, and return the exit code; None for a defect of this command."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    if isinstance(error, click.ClickException):
        error.show()
        return Exit.USAGE
    if isinstance(error, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    known = explained(error)
    if known is not None:
        click.echo(plain(f"redrive: {known}"), err=True)
    return None if known is None else known.exit
