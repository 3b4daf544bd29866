"""Masks a message: keeps its shape and removes its values.

Called by the summary. A value stays unmasked only if the message satisfies its contract, the value matched a part that
marks it as safe (`x-safe`), no part marks it as personal (`x-personal`), and the field's name doesn't suggest personal
data or a secret. A name stays only if the contract defines it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from redrive.contracts.contract import ContractViolationError, MessageContract, attribute_value
from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.message import utf8_size
from redrive.domain.messages.opened import Payload
from redrive.domain.names import display_name
from redrive.domain.sampling.sample import MaskedMessage

if TYPE_CHECKING:
    from redrive.contracts.marks import Marks

HIDDEN = "<hidden>"
# Names of fields that likely contain personal data or a secret, regardless of the contract; compared in lowercase and
# without punctuation.
_SENSITIVE = re.compile(
    "ssn|socialsecurity|taxid|passport|iban|bic$|account|card|cvc|cvv|^pan$|^pin$|email|mail|phone|mobile|"
    "dob|birth|name$|surname|address|street|token|secret|passw|pwd|credential|auth|session|cookie|apikey|"
    "privatekey|signature"
)
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


def masked_message(payload: Payload, contract: MessageContract | None) -> MaskedMessage:
    """Return a message with its values masked.

    Parameters
    ----------
    payload : Payload
        The message's innermost content, JSON or not.
    contract : MessageContract | None
        Its contract. Without one, nothing but types and sizes stays, and of an invalid message only the names besides.
    """
    if contract is None:
        return _masked(payload, _Masking({}), _Masking({}))
    body, attributes = _Masking(contract.body_schema), _Masking(contract.attributes_schema)
    try:
        return _masked(payload, body, attributes, *contract.marks(payload.text, payload.attributes))
    except (ContractViolationError, TooMuchWorkError):
        return _masked(payload, body, attributes)


def _masked(
    payload: Payload,
    in_body: _Masking,
    in_attributes: _Masking,
    body_marks: Marks | None = None,
    attributes_marks: Marks | None = None,
) -> MaskedMessage:
    try:
        body = in_body.masked(payload.content, body_marks)
    except (NotJsonError, TooMuchWorkError):
        body = f"<text {utf8_size(payload.text)} bytes>"
    values = {name: attribute_value(value) for name, value in payload.attributes.items()}
    attributes = in_attributes.masked(values, attributes_marks)
    members = attributes if isinstance(attributes, dict) else {"*": attributes}
    return MaskedMessage(body=body, attributes={name: str(value) for name, value in members.items()})


class _Masking:
    """Takes the values out of one JSON value.

    Parameters
    ----------
    root : Mapping[str, Any]
        Its JSON Schema, which has the names and says what is personal.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def masked(self, content: Any, marks: Marks | None) -> JsonValue:
        """Return the shape of the value; without marks, nothing in it is safe."""
        return self._shape(content, [self._root], marks, "", 0)

    def _shape(
        self, content: Any, schemas: list[Mapping[str, Any]], marks: Marks | None, name: str, depth: int
    ) -> JsonValue:
        schemas = list(self._all(schemas))
        if is_sensitive(name) or any(schema.get("x-personal") is True for schema in schemas):
            return HIDDEN
        if isinstance(content, dict):
            return self._object(content, schemas, marks, depth)
        if isinstance(content, list):
            return self._array(content, schemas, marks, name, depth)
        return _scalar(content, safe=marks is not None and marks.allow(content))

    def _object(
        self, content: dict[str, Any], schemas: list[Mapping[str, Any]], marks: Marks | None, depth: int
    ) -> JsonValue:
        if depth >= _MAX_DEPTH:
            return f"<object {len(content)}>"
        found: dict[str, JsonValue] = {}
        for key in list(content)[:_MAX_MEMBERS]:
            below = [
                schema["properties"][key]
                for schema in schemas
                if isinstance(schema.get("properties"), Mapping) and key in schema["properties"]
            ]
            # Any other key comes from the message, so it can be anything.
            masked_key = display_name(key) if below else "*"
            if masked_key not in found:
                marks_below = marks.below(key) if marks is not None and below else None
                found[masked_key] = self._shape(content[key], below, marks_below, key, depth + 1)
        if len(content) > len(found):
            found["..."] = f"<{len(content) - len(found)} more>"
        return found

    def _array(
        self, content: list[Any], schemas: list[Mapping[str, Any]], marks: Marks | None, name: str, depth: int
    ) -> JsonValue:
        if depth >= _MAX_DEPTH:
            return f"<array {len(content)}>"
        below = [schema["items"] for schema in schemas if isinstance(schema.get("items"), Mapping)]
        found = [
            self._shape(item, below, marks.below(index) if marks is not None else None, name, depth + 1)
            for index, item in enumerate(content[:_MAX_ITEMS])
        ]
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


def _scalar(content: Any, *, safe: bool) -> JsonValue:
    match content:
        case None:
            return None
        case bool():
            return "<boolean>"
        case bytes():
            return f"<binary {len(content)}>"
        case str():
            return content[:_MAX_TEXT] if safe else f"<string {len(content)}>"
    return _number(content) if safe else "<number>"


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


def size_of(value: MaskedMessage) -> int:
    """Return the size of a masked message as JSON, in bytes."""
    return len(json.dumps(value.model_dump(mode="json")))
