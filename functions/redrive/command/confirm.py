"""Asks an operator before messages are moved.

Used by the commands that start a run, in a stack or in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from redrive.command.exits import CommandError


def check_terminal(file: str | None) -> None:
    """Check that there is a terminal to ask in.

    Parameters
    ----------
    file : str | None
        Where the input of the run is read from; `-` for standard input, which can't answer then.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not (sys.stdin and sys.stdin.isatty() and file != "-"):
        raise click.UsageError(
            "There is no terminal to ask in. Nothing was started. Pass --yes to start without asking."
        )


def confirm(dlq: str, given: Mapping[str, Any]) -> None:
    """Ask whether to start; if nothing is selected or limited, for the queue's name.

    Raises
    ------
    CommandError
        If the operator doesn't want to.
    """
    if "select" in given or "maxMessages" in given:
        agreed = click.confirm(f"Start this run on {dlq}?", err=True)
    else:
        question = f"This run takes all messages of {dlq}. To start it, type the queue's name"
        agreed = click.prompt(question, err=True, prompt_suffix=": ").strip() == dlq
    if not agreed:
        raise CommandError("Nothing was started.")
