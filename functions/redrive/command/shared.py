"""The options that every command has, before or after its name, and how a suggested command repeats them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from typing import Any

import click

from redrive.command.output import Output

#: As in samconfig.toml.
DEFAULT_STACK = "sqs-redrive"
_OF_A_STACK = frozenset({"start", "watch", "stop", "runs", "report", "move"})
# CloudFormation API reference, CreateStack: a name, or the ARN of a stack.
_STACK = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]+")


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
        callback=_keep_stack,
    )
    return option(function)


def again(command: str) -> str:
    """Return a `redrive` command with the profile, Region, and stack that this process was started with.

    Whatever suggests a command passes it through here: it works with what the operator is looking at.
    """
    ctx = click.get_current_context(silent=True)
    output = ctx and ctx.find_object(Output)
    if not output:
        return command
    stack = output.stack if command.split()[1] in _OF_A_STACK and output.stack != _default_stack() else None
    given = {"--stack": stack, "--profile": output.profile, "--region": output.region}
    return " ".join([command, *(f"{name} {shlex.quote(value)}" for name, value in given.items() if value)])


def _default_stack() -> str:
    return os.environ.get("REDRIVE_STACK") or DEFAULT_STACK


def _keep_stack(ctx: click.Context, _option: click.Parameter, value: str) -> str:
    """Keep the name; refuse what CloudFormation wouldn't read, or would take for all stacks."""
    if not _STACK.fullmatch(value):
        raise click.BadParameter("expected the name or ARN of a stack. Or leave it out.")
    ctx.ensure_object(Output).stack = value
    return value


def _option(*names: str, **details: Any) -> Callable[[Any], Any]:
    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value and option.name:
            setattr(ctx.ensure_object(Output), option.name, value)

    return click.option(*names, expose_value=False, callback=keep, **details)
