"""Refuses keywords that would be ignored: misspelled ones, and those of another draft or of another standard.

Used by `redrive.contracts.json_schema` when a contract is loaded. JSON Schema ignores what it doesn't know, so a
misspelled `required` would let every message pass. The next version of the standard refuses unknown keywords, too,
unless they begin with `x-` (https://github.com/orgs/json-schema-org/discussions/329).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from jsonschema_rs import ValidationError, bundle, validator_for

from redrive.contracts.schema_document import ATTRIBUTES, SNS_DELIVERY, attributes_document, draft_of
from redrive.contracts.schema_parts import (
    DEFINITIONS,
    DIALECTS,
    ITEMS,
    MEMBER_MAPS,
    MEMBERS,
    SAME,
    SAME_LISTS,
    SAME_MAPS,
    InvalidSchemaError,
    escaped,
)

# Lets `format` be checked, at the top of a schema.
ASSERT_FORMATS = "x-assert-formats"
_FLAGS = ("x-safe", "x-personal", ASSERT_FORMATS)
_AT_THE_TOP = (ATTRIBUTES, SNS_DELIVERY, ASSERT_FORMATS)
_OURS = {re.sub("[^a-z]", "", name).rstrip("s"): name for name in {*_AT_THE_TOP, *_FLAGS}}

_DRAFT_NAMES = {4: "draft 4", 6: "draft 6", 7: "draft 7", 2019: "2019-09", 2020: "2020-12"}
_NEWEST = 2020
# Vocabularies of the newest draft whose keywords never change a verdict, so they may be in a schema of any draft.
_ANNOTATIONS = ("meta/meta-data", "meta/content")
# OpenAPI 3.1, "OAS Base vocabulary" (https://spec.openapis.org/oas/3.1/meta/base): they don't change a verdict either.
_OPENAPI = {"discriminator", "example", "externalDocs", "xml"}
# The metaschema of 2020-12 only reserves them.
_RESERVED = {2020: {"$recursiveAnchor", "$recursiveRef"}}
_HINTS = {
    "nullable": 'a keyword of OpenAPI 3.0, which JSON Schema ignores; add null to the type, as in ["string", "null"]',
    "divisibleBy": "a keyword of draft 3; use multipleOf",
    "extends": "a keyword of draft 3; use allOf",
    "disallow": "a keyword of draft 3; use not",
}
# Keywords that mean nothing without another one.
_NEED = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
# Formats whose check takes more than reading the text.
_HEAVY_FORMATS = {"regex"}


def check_keywords(document: dict[str, Any]) -> None:
    """Refuse a document with keywords that would be ignored, or with keywords of this app that are misspelled.

    Raises
    ------
    InvalidSchemaError
        If there is one; the text names it, its place, and what to use instead.
    """
    delivery = document.get(SNS_DELIVERY)
    if SNS_DELIVERY in document and delivery not in ("raw", "wrapped"):
        raise InvalidSchemaError(f"{SNS_DELIVERY}: expected raw or wrapped, found {delivery!r}")
    attributes = document.get(ATTRIBUTES, {})
    if not isinstance(attributes, dict):
        raise InvalidSchemaError(f"{ATTRIBUTES}: expected a JSON object, found {type(attributes).__name__}")
    asserts = document.get(ASSERT_FORMATS) is True
    _check(document, draft_of(document), "", asserts=asserts)
    if attributes:
        _check(attributes, draft_of(attributes_document(document)), f"{ATTRIBUTES}/", asserts=asserts)


def _check(document: dict[str, Any], draft: int, where: str, *, asserts: bool) -> None:
    elsewhere = _referred_elsewhere(document)
    pending: list[tuple[Any, str]] = [(document, where)]
    while pending:
        schema, place = pending.pop()
        for keyword, value in schema.items() if isinstance(schema, dict) else ():
            at = f"{place}{keyword}"
            referred = elsewhere.get(keyword, {}) if schema is document else {}
            pending += ((found, f"{at}{rest}/") for rest, found in referred.items())
            if keyword.lower().startswith("x"):
                _check_own(keyword, value, at, top=schema is document and not where)
            elif not referred:
                _check_keyword(schema, keyword, at, draft)
                if keyword == "format" and asserts:
                    _check_format(value, at, draft)
            pending += ((below, f"{at}{step}/") for step, below in _below(keyword, value))


def _below(keyword: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the subschemas of a keyword, each with its place in it."""
    if isinstance(value, dict) and keyword in {*SAME_MAPS, *MEMBER_MAPS, *DEFINITIONS}:
        yield from ((f"/{escaped(name)}", below) for name, below in value.items())
    elif isinstance(value, list) and keyword in {*SAME_LISTS, "prefixItems", "items"}:
        yield from ((f"/{index}", below) for index, below in enumerate(value))
    elif keyword in {*SAME, *MEMBERS, *ITEMS}:
        yield "", value


