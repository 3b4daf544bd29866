"""The keys of a run's input as options of the `redrive` command, made from the model of the input.

The command builds its options from them, and suggested commands repeat an input with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from redrive.domain.plain_text import shell_word
from redrive.domain.plan.request import RedriveRequest

#: The input key that says who starts a run.
STARTED_BY = "startedBy"
# The queue is an argument, and the command itself fills in who starts the run.
_NOT_OPTIONS = {"dlq", STARTED_BY}


@dataclass(frozen=True, slots=True)
class InputKey:
    """A key of the input, and the option that sets it."""

    path: tuple[str, ...]
    schema: Mapping[str, Any]
    description: str
    #: The value that a run has without the key.
    default: Any = None

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
        """Whether the option takes no value."""
        return self.schema.get("type") == "boolean"

    @property
    def of_names(self) -> bool:
        """Whether the value is an object of named texts, each given as NAME=TEXT."""
        return _is_text(self.schema.get("additionalProperties"))

    @property
    def takes_null(self) -> bool:
        """Whether a named text can be null, given as NAME alone."""
        return bool(self.schema["additionalProperties"].get("nullable"))

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of texts, each given by repeating the option."""
        return self.schema.get("type") == "array" and _is_text(self.schema.get("items", {}))

    @property
    def is_json(self) -> bool:
        """Whether the value is given as JSON."""
        return self.schema.get("type") in {"object", "array"} and not self.is_list and not self.of_names

    def texts(self, value: Any) -> Iterator[str]:
        """Yield the options that set a value."""
        if self.of_names:
            texts = [name if text is None else f"{name}={text}" for name, text in value.items()]
        elif self.is_list:
            texts = value
        else:
            texts = [json.dumps(value) if self.is_json else str(value)]
        yield from [self.flag] if self.is_flag else (f"{self.flag} {shell_word(text)}" for text in texts)


def as_options(given: Mapping[str, Any]) -> list[str]:
    """Return the options that produce an input, without the queue, each quoted for a shell."""
    found: list[str] = []
    for key in input_keys():
        value: Any = given
        for name in key.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and value is not False and value not in ([], {}):
            found += key.texts(value)
    return found


@cache
def input_keys() -> tuple[InputKey, ...]:
    """Return the keys that have options."""
    schema = RedriveRequest.model_json_schema(by_alias=True)
    return tuple(_keys_of(schema, schema.get("$defs", {}), ()))


def _keys_of(model: Mapping[str, Any], definitions: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[InputKey]:
    for name, field in model["properties"].items():
        if not path and name in _NOT_OPTIONS:
            continue
        schema = _resolved(field, definitions)
        if "properties" in schema:
            yield from _keys_of(schema, definitions, (*path, name))
        else:
            yield InputKey((*path, name), schema, field.get("description", ""), field.get("default"))


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema and its inner schemas without references, and with `nullable` instead of `anyOf`."""
    parts = schema.get("anyOf", [schema])
    [found, *_] = [part for part in parts if part.get("type") != "null"]
    if "$ref" in found:
        found = definitions[found["$ref"].rsplit("/", 1)[-1]]
    inner = {key: found[key] for key in ("items", "additionalProperties") if isinstance(found.get(key), Mapping)}
    resolved = {key: _resolved(value, definitions) for key, value in inner.items()}
    return {**found, **resolved, "nullable": len(parts) > 1}


def _is_text(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string"
