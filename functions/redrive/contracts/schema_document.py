"""Finds out which draft a JSON Schema is of and whether it is one, and takes the schema of the attributes out of it.

Used by `redrive.contracts.json_schema` when a contract is loaded.
"""

from __future__ import annotations

from typing import Any

from jsonschema_rs import ValidationError, meta

from redrive.contracts.schema_parts import DIALECTS, InvalidSchemaError

# This app's annotations at the top of a schema: the schema of the message attributes, and whether the consumer of an
# SNS topic's queue expects raw messages or SNS envelopes.
ATTRIBUTES = "x-attributes"
SNS_DELIVERY = "x-sns-delivery"
_DEFINITIONS = ("$defs", "definitions")
# Keywords whose values are JSON, not schemas.
_INSTANCES = ("enum", "const", "default", "examples")


def attributes_document(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the message attributes as a document of its own, or an empty one.

    Its references may also lead to the definitions of the document that it is in, and begin with its place there.
    """
    found = document.get(ATTRIBUTES)
    if not found:
        return {}
    own: dict[str, Any] = _rebased(found)
    if "$schema" in own and own["$schema"] != document.get("$schema"):
        return own
    around = {name: _rebased(document[name]) for name in ("$schema", "$id", "id", *_DEFINITIONS) if name in document}
    shared = {
        name: {**around[name], **own.get(name, {})} for name in _DEFINITIONS if isinstance(around.get(name), dict)
    }
    return {**around, **own, **shared}


def _rebased(part: Any) -> Any:
    """Return a part of a schema with references that begin at `x-attributes` instead of at the top around it."""
    if isinstance(part, list):
        return [_rebased(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {name: value if name in _INSTANCES else _rebased(value) for name, value in part.items()}
    reference = found.get("$ref")
    if isinstance(reference, str) and f"{reference}/".startswith(f"#/{ATTRIBUTES}/"):
        found["$ref"] = "#" + reference.removeprefix(f"#/{ATTRIBUTES}")
    return found


def check_metaschema(document: dict[str, Any]) -> None:
    """Raise InvalidSchemaError if a document isn't what its dialect calls a schema."""
    try:
        meta.validate(document)
    except ValidationError as error:
        raise not_a_schema(error) from None


def not_a_schema(error: ValidationError) -> InvalidSchemaError:
    """Return the error for a document that the library refuses."""
    path = "/".join(map(str, error.instance_path)) or "the top level"
    return InvalidSchemaError(f"not a JSON Schema: {path} breaks the rule `{error.kind.name}`")


def draft_of(document: dict[str, Any]) -> int:
    """Return the draft of a schema: 4, 6, 7, 2019, or 2020, which is also that of a schema that doesn't say.

    Raises
    ------
    InvalidSchemaError
        If its dialect isn't one of these, or if a part has another one.
    """
    dialect = document.get("$schema", "https://json-schema.org/draft/2020-12/schema")
    draft = DIALECTS.get(dialect.removesuffix("#")) if isinstance(dialect, str) else None
    if draft is None:
        raise InvalidSchemaError(
            f"$schema: the dialect {dialect!r} isn't supported; expected JSON Schema draft 4, 6, 7, 2019-09, or "
            "2020-12, such as https://json-schema.org/draft/2020-12/schema"
        )
    pending: list[Any] = [document]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            other = part.get("$schema", dialect)
            if part is document.get(ATTRIBUTES):
                continue
            if isinstance(other, str) and other.removesuffix("#") != dialect.removesuffix("#"):
                raise InvalidSchemaError(f"$schema: expected one dialect in a document, found {other!r} too")
            pending += (value for key, value in part.items() if key not in _INSTANCES)
        elif isinstance(part, list):
            pending += part
    return draft
