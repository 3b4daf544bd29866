"""Repairs messages before they are judged, by a rule in the run's input: sets attributes, patches bodies.

`Repair` is part of a run's input. The judging applies it to each message that the run applies to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

from redrive.domain.messages.json_text import NotJsonError, least_size, parse, write
from redrive.domain.messages.message import (
    MAX_ATTRIBUTES,
    MAX_BYTES,
    NUMBER,
    AttributeMap,
    ReceivedMessage,
    check_attribute_name,
    is_attribute,
)
from redrive.domain.messages.opened import Payload
from redrive.domain.messages.provenance import ATTRIBUTE
from redrive.domain.messages.s3_pointers import pointer_attributes
from redrive.domain.model import Model
from redrive.domain.rules.input_numbers import check_numbers
from redrive.domain.rules.queries import Expression, Query, rule_work

if TYPE_CHECKING:
    from redrive.domain.rules.json_patch import Patch

# The rule is part of the workflow's state.
_MAX_RULE_BYTES = 16_384


# What SQS takes, in words.
_VALUES = {
    "String": "a text that isn't empty and has only characters that XML has",
    "Number": "a number of at most 38 digits whose amount is 0 or between 1e-128 and 1e126",
}


def _operation(operation: dict[str, JsonValue]) -> dict[str, JsonValue]:
    from redrive.domain.rules.json_patch import check_operation  # noqa: PLC0415

    check_operation(operation)
    check_numbers(operation.get("value"))
    return operation


class AttributeRule(Model):
    """The value of a message attribute: a constant, or what a query finds in the payload."""

    type: Annotated[Literal["String", "Number"], Field(description="The data type, as SQS names it.")] = "String"
    value: Annotated[str | StrictInt | StrictFloat | None, Field(description="A constant.")] = None
    from_payload: Annotated[
        Expression | None,
        Field(alias="from", description="A JMESPath expression that finds the value in the payload."),
    ] = None
    overwrite: Annotated[StrictBool, Field(description="Set it even if the message has an attribute of this name.")] = (
        False
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.value is None) == (self.from_payload is None):
            found = "neither; add one" if self.value is None else "both; remove one"
            raise ValueError(f"expected either `value` or `from`, found {found}")
        check_numbers(self.value)
        text = _text(self.value, self.type)
        if self.from_payload is None and (text is None or not is_attribute("a", self.attribute(text))):
            raise ValueError(
                f"expected a value that an attribute of the type {self.type} can have, {_VALUES[self.type]}; found "
                "another; write one that SQS takes, or change the type"
            )
        return self

    def attribute(self, text: str) -> Mapping[str, Any]:
        """Return the attribute with a value, as SQS has it."""
        return {"DataType": self.type, "StringValue": text}


class Repair(Model):
    """How messages are repaired. If a part of the rule doesn't fit a message, it is judged as it is."""

    set_attributes: Annotated[
        dict[str, AttributeRule] | None,
        Field(min_length=1, max_length=10, description="Message attributes to set, by name."),
    ] = None
    rename_attributes: Annotated[
        dict[str, str] | None,
        Field(min_length=1, max_length=10, description="New names of message attributes, by the current name."),
    ] = None
    patch: Annotated[
        tuple[Annotated[dict[str, JsonValue], AfterValidator(_operation)], ...] | None,
        Field(min_length=1, max_length=50, description="A JSON Patch (RFC 6902) for the body."),
    ] = None
    project: Annotated[
        Expression | None,
        Field(description="A JMESPath expression that produces the new body from the current one."),
    ] = None

    @field_validator("set_attributes", "rename_attributes")
    @classmethod
    def _names(cls, rules: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        for old, new in (rules or {}).items():
            for name in (old, new) if isinstance(new, str) else (old,):
                check_attribute_name(name)
                if name == ATTRIBUTE:
                    raise ValueError(f"{ATTRIBUTE} is the attribute that this app adds itself; name another one")
        return rules

    @model_validator(mode="after")
    def _parts(self) -> Self:
        text = self.model_dump_json(exclude_none=True)
        if text == "{}":
            raise ValueError("expected at least one of setAttributes, renameAttributes, patch, and project")
        if len(text.encode()) > _MAX_RULE_BYTES:
            raise ValueError(f"expected at most {_MAX_RULE_BYTES} bytes of JSON")
        return self


class Repairer:
    """Repairs messages; compiled once for a slice.

    Parameters
    ----------
    repair : Repair
        The rule.
    """

    def __init__(self, repair: Repair) -> None:
        self._repair = repair
        self._patch = None if repair.patch is None else _patch(repair.patch)
        self._project = None if repair.project is None else Query(repair.project)
        self._values = {
            name: Query(rule.from_payload)
            for name, rule in (repair.set_attributes or {}).items()
            if rule.from_payload is not None
        }
        self._work = rule_work()

    def __call__(self, forward: ReceivedMessage, payload: Payload) -> ReceivedMessage | None:
        """Return the repaired message, or None if the rule changes nothing or doesn't fit.

        Parameters
        ----------
        forward : ReceivedMessage
            What goes on to the destination.
        payload : Payload
            The innermost content, which the values of attributes are taken from.

        Raises
        ------
        TooMuchWorkError
            If the queries and the patch together take too much work.
        """
        self._work.start(max(len(payload.text), len(forward.body)))
        attributes = self._attributes(forward, payload)
        body = self._body(forward, payload)
        if attributes is None or body is None or (attributes == forward.attributes and body == forward.body):
            return None
        if payload.is_in_s3 and (
            body != forward.body or pointer_attributes(attributes) != pointer_attributes(forward.attributes)
        ):
            # The consumer's client could no longer find the payload.
            return None
        repaired = forward.with_content(body, attributes)
        return None if repaired.size > MAX_BYTES or len(attributes) > MAX_ATTRIBUTES else repaired

    def _attributes(self, forward: ReceivedMessage, payload: Payload) -> AttributeMap | None:
        """Return the attributes after the repair, or None if a value isn't there."""
        rules = self._repair.set_attributes or {}
        attributes = dict(forward.attributes)
        for old, new in (self._repair.rename_attributes or {}).items():
            if old in attributes and new not in attributes:
                attributes[new] = attributes.pop(old)
        wanted = {name: rule for name, rule in rules.items() if rule.overwrite or name not in attributes}
        try:
            content = payload.content if wanted.keys() & self._values.keys() else None
        except NotJsonError:
            return None
        for name, rule in wanted.items():
            found = self._values[name].find(content, self._work) if name in self._values else rule.value
            text = _text(found, rule.type)
            if text is None:
                return None
            attributes[name] = rule.attribute(text)
        return attributes

    def _body(self, forward: ReceivedMessage, payload: Payload) -> str | None:
        """Return the body after the repair, or None if the rule doesn't fit it."""
        body = forward.body
        if self._patch is None and self._project is None:
            return body
        try:
            content = payload.content if body == payload.text else parse(body)
            before = write(content)
            if self._patch is not None:
                content = self._patch(content, self._work)
            if self._project is not None:
                content = self._project.find(content, self._work)
            if content is None or least_size(content) > MAX_BYTES:
                return None
            after = write(content)
        except (ValueError, RecursionError):
            return None
        # What comes out as it went in stays as it was written.
        return body if after == before else after


def _patch(operations: Sequence[Any]) -> Patch:
    from redrive.domain.rules.json_patch import Patch  # noqa: PLC0415

    return Patch(operations)


def _text(value: Any, kind: str) -> str | None:
    """Return a value as an attribute of that type has it, or None if it isn't one."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, (str, int, float, Decimal)) or value == "":
        return None
    text = str(value)
    return text if kind == "String" or NUMBER.fullmatch(text) else None
