"""The input of a run as options of a command, one for each key, or as a JSON file.

Used by the commands that start or plan a run. A new key of the input is a new option.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from redrive.command.exits import CommandError, Exit
from redrive.domain.errors import RejectedError
from redrive.domain.plan.input_errors import kind_of
from redrive.domain.plan.input_options import STARTED_BY, InputKey, input_keys
from redrive.domain.plan.request import MAX_STARTED_BY, parse_request
from redrive.domain.rules.input_numbers import check_as_written

if TYPE_CHECKING:
    from redrive.adapters.account import Account

_STDIN = "-"
_DRY_RUN = ("dryRun",)
# A plan's sample is larger than a run's.
_SAMPLE_SIZE = ("sampleSize",)
# Step Functions developer guide, "Quotas": the maximum input of an execution, in bytes.
_MAX_INPUT = 262_144


def with_input[F: Callable[..., Any]](function: F, *, shows_dry_run: bool = True) -> F:
    """Add the options for the input of a run. Their values are the argument `options` of `read_input`.

    `shows_dry_run` is False for a command that never makes a dry run, or makes nothing else.
    """
    wrapped: Any = click.option(
        "--input",
        "file",
        metavar="FILE",
        help="A JSON file with keys of the input, or - for standard input. Options take precedence.",
    )(function)
    for key in reversed(input_keys()):
        wrapped = _option(key, hidden=key.path == _DRY_RUN and not shows_dry_run)(wrapped)
    made: F = wrapped
    return made


def read_input(queue: str | None, file: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input of a run.

    Parameters
    ----------
    queue : str | None
        The dead-letter queue; None if the file names it.
    file : str | None
        The file with the input.
    options : Mapping[str, Any]
        The values of the options.

    Raises
    ------
    CommandError
        If the file can't be used, or the input is invalid.
    """
    read = "{}" if file is None else _read(file)
    given = _json(read, "--input")
    if not isinstance(given, dict):
        raise CommandError(
            f'--input: expected a JSON object such as {{"rate": 100}}, found {kind_of(given)}.', Exit.USAGE
        )
    if queue is not None and given.setdefault("dlq", queue) != queue:
        raise CommandError("--input: the file names another queue as dlq than QUEUE. Leave one out.", Exit.USAGE)
    texts = [read]
    for key in input_keys():
        value = options.get(key.parameter)
        if value is None or value is False or value == ():
            continue
        inner = given
        for name in key.path[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise CommandError(f"--input: {name}: expected an object, found {kind_of(inner)}.", Exit.USAGE)
        inner[key.path[-1]] = _value(key, value)
        if key.is_json:
            texts.append(f'{{"{key.path[0]}": {{"{key.path[-1]}": {value}}}}}')
    if "dlq" not in given:
        raise CommandError("Name the dead-letter queue: as QUEUE, or as dlq in the file of --input.", Exit.USAGE)
    try:
        parse_request(given)
        for text in texts:
            check_as_written(text)
    except RejectedError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    if (size := len(json.dumps(given))) > _MAX_INPUT:
        raise CommandError(f"Expected an input of at most {_MAX_INPUT:,} bytes, found {size:,}.", Exit.USAGE)
    return given


def started_by(account: Account, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the key that says who starts a run, unless the input says so."""
    return {} if STARTED_BY in given else {STARTED_BY: account.caller().arn[:MAX_STARTED_BY]}


def _read(file: str) -> str:
    try:
        if file == _STDIN:
            content = b"" if sys.stdin is None else sys.stdin.buffer.read(_MAX_INPUT + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_MAX_INPUT + 1)
    except OSError as error:
        raise CommandError(f"--input: {file!r} can't be read: {error.strerror}.", Exit.USAGE) from None
    if len(content) > _MAX_INPUT:
        raise CommandError(f"--input: expected at most {_MAX_INPUT:,} bytes, found more.", Exit.USAGE)
    try:
        return content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise CommandError("--input: expected JSON in UTF-8, found another encoding.", Exit.USAGE) from None


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise CommandError(f"{place}: expected JSON, found a text that isn't JSON.", Exit.USAGE) from None


def _option(key: InputKey, *, hidden: bool) -> Callable[[Any], Any]:
    shows_default = isinstance(key.default, int | float) and not key.is_flag and key.path != _SAMPLE_SIZE
    default = f" Default: {key.default:g}." if shows_default else ""
    return click.option(
        key.flag, key.parameter, help=key.description.replace("`", "") + default, hidden=hidden, **_kind(key)
    )


def _kind(key: InputKey) -> dict[str, Any]:
    kind = key.schema.get("type")
    if key.is_flag:
        return {"is_flag": True}
    if key.is_list:
        choices = key.schema["items"].get("enum")
        return {"multiple": True} | ({"type": click.Choice(choices)} if choices else {"metavar": "TEXT"})
    if key.of_names:
        return {"multiple": True, "metavar": "NAME[=TEXT]" if key.takes_null else "NAME=TEXT"}
    if key.is_json:
        return {"metavar": "JSON"}
    if choices := key.schema.get("enum"):
        return {"type": click.Choice(choices)}
    numbers = {"integer": click.INT, "number": click.FLOAT}
    return {"type": numbers[kind], "metavar": "NUMBER"} if kind in numbers else {"metavar": "TEXT"}


def _value(key: InputKey, given: Any) -> Any:
    """Return the value of the key.

    Raises
    ------
    CommandError
        If the option's text doesn't have the expected form.
    """
    if key.of_names:
        pairs = [text.partition("=") for text in given]
        if not key.takes_null and any(not sign for _, sign, _ in pairs):
            raise CommandError(f"{key.flag}: expected NAME=TEXT, found a text without =.", Exit.USAGE)
        return {name: text if sign else None for name, sign, text in pairs}
    if key.is_list:
        return list(given)
    if key.is_json:
        return _json(given, key.flag)
    return int(given) if isinstance(given, float) and given.is_integer() else given
