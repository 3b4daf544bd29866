"""Shows what a message looks like without telling what is in it.

Called by the sampling. A value is in clear only where the message satisfies its contract, the contract marks
the field as safe (`x-safe`) and not as personal (`x-personal`), and its name is none of those that personal
data and secrets go by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json

from contracts.contract import attribute_value
from redrive.domain.letters import AttributeMap, utf8_size
from redrive.domain.runs import Shown

HIDDEN = "<hidden>"
# What a field goes by that holds personal data or a secret, whatever its contract says: compared with the
# name in small letters, without signs between the words.
_SENSITIVE = re.compile(
    "ssn|socialsecurity|taxid|passport|iban|bic$|account|card|cvc|cvv|^pan$|^pin$|email|mail|phone|mobile|"
    "dob|birth|name$|surname|address|street|token|secret|passw|pwd|credential|auth|session|cookie|apikey|"
    "privatekey|signature"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# A shape is for a person to read and goes through the state of the workflow.
_MAX_DEPTH = 6
_MAX_MEMBERS = 20
_MAX_ITEMS = 3
_MAX_TEXT = 64
# References in a schema that lead to each other.
_MAX_REFERENCES = 10


def shown(
    body: str,
    attributes: AttributeMap,
    body_schema: Mapping[str, Any] | None,
    attributes_schema: Mapping[str, Any] | None,
    *,
    valid: bool,
) -> Shown:
    """Return a message with its values taken out.

    Parameters
    ----------
    body : str
        Its body, JSON or not.
    attributes : AttributeMap
        Its message attributes.
    body_schema, attributes_schema : Mapping[str, Any] | None
        The JSON Schemas of its contract, whose marks tell what is safe; None: nothing is.
    valid : bool
        The message satisfies its contract. Otherwise nothing is shown in clear: the wrong thing in the right
        field may be anything.
    """
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError:
        shape: JsonValue = f"<text {utf8_size(body)} bytes>"
    else:
        shape = masked(content, body_schema, valid=valid)
    values = {name: _attribute(value) for name, value in attributes.items()}
    told = masked(values, attributes_schema, names=True, valid=valid)
    assert isinstance(told, dict)
    return Shown(body=shape, attributes={name: str(value) for name, value in told.items()})


def masked(
    content: Any, schema: Mapping[str, Any] | None, *, names: bool = False, valid: bool = True
) -> JsonValue:
    """Return the shape of parsed JSON: names, types and lengths, and in clear only what is safe.

    Parameters
    ----------
    content : Any
        Parsed JSON.
    schema : Mapping[str, Any] | None
        The JSON Schema that its marks are read from. Names that it does not tell are shown as `*`; without a
        schema those are shown that look like names.
    names : bool
        Show all names, for message attributes: SQS has rules for them.
    valid : bool
        The whole satisfies the schema; otherwise nothing is in clear.
    """
    masking = _Masking(schema or {}, known_only=bool(schema) and not names, valid=valid)
    return masking.shape(content, [schema or {}], "", 0)


class _Masking:
    def __init__(self, root: Mapping[str, Any], *, known_only: bool, valid: bool) -> None:
        self._root = root
        self._valid = valid
        self._known_only = known_only

    def shape(self, content: Any, schemas: list[Mapping[str, Any]], name: str, depth: int) -> JsonValue:
        """Return the shape of a part, which the schemas given are about."""
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
            return content if isinstance(content, (int, float)) else str(content)[:_MAX_TEXT]
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
            told = key if below or (not self._known_only and _NAME.fullmatch(key)) else "*"
            if told == "*" and "*" in found:
                continue
            found[told] = self.shape(content[key], below, key, depth + 1)
        if len(content) > _MAX_MEMBERS:
            found["..."] = f"<{len(content) - _MAX_MEMBERS} more>"
        return found

    def _array(
        self, content: list[Any], schemas: list[Mapping[str, Any]], name: str, depth: int
    ) -> JsonValue:
        if depth >= _MAX_DEPTH:
            return f"<array {len(content)}>"
        below = [schema["items"] for schema in schemas if isinstance(schema.get("items"), Mapping)]
        found = [self.shape(item, below, name, depth + 1) for item in content[:_MAX_ITEMS]]
        return [*found, f"<{len(content) - _MAX_ITEMS} more>"] if len(content) > _MAX_ITEMS else found

    def _all(self, schemas: list[Mapping[str, Any]], references: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yield the schemas, what they refer to, and the parts that they are put together of."""
        for schema in schemas:
            if not isinstance(schema, Mapping):
                continue
            yield schema
            parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key) or ()]
            referred = self._referred(schema.get("$ref"))
            if references < _MAX_REFERENCES and (parts or referred is not None):
                yield from self._all([*parts, *([referred] if referred else [])], references + 1)

    def _referred(self, reference: Any) -> Mapping[str, Any] | None:
        """Return what a reference inside the document leads to (RFC 6901)."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found: Any = self._root
        for step in reference[2:].split("/"):
            found = (
                found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
            )
        return found if isinstance(found, Mapping) else None


def is_sensitive(name: str) -> bool:
    """Return whether a field of this name may hold personal data or a secret."""
    return _SENSITIVE.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def _attribute(value: Mapping[str, Any]) -> Any:
    found = attribute_value(value)
    return f"<binary {len(found)}>" if isinstance(found, bytes) else found


def size_of(value: Shown) -> int:
    """Return the bytes that a shape takes as JSON."""
    return len(json.dumps(value.model_dump(mode="json")))
