"""The input of a run as options of a command, one for each key, or as a JSON file.

Used by the commands that start or plan a run. The options are made from the model of the input, so a new key is a new
option.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from redrive.command.exits import CommandError, Exit
from redrive.domain.errors import RejectedError
from redrive.domain.plan.input_errors import kind_of
from redrive.domain.plan.request import MAX_STARTED_BY, RedriveRequest, parse_request
from redrive.domain.rules.input_numbers import check_as_written

if TYPE_CHECKING:
    from redrive.adapters.account import Account

# The argument names the queue, and the command says itself who starts the run.
#: The key of the input that says who starts a run.
STARTED_BY = "startedBy"
_NOT_OPTIONS = {"dlq", STARTED_BY}
_STDIN = "-"
# Step Functions developer guide, "Quotas": the maximum input of an execution, in bytes.
_MAX_INPUT = 262_144


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the input, and the option that sets it."""

    path: tuple[str, ...]
    schema: Mapping[str, Any]
    description: str

    @property
    def flag(self) -> str:
        """The option's name."""
        words = "".join(f"-{sign.lower()}" if sign.isupper() else sign for sign in "-".join(self.path))
        return f"--{words}"

    @property
    def parameter(self) -> str:
        """The name of the argument of the command's function."""
        return "key_" + "_".join(self.path)

    @property
    def is_flag(self) -> bool:
        """Whether it has no value."""
        return self.schema.get("type") == "boolean"

    @property
    def of_names(self) -> bool:
        """Whether it is an object of texts by name, each given as NAME=TEXT."""
        return _is_text(self.schema.get("additionalProperties"))

    @property
    def takes_null(self) -> bool:
        """Whether a text by name may be null, which is given as NAME."""
        return bool(self.schema["additionalProperties"].get("nullable"))

    @property
    def is_list(self) -> bool:
        """Whether it is a list of texts, each given by an option of its own."""
        return self.schema.get("type") == "array" and _is_text(self.schema.get("items", {}))

    @property
    def is_json(self) -> bool:
        """Whether it is given as JSON."""
        return self.schema.get("type") in {"object", "array"} and not self.is_list and not self.of_names

    def option(self) -> Callable[[Any], Any]:
        """Return the option."""
        return click.option(self.flag, self.parameter, help=self.description.replace("`", ""), **self._kind())

    def _kind(self) -> dict[str, Any]:
        kind = self.schema.get("type")
        if self.is_flag:
            return {"is_flag": True}
        if self.is_list:
            choices = self.schema["items"].get("enum")
            return {"multiple": True} | ({"type": click.Choice(choices)} if choices else {"metavar": "TEXT"})
        if self.of_names:
            return {"multiple": True, "metavar": "NAME[=TEXT]" if self.takes_null else "NAME=TEXT"}
        if self.is_json:
            return {"metavar": "JSON"}
        if choices := self.schema.get("enum"):
            return {"type": click.Choice(choices)}
        numbers = {"integer": click.INT, "number": click.FLOAT}
        return {"type": numbers[kind], "metavar": "NUMBER"} if kind in numbers else {"metavar": "TEXT"}

    def value(self, given: Any) -> Any:
        """Return the value of the key.

        Raises
        ------
        CommandError
            If the text of the option isn't of its form.
        """
        if self.of_names:
            pairs = [text.partition("=") for text in given]
            if not self.takes_null and any(not sign for _, sign, _ in pairs):
                raise CommandError(f"{self.flag}: expected NAME=TEXT, found a text without =.", Exit.USAGE)
            return {name: text if sign else None for name, sign, text in pairs}
        if self.is_list:
            return list(given)
        if self.is_json:
            return _json(given, self.flag)
        return int(given) if isinstance(given, float) and given.is_integer() else given

    def texts(self, value: Any) -> Iterator[str]:
        """Yield the options that set a value."""
        if self.of_names:
            texts = [name if text is None else f"{name}={text}" for name, text in value.items()]
        elif self.is_list:
            texts = value
        else:
            texts = [json.dumps(value) if self.is_json else str(value)]
        yield from [self.flag] if self.is_flag else (f"{self.flag} {shlex.quote(text)}" for text in texts)


def with_input[F: Callable[..., Any]](function: F) -> F:
    """Add the options for the input of a run; their values are the argument `options` of `read_input`."""
    wrapped: Any = click.option(
        "--input",
        "file",
        metavar="FILE",
        help="A JSON file with keys of the input, or - for standard input. Options take precedence.",
    )(function)
    for key in reversed(list(_keys())):
        wrapped = key.option()(wrapped)
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
    for key in _keys():
        value = options.get(key.parameter)
        if value is None or value is False or value == ():
            continue
        inner = given
        for name in key.path[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise CommandError(f"--input: {name}: expected an object, found {kind_of(inner)}.", Exit.USAGE)
        inner[key.path[-1]] = key.value(value)
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


def as_options(given: Mapping[str, Any]) -> list[str]:
    """Return the options that make the same input, the queue aside, each as a shell takes it."""
    found: list[str] = []
    for key in _keys():
        value: Any = given
        for name in key.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and value is not False and value not in ([], {}):
            found += key.texts(value)
    return found


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


def _keys() -> Iterator[_Key]:
    schema = RedriveRequest.model_json_schema(by_alias=True)
    return _keys_of(schema, schema.get("$defs", {}), ())


def _keys_of(model: Mapping[str, Any], definitions: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[_Key]:
    for name, field in model["properties"].items():
        if not path and name in _NOT_OPTIONS:
            continue
        schema = _resolved(field, definitions)
        if "properties" in schema:
            yield from _keys_of(schema, definitions, (*path, name))
        else:
            yield _Key((*path, name), schema, field.get("description", ""))


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value and of what it contains: without references, and `nullable` instead of a choice."""
    parts = schema.get("anyOf", [schema])
    [found, *_] = [part for part in parts if part.get("type") != "null"]
    if "$ref" in found:
        found = definitions[found["$ref"].rsplit("/", 1)[-1]]
    inner = {key: found[key] for key in ("items", "additionalProperties") if isinstance(found.get(key), Mapping)}
    resolved = {key: _resolved(value, definitions) for key, value in inner.items()}
    return {**found, **resolved, "nullable": len(parts) > 1}


def _is_text(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string"
