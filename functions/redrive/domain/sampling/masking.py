"""Masks a message: keeps its shape and removes its values.

Called by the summary. A value stays unmasked only if the message satisfies its contract, the contract marks the field
as safe (`x-safe`) and not as personal (`x-personal`), and the field's name doesn't suggest personal data or a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import JsonValue

from redrive.contracts.contract import attribute_value
from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.message import utf8_size
from redrive.domain.messages.opened import Payload
from redrive.domain.sampling.sample import MaskedMessage

HIDDEN = "<hidden>"
# Names of fields that likely contain personal data or a secret, regardless of the contract; compared in lowercase and
# without punctuation.
_SENSITIVE = re.compile(
    "ssn|socialsecurity|taxid|passport|iban|bic$|account|card|cvc|cvv|^pan$|^pin$|email|mail|phone|mobile|"
    "dob|birth|name$|surname|address|street|token|secret|passw|pwd|credential|auth|session|cookie|apikey|"
    "privatekey|signature"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# A shape is for people to read, and it must fit in the workflow's state.
_MAX_DEPTH = 6
_MAX_MEMBERS = 20
_MAX_ITEMS = 3
_MAX_TEXT = 64
# Larger numbers are shown as text, as are decimals that a float can't hold: the workflow's JSONata would round them.
_MAX_NUMBER = 2**53
_MAX_EXPONENT = 300
# How many chained references in a schema are followed.
_MAX_REFERENCES = 10


def masked_message(
    payload: Payload,
    body_schema: Mapping[str, Any] | None,
    attributes_schema: Mapping[str, Any] | None,
    *,
    valid: bool,
) -> MaskedMessage:
    """Return a message with its values masked.

    Parameters
    ----------
    payload : Payload
        The message's innermost content, JSON or not.
    body_schema, attributes_schema : Mapping[str, Any] | None
        The JSON Schemas of its contract, whose marks say which fields are safe; None if it has no contract.
    valid : bool
        Whether the message satisfies its contract. If it doesn't, every value is masked, because an invalid value can
        be anything.
    """
    try:
        shape = masked(payload.content, body_schema, valid=valid)
    except (NotJsonError, TooMuchWorkError):
        shape = f"<text {utf8_size(payload.text)} bytes>"
    values = {name: _attribute(value) for name, value in payload.attributes.items()}
    attributes = masked(values, attributes_schema, names=True, valid=valid)
    assert isinstance(attributes, dict)
    return MaskedMessage(body=shape, attributes={name: str(value) for name, value in attributes.items()})


def masked(content: Any, schema: Mapping[str, Any] | None, *, names: bool = False, valid: bool = True) -> JsonValue:
    """Return the shape of parsed JSON: names, types, lengths, and safe values.

    Parameters
    ----------
    content : Any
        Parsed JSON.
    schema : Mapping[str, Any] | None
        The JSON Schema with the marks. Names that it doesn't define become `*`. Without a schema, keys that look like
        field names are kept.
    names : bool
        Whether to keep names that the schema doesn't define. Used for message attributes, whose names SQS restricts.
    valid : bool
        Whether the content satisfies the schema. If it doesn't, every value is masked.
    """
    masking = _Masking(schema or {}, known_only=bool(schema) and not names, valid=valid)
    return masking.shape(content, [schema or {}], "", 0)


class _Masking:
    def __init__(self, root: Mapping[str, Any], *, known_only: bool, valid: bool) -> None:
        self._root = root
        self._valid = valid
        self._known_only = known_only

    def shape(self, content: Any, schemas: list[Mapping[str, Any]], name: str, depth: int) -> JsonValue:
        """Return the shape of a value that the given schemas describe."""
        schemas = list(self._all(schemas))
        if is_sensitive(name) or any(schema.get("x-personal") is True for schema in schemas):
            return HIDDEN
        if isinstance(content, dict):
            return self._object(content, schemas, depth)
        if isinstance(content, list):
            return self._array(content, schemas, name, depth)
        if content is None or isinstance(content, bool):
            return None if content is None else "<boolean>"
        if self._valid and any(schema.get("x-safe") is True for schema in schemas):
            return _number(content) if isinstance(content, (int, Decimal)) else content[:_MAX_TEXT]
        return f"<string {len(content)}>" if isinstance(content, str) else "<number>"

    def _object(self, content: dict[str, Any], schemas: list[Mapping[str, Any]], depth: int) -> JsonValue:
        if depth >= _MAX_DEPTH:
            return f"<object {len(content)}>"
        found: dict[str, JsonValue] = {}
        for key in list(content)[:_MAX_MEMBERS]:
            below = [
                schema["properties"][key]
                for schema in schemas
                if isinstance(schema.get("properties"), Mapping) and key in schema["properties"]
            ]
            masked_key = key if below or (not self._known_only and _NAME.fullmatch(key)) else "*"
            if masked_key == "*" and "*" in found:
                continue
            found[masked_key] = self.shape(content[key], below, key, depth + 1)
        if len(content) > _MAX_MEMBERS:
            found["..."] = f"<{len(content) - _MAX_MEMBERS} more>"
        return found

    def _array(self, content: list[Any], schemas: list[Mapping[str, Any]], name: str, depth: int) -> JsonValue:
        if depth >= _MAX_DEPTH:
            return f"<array {len(content)}>"
        below = [schema["items"] for schema in schemas if isinstance(schema.get("items"), Mapping)]
        found = [self.shape(item, below, name, depth + 1) for item in content[:_MAX_ITEMS]]
        return [*found, f"<{len(content) - _MAX_ITEMS} more>"] if len(content) > _MAX_ITEMS else found

    def _all(self, schemas: list[Mapping[str, Any]], references: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yield the schemas, the schemas that they refer to, and the subschemas that they combine."""
        for schema in schemas:
            if not isinstance(schema, Mapping):
                continue
            yield schema
            parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key) or ()]
            target = self._target(schema.get("$ref"))
            if references < _MAX_REFERENCES and (parts or target is not None):
                yield from self._all([*parts, *([target] if target else [])], references + 1)

    def _target(self, reference: Any) -> Mapping[str, Any] | None:
        """Return the target of a reference within the document (RFC 6901)."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found: Any = self._root
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None


def _number(number: int | Decimal) -> JsonValue:
    if isinstance(number, int) and abs(number) < _MAX_NUMBER:
        return number
    if isinstance(number, Decimal) and number.is_finite() and abs(number.adjusted()) < _MAX_EXPONENT:
        rounded = float(number)
        if abs(rounded) < _MAX_NUMBER and Decimal(repr(rounded)) == number:
            return rounded
    return str(number)[:_MAX_TEXT]


def is_sensitive(name: str) -> bool:
    """Return whether a field with this name may contain personal data or a secret."""
    return _SENSITIVE.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def _attribute(value: Mapping[str, Any]) -> Any:
    found = attribute_value(value)
    return f"<binary {len(found)}>" if isinstance(found, bytes) else found


def size_of(value: MaskedMessage) -> int:
    """Return the size of a masked message as JSON, in bytes."""
    return len(json.dumps(value.model_dump(mode="json")))
