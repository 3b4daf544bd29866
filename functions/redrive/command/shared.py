"""The options that every command has, before or after its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from redrive.command.output import Output

#: As in samconfig.toml.
DEFAULT_STACK = "sqs-redrive"


def shared[F: Callable[..., Any]](function: F) -> F:
    """Add the options, whose values go to the command's `Output`."""
    for option in reversed(
        [
            _option("--profile", metavar="NAME", help="Profile of your AWS configuration. Default: AWS_PROFILE."),
            _option("--region", metavar="REGION", help="AWS Region. Default: that of the profile, or AWS_REGION."),
            _option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."),
            _option("--quiet", "-q", is_flag=True, help="Print results only: no progress, no advice."),
        ]
    ):
        function = option(function)
    return function


def with_stack[F: Callable[..., Any]](function: F) -> F:
    """Add the option that says which stack a command works with: the argument `stack_name`."""
    option: Callable[[F], F] = click.option(
        "--stack",
        "stack_name",
        metavar="NAME",
        envvar="REDRIVE_STACK",
        default=DEFAULT_STACK,
        help=f"Stack of sqs-redrive to work with. Default: REDRIVE_STACK, or {DEFAULT_STACK}.",
    )
    return option(function)


def _option(*names: str, **details: Any) -> Callable[[Any], Any]:
    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value and option.name:
            setattr(ctx.ensure_object(Output), option.name, value)

    return click.option(*names, expose_value=False, callback=keep, **details)
