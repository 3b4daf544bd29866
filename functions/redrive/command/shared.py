"""The options that every command has, before or after its name, and how a suggested command repeats them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from redrive.command.output import Output

#: As in samconfig.toml.
DEFAULT_STACK = "sqs-redrive"
_PROFILE = "Profile of your AWS configuration. Default: AWS_PROFILE."
_REGION = "AWS Region. Default: that of the profile, or AWS_REGION."
_OF_A_STACK = frozenset({"queues", "start", "watch", "stop", "runs", "report", "move", "doctor", "runbook"})
# CloudFormation API reference, CreateStack: a name, or the ARN of a stack.
_STACK = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]+")


def shared[F: Callable[..., Any]](function: F) -> F:
    """Add the options, whose values go to the command's `Output`."""
    return _with(
        function,
        _option("--profile", metavar="NAME", help=_PROFILE),
        _option("--region", metavar="REGION", help=_REGION),
    )


def shared_in_places[F: Callable[..., Any]](function: F) -> F:
    """Add the same options to a command that looks at several accounts and Regions."""
    several = "Can be repeated, or a list with commas."
    return _with(
        function,
        _option("--profile", "profiles", multiple=True, metavar="NAME", help=f"{_PROFILE} {several}"),
        _option("--region", "regions", multiple=True, metavar="REGION", help=f"{_REGION} {several}"),
    )


def _with[F: Callable[..., Any]](function: F, *places: Callable[[F], F]) -> F:
    as_json = _option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
    quiet = _option("--quiet", "-q", is_flag=True, help="Print results only: no progress, no advice.")
    for option in reversed([*places, as_json, quiet]):
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


def again(command: str, output: Output | None = None) -> str:
    """Return a `redrive` command with the profile, Region, and stack that this process was started with.

    Whatever suggests a command passes it through here: it works with what the operator is looking at, or with what
    `output` says.
    """
    if output is None:
        ctx = click.get_current_context(silent=True)
        output = ctx.find_object(Output) if ctx else None
    if output is None:
        return command
    stack = output.stack if command.split()[1] in _OF_A_STACK and output.stack != _default_stack() else None
    profile, region = ",".join(output.profiles) or output.profile, ",".join(output.regions) or output.region
    given = {"--stack": stack, "--profile": profile, "--region": region}
    return " ".join([command, *(f"{name} {shlex.quote(value)}" for name, value in given.items() if value)])


def _default_stack() -> str:
    return os.environ.get("REDRIVE_STACK") or DEFAULT_STACK


def _keep_stack(ctx: click.Context, _option: click.Parameter, value: str) -> str:
    """Keep the name; refuse what CloudFormation wouldn't read, or would take for all stacks."""
    if not _STACK.fullmatch(value):
        raise click.BadParameter("expected the name or ARN of a stack. Or leave it out.")
    ctx.ensure_object(Output).stack = value
    return value


def queue_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of queues that begin like this, while somebody types; none if they don't come at once."""
    from redrive.adapters.account import Account  # noqa: PLC0415

    # A shell shows whatever goes wrong in the middle of the prompt.
    with suppress(Exception):
        output = ctx.ensure_object(Output)
        return Account(output.profile, output.region).names_like(incomplete)
    return []


def _option(*names: str, **details: Any) -> Callable[[Any], Any]:
    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value and option.name:
            setattr(ctx.ensure_object(Output), option.name, value)

    return click.option(*names, expose_value=False, callback=keep, **details)
