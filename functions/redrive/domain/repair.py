"""Mends letters before they are judged, by a rule in the run's input: attributes set, bodies patched.

`Repair` is part of a run's input; the judging applies it to each letter that the run is about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt, field_validator, model_validator

from redrive.domain.letters import (
    MAX_ATTRIBUTES,
    MAX_BYTES,
    AttributeMap,
    Letter,
    attributes_size,
    utf8_size,
)
from redrive.domain.model import Model
from redrive.domain.queries import NoJsonError, Query, check, content_of

if TYPE_CHECKING:
    from redrive.domain.patching import Patch

# The rule goes through the state of the workflow with the plan.
_MAX_RULE_BYTES = 16_384
# SQS developer guide, "Amazon SQS message metadata": names of message attributes.
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


class AttributeRule(Model):
    """The value of a message attribute: a constant, or what a query finds in the payload."""

    type: Annotated[Literal["String", "Number"], Field(description="The data type, as SQS names it.")] = (
        "String"
    )
    value: Annotated[str | StrictInt | StrictFloat | None, Field(description="A constant.")] = None
    from_payload: Annotated[
        str | None,
        Field(alias="from", description="A JMESPath expression that finds the value in the payload."),
    ] = None
    overwrite: Annotated[
        StrictBool, Field(description="Set it although the letter has an attribute of this name.")
    ] = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.value is None) == (self.from_payload is None):
            raise ValueError("expected either `value` or `from`")
        if self.from_payload is not None:
            check(self.from_payload)
        elif _text(self.value, self.type) is None:
            raise ValueError(f"the value cannot be an attribute of the type {self.type}")
        return self


class Repair(Model):
    """How letters are mended. A letter that a part of it does not fit is judged as it is."""

    set_attributes: Annotated[
        dict[str, AttributeRule] | None,
        Field(min_length=1, max_length=10, description="Message attributes to set, by name."),
    ] = None
    rename_attributes: Annotated[
        dict[str, str] | None,
        Field(
            min_length=1, max_length=10, description="New names of message attributes, by the present one."
        ),
    ] = None
    patch: Annotated[
        tuple[dict[str, JsonValue], ...] | None,
        Field(min_length=1, max_length=50, description="A JSON Patch (RFC 6902) for the body."),
    ] = None
    project: Annotated[
        str | None, Field(description="A JMESPath expression that makes the new body of the present one.")
    ] = None

    @field_validator("set_attributes", "rename_attributes")
    @classmethod
    def _names(cls, rules: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        for old, new in (rules or {}).items():
            for name in (old, new) if isinstance(new, str) else (old,):
                if not _ATTRIBUTE_NAME.fullmatch(name):
                    raise ValueError(f"{name!r} cannot be the name of a message attribute")
        return rules

    @field_validator("patch")
    @classmethod
    def _operations(cls, patch: tuple[dict[str, JsonValue], ...] | None) -> Any:
        if patch is not None:
            _patch(patch)
        return patch

    @model_validator(mode="after")
    def _parts(self) -> Self:
        told = self.model_dump_json(exclude_none=True)
        if told == "{}":
            raise ValueError("expected at least one of setAttributes, renameAttributes, patch and project")
        if len(told.encode()) > _MAX_RULE_BYTES:
            raise ValueError(f"at most {_MAX_RULE_BYTES} bytes of JSON are taken")
        if self.project is not None:
            check(self.project)
        return self


class Mender:
    """Mends letters; compiled once for a slice.

    Parameters
    ----------
    repair : Repair
        The rule.
    clock : Callable[[], float]
        A monotonic clock in seconds.
    """

    def __init__(self, repair: Repair, clock: Callable[[], float]) -> None:
        self._repair = repair
        self._patch = None if repair.patch is None else _patch(repair.patch)
        self._project = None if repair.project is None else Query(repair.project, clock)
        self._values = {
            name: Query(rule.from_payload, clock)
            for name, rule in (repair.set_attributes or {}).items()
            if rule.from_payload is not None
        }

    def __call__(self, letter: Letter, payload: str) -> Letter | None:
        """Return the mended letter, or None where the rule changes nothing or does not fit.

        Parameters
        ----------
        letter : Letter
            What goes on to the destination.
        payload : str
            What the values of attributes are taken from: the innermost content.

        Raises
        ------
        TookTooLongError
            Where a query does not come to an end in time.
        """
        attributes = self._attributes(letter, payload)
        body = self._body(letter.body)
        if attributes is None or body is None or (attributes == letter.attributes and body == letter.body):
            return None
        size = utf8_size(body) + attributes_size(attributes)
        if size > MAX_BYTES or len(attributes) > MAX_ATTRIBUTES:
            return None
        return replace(letter, body=body, attributes=attributes, size=size)

    def _attributes(self, letter: Letter, payload: str) -> AttributeMap | None:
        """Return the attributes after the repair, or None where a value cannot be had."""
        rules = self._repair.set_attributes or {}
        attributes = dict(letter.attributes)
        for old, new in (self._repair.rename_attributes or {}).items():
            if old in attributes and new not in attributes:
                attributes[new] = attributes.pop(old)
        wanted = {name: rule for name, rule in rules.items() if rule.overwrite or name not in attributes}
        try:
            content = content_of(payload) if wanted.keys() & self._values.keys() else None
        except NoJsonError:
            return None
        for name, rule in wanted.items():
            found = self._values[name](content) if name in self._values else rule.value
            text = _text(found, rule.type)
            if text is None:
                return None
            attributes[name] = {"DataType": rule.type, "StringValue": text}
        return attributes

    def _body(self, body: str) -> str | None:
        """Return the body after the repair, or None where the rule does not fit it."""
        if self._patch is None and self._project is None:
            return body
        try:
            content = json.loads(body, parse_float=_Exact, parse_constant=_refuse)
            before = _written(content)
            if self._patch is not None:
                content = self._patch(content)
            if self._project is not None:
                content = self._project(content)
            if content is None:
                return None
            after = _written(content)
            # Half of a surrogate pair can be written in JSON, but not be sent.
            after.encode()
        except (ValueError, RecursionError):
            return None
        # What comes out as it went in stays as it was written.
        return body if after == before else after


def _patch(operations: Sequence[Any]) -> Patch:
    from redrive.domain.patching import Patch  # noqa: PLC0415

    return Patch(operations)


class _Exact(float):
    """A number that is written as it was read: 1.50 stays 1.50, and no digit beyond a float's is lost."""

    def __new__(cls, text: str) -> Self:
        """Keep the text."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __deepcopy__(self, _memo: Any) -> Self:
        """Copy nothing: a patch is applied to a copy of the content."""
        return self


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _written(value: Any) -> str:
    """Return JSON without blanks."""
    if isinstance(value, _Exact):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{_written(name)}:{_written(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _text(value: Any, kind: str) -> str | None:
    """Return a value as an attribute of that type holds it, or None where it cannot."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, (str, int, float)) or value == "":
        return None
    text = str(value)
    return text if kind == "String" or _NUMBER.fullmatch(text) else None