def _check_keyword(schema: dict[str, Any], keyword: str, at: str, draft: int) -> None:
    if keyword not in _known(draft):
        raise InvalidSchemaError(f"{at}: {_why_unknown(keyword, draft)}")
    if keyword == "items" and draft == _NEWEST and isinstance(schema["items"], list):
        raise InvalidSchemaError(f"{at}: lists of schemas are of drafts up to 2019-09; use prefixItems")
    if (needed := _NEED.get(keyword)) is not None and needed not in schema:
        raise InvalidSchemaError(f"{at}: means nothing without {needed}")
    if draft <= 7 and keyword != "$ref" and isinstance(schema.get("$ref"), str) and keyword in _assertions(draft):
        raise InvalidSchemaError(
            f"{at}: up to draft 7, keywords next to $ref are ignored; put the $ref into allOf, or declare 2019-09"
        )


def _check_own(keyword: str, value: Any, at: str, *, top: bool) -> None:
    ours = _OURS.get(re.sub("[^a-z]", "", keyword.lower()).rstrip("s"))
    if ours is None and not keyword.startswith("x-") and keyword not in _OPENAPI:
        raise InvalidSchemaError(f"{at}: unknown keyword; annotations begin with x-")
    if ours is None:
        return
    if keyword != ours:
        raise InvalidSchemaError(f"{at}: unknown keyword; did you mean {ours}?")
    if ours in _FLAGS and not isinstance(value, bool):
        raise InvalidSchemaError(f"{at}: expected true or false, found {value!r}")
    if ours in _AT_THE_TOP and not top:
        raise InvalidSchemaError(f"{at}: expected only at the top of the schema")


def _check_format(value: Any, at: str, draft: int) -> None:
    if isinstance(value, str) and value in _HEAVY_FORMATS:
        raise InvalidSchemaError(f"{at}: with {ASSERT_FORMATS}, {value} isn't supported")
    dialect = next(name for name, number in DIALECTS.items() if number == draft)
    try:
        validator_for({"$schema": dialect, "format": value}, validate_formats=True, ignore_unknown_formats=False)
    except ValidationError:
        raise InvalidSchemaError(
            f"{at}: {value!r} isn't a format of JSON Schema {_DRAFT_NAMES[draft]}, so {ASSERT_FORMATS} can't be true"
        ) from None


def _why_unknown(keyword: str, draft: int) -> str:
    if keyword in _HINTS:
        return _HINTS[keyword]
    others = [_DRAFT_NAMES[one] for one in _DRAFT_NAMES if keyword in _known(one)]
    if others:
        return (
            f"a keyword of JSON Schema {', '.join(others)}, but not of {_DRAFT_NAMES[draft]}, which is what $schema "
            "says or what counts without $schema; declare the draft that you mean, or use a keyword of this one"
        )
    spelled = {name.lower(): name for one in (draft, *_DRAFT_NAMES) for name in _known(one)}
    close = get_close_matches(keyword.lower(), spelled, n=1, cutoff=0.7)
    meant = f"did you mean {spelled[close[0]]}?" if close else "annotations begin with x-"
    return f"unknown keyword; {meant}"


@cache
def _known(draft: int) -> frozenset[str]:
    """Return the keywords that a schema of a draft may have."""
    own = {keyword for keywords in _vocabularies(draft).values() for keyword in keywords}
    return frozenset({*own, "$ref", *DEFINITIONS, *_annotations(), *_OPENAPI} - _RESERVED.get(draft, set()))


@cache
def _annotations() -> frozenset[str]:
    found = (keywords for name, keywords in _vocabularies(_NEWEST).items() if name.endswith(_ANNOTATIONS))
    return frozenset({"$comment"}).union(*found)


@cache
def _assertions(draft: int) -> frozenset[str]:
    """Return the keywords of a draft that may change a verdict."""
    names = {"$schema", "$id", "id", "format", *DEFINITIONS}
    return _known(draft) - _annotations() - _OPENAPI - names


@cache
def _vocabularies(draft: int) -> dict[str, list[str]]:
    """Return the keywords in the metaschemas of a draft, which the library has, by the metaschemas' URIs."""
    dialect = next(name for name, number in DIALECTS.items() if number == draft)
    document: dict[str, Any] = bundle({"$schema": f"{dialect}#" if draft <= 7 else dialect, "$ref": dialect})
    found = document.get("$defs") or document["definitions"]
    return {name: list(metaschema["properties"]) for name, metaschema in found.items()}


def _referred_elsewhere(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what references lead to outside of any keyword: by the member at the top, and by the place in it."""
    found: dict[str, dict[str, Any]] = {}
    known = frozenset().union(*map(_known, _DRAFT_NAMES))
    pending: list[Any] = [document]
    while pending:
        part = pending.pop()
        pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        reference = part.get("$ref") if isinstance(part, dict) else None
        if isinstance(reference, str) and reference.startswith("#/"):
            top, *steps = (step.replace("~1", "/").replace("~0", "~") for step in reference[2:].split("/"))
            target = document.get(top)
            for step in steps:
                target = target.get(step) if isinstance(target, dict) else None
            if steps and isinstance(target, dict) and top not in known and top != ATTRIBUTES:
                found.setdefault(top, {})["".join(f"/{escaped(step)}" for step in steps)] = target
    return found
