"""The options that every command takes, before or after its name, and how suggested commands repeat them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from redrive.command.output import Output
from redrive.domain.plain_text import shell_word, with_options

#: As in samconfig.toml.
DEFAULT_STACK = "sqs-redrive"
_PROFILE = "Profile of your AWS configuration. Default: AWS_PROFILE."
_REGION = "AWS Region. Default: that of the profile, or AWS_REGION."
_OF_A_STACK = frozenset({"queues", "start", "watch", "stop", "runs", "report", "move", "doctor", "runbook"})
# A stack's name or ARN (CloudFormation API reference, CreateStack).
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
    several = "Repeat it, or separate several with commas."
    return _with(
        function,
        _option("--profile", "profiles", multiple=True, metavar="NAME", help=f"{_PROFILE} {several}"),
        _option("--region", "regions", multiple=True, metavar="REGION", help=f"{_REGION} {several}"),
    )


def _with[F: Callable[..., Any]](function: F, *places: Callable[[F], F]) -> F:
    as_json = _option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
    quiet = _option("--quiet", "-q", is_flag=True, help="Print results and warnings only: no progress, no advice.")
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

    Every suggested command passes through here, so it applies to what the operator is looking at, or to what `output`
    names.
    """
    output = output or _current()
    default = DEFAULT_STACK if output.elsewhere else os.environ.get("REDRIVE_STACK") or DEFAULT_STACK
    named = output.stack is not None and output.stack != default and command.split()[1] in _OF_A_STACK
    return _with_options(command, ({"--stack": str(output.stack)} if named else {}) | output.place)


def aws(command: str) -> str:
    """Return a command of the AWS CLI or of SAM with the profile and Region that this process was started with."""
    return _with_options(command, _current().place)


def _current() -> Output:
    ctx = click.get_current_context(silent=True)
    return (ctx.find_object(Output) if ctx else None) or Output()


def _with_options(command: str, options: Mapping[str, str]) -> str:
    return with_options(command, *(f"{name} {shell_word(value)}" for name, value in options.items()))


def _keep_stack(ctx: click.Context, _option: click.Parameter, value: str) -> str:
    """Keep the name. Refuse one that CloudFormation would reject, or would read as all stacks."""
    if not _STACK.fullmatch(value):
        raise click.BadParameter("expected the name or ARN of a stack. Or leave it out.")
    ctx.ensure_object(Output).stack = value
    return value


def subject[F: Callable[..., Any]](name: str, *, required: bool = True, metavar: str | None = None) -> Callable[[F], F]:
    """Return a decorator that adds the argument that says what a command works on: a queue, a run, or either."""
    option: Callable[[F], F] = click.argument(
        name, required=required, metavar=metavar, shell_complete=queue_names, callback=_not_empty
    )
    return option


def _not_empty(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        what = "the name, ARN, or URL of a queue" if parameter.name == "queue" else "a run or a queue"
        raise click.UsageError(f"Expected {what}, found an empty text.")
    return value


def queue_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the queue names that complete what the operator has typed; none if SQS doesn't answer in time."""
    from redrive.adapters.account import Account  # noqa: PLC0415

    # A shell would show an error in the middle of the prompt.
    with suppress(Exception):
        output = ctx.ensure_object(Output)
        return Account(output.profile, output.region).names_like(incomplete)
    return []


def _option(*names: str, **details: Any) -> Callable[[Any], Any]:
    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value and option.name:
            setattr(ctx.ensure_object(Output), option.name, value)

    return click.option(*names, expose_value=False, callback=keep, **details)
