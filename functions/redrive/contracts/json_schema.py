"""Contracts as JSON Schemas, for queues whose consumers aren't part of this app.

Created by `redrive.adapters.contract_store` from a schema in SSM or S3. Only this module imports jsonschema, because
few cold starts need it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Literal, cast

import regex
from jsonschema import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, extend, validator_for
from pydantic_core import from_json
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from redrive.contracts.contract import (
    MAX_PROBLEMS,
    ContractViolationError,
    Problem,
    Violation,
    attribute_value,
    property_names,
)
from redrive.contracts.time_limit import TimeLimit, TookTooLongError

# This app's annotations at the top of a schema: the schema of the message attributes, and whether the consumer of an
# SNS topic's queue expects raw messages or SNS envelopes.
ATTRIBUTES = "x-attributes"
SNS_DELIVERY = "x-sns-delivery"
# Long enough to recognize a circular schema on a slow machine, too.
_TRIAL_SECONDS = 3.0
_TRIALS: tuple[Any, ...] = (None, {}, [], "", 0)

type Keyword = Callable[..., Iterator[ValidationError] | None]


class InvalidSchemaError(ValueError):
    """A document isn't a usable JSON Schema; the text says where and why."""


class SchemaContract:
    """A contract for messages whose body is JSON.

    Attribute values are strings, numbers for the data type Number, and base64 strings for Binary. Pattern matching has
    a time limit, `$ref` can't leave the document, and `format` is only an annotation.

    Parameters
    ----------
    name : str
        The contract's name in reports: the schema's location.
    document : Any
        The schema of the body. May contain `x-attributes`, the schema of the message attributes (an object), and
        `x-sns-delivery`: `raw` if the consumer of an SNS topic's queue expects raw messages.
    clock : Callable[[], float]
        A monotonic clock in seconds.

    Raises
    ------
    InvalidSchemaError
        If `document` isn't a JSON Schema, has a reference that leaves the document or never ends, or has a pattern that
        isn't a regular expression.
    """

    def __init__(self, name: str, document: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        if not isinstance(document, dict):
            raise InvalidSchemaError(f"expected a JSON object, found {type(document).__name__}")
        delivery = document.get(SNS_DELIVERY)
        if delivery not in {None, "raw", "wrapped"}:
            raise InvalidSchemaError(f"{SNS_DELIVERY}: expected raw or wrapped, found {delivery!r}")
        self.sns_delivery: Literal["raw", "wrapped"] | None = delivery
        self.body_schema: dict[str, Any] = document
        self.attributes_schema: dict[str, Any] = document.get(ATTRIBUTES) or {}
        self._limit = TimeLimit(clock)
        self._body = _compiled(self.body_schema, self._limit)
        self._attributes = _compiled(self.attributes_schema, self._limit)

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return the parsed body.

        Parameters
        ----------
        body : str
            The message body as received.
        attributes : Mapping[str, Mapping[str, Any]]
            Message attributes as ReceiveMessage returns them.

        Raises
        ------
        ContractViolationError
            If the message breaks the contract; lists the first problems, body before attributes.
        TookTooLongError
            If the message can't be checked in time or is nested too deeply.
        """
        try:
            content = from_json(body, allow_inf_nan=False)
        except ValueError:
            problem = Problem("body", "json_invalid")
            raise ContractViolationError(self.name, Violation.NOT_JSON, [problem]) from None
        values = {name: _typed(value) for name, value in attributes.items()}
        self._limit.start()
        try:
            problems = [
                (Violation.INVALID_BODY, problem)
                for problem in _problems(self._body, content, "body", self.body_schema)
            ]
            for problem in _problems(self._attributes, values, "attributes", self.attributes_schema):
                missing = problem.what == "required"
                code = Violation.MISSING_ATTRIBUTE if missing else Violation.INVALID_ATTRIBUTE
                problems.append((code, problem))
        except (RecursionError, ArithmeticError):
            raise TookTooLongError from None
        if problems:
            listed = [problem for _, problem in problems[:MAX_PROBLEMS]]
            raise ContractViolationError(self.name, problems[0][0], listed)
        return content


def _typed(value: Mapping[str, Any]) -> Any:
    found = attribute_value(value)
    if str(value.get("DataType", "")).startswith("Number") and isinstance(found, str):
        try:
            return from_json(found, allow_inf_nan=False)
        except ValueError:
            return found
    return found


def _problems(validator: Validator, content: Any, part: str, schema: Mapping[str, Any]) -> list[Problem]:
    known = property_names(schema)
    found = []
    for error in islice(validator.iter_errors(content), MAX_PROBLEMS):
        # A key that the schema doesn't define comes from the message, so it can contain anything.
        path = [str(step) if isinstance(step, int) or step in known else "*" for step in error.absolute_path]
        if error.validator == "required":
            names = cast("list[str]", error.validator_value)
            path += [name for name in names if error.message.startswith(repr(name))][:1]
        found.append(Problem(".".join([part, *path]), str(error.validator)))
    return found


# Compiling a schema


def _compiled(schema: dict[str, Any], limit: TimeLimit) -> Validator:
    # A schema that doesn't declare its dialect uses the current one, JSON Schema 2020-12.
    base = validator_for(schema, default=Draft202012Validator)
    try:
        base.check_schema(schema)
    except SchemaError as error:
        path = "/".join(map(str, error.absolute_path)) or "the top level"
        raise InvalidSchemaError(f"not a JSON Schema: {path} breaks the rule `{error.validator}`") from None
    # An empty registry fetches nothing, so references can't leave the document.
    registry: Registry[Any] = Registry()
    _check_parts(schema, registry)
    own: dict[str, Keyword] = {
        "pattern": partial(_pattern, limit),
        "patternProperties": partial(_pattern_properties, limit),
        "uniqueItems": _unique_items,
    }
    keywords = {
        name: partial(_timed, limit, own.get(name) or keyword)
        for name, keyword in base.VALIDATORS.items()
        if keyword is not None
    }
    # jsonschema's stubs leave `extend` untyped.
    validator: Validator = extend(base, keywords)(schema, registry=registry)  # type: ignore[no-untyped-call]
    try:
        for content in _TRIALS:
            limit.start(_TRIAL_SECONDS)
            next(iter(validator.iter_errors(content)), None)
    except RecursionError:
        raise InvalidSchemaError("a $ref refers back to itself endlessly") from None
    except TookTooLongError:
        raise InvalidSchemaError(f"checking an empty message takes longer than {_TRIAL_SECONDS} s") from None
    return validator


def _check_parts(schema: Mapping[str, Any], registry: Registry[Any]) -> None:
    """Check the patterns and references of all subschemas, which the metaschema doesn't cover."""
    top = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = registry.resolver_with_root(top)
    pending = [(top, resolver)]
    while pending:
        part, resolver = pending.pop()
        if isinstance(part.contents, Mapping):
            for pattern in (part.contents.get("pattern"), *part.contents.get("patternProperties", ())):
                _check_pattern(pattern)
            for name in ("$ref", "$dynamicRef"):
                _check_reference(part.contents.get(name), resolver)
        pending += [(below, resolver.in_subresource(below)) for below in part.subresources()]


def _check_pattern(pattern: Any) -> None:
    try:
        if isinstance(pattern, str):
            regex.compile(pattern)
    except regex.error as error:
        raise InvalidSchemaError(f"the pattern {pattern!r} is not a regular expression: {error}") from None


def _check_reference(reference: Any, resolver: Any) -> None:
    try:
        if isinstance(reference, str):
            resolver.lookup(reference)
    except Unresolvable:
        raise InvalidSchemaError(
            f"the $ref {reference!r} refers to nothing in this document; define its target under $defs"
        ) from None


# Replacements for jsonschema's keywords, which match patterns without a time limit and compare all items pairwise.


def _timed(limit: TimeLimit, keyword: Keyword, *arguments: Any) -> Iterator[ValidationError]:
    limit.left()
    yield from keyword(*arguments) or ()


def _found(limit: TimeLimit, pattern: str, text: str) -> bool:
    try:
        return regex.search(pattern, text, timeout=limit.left()) is not None
    except TimeoutError:
        raise TookTooLongError from None


def _pattern(limit: TimeLimit, validator: Any, pattern: str, content: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(content, "string") and not _found(limit, pattern, content):
        yield ValidationError("does not match the pattern")


def _pattern_properties(
    limit: TimeLimit, validator: Any, patterns: Mapping[str, Any], content: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(content, "object"):
        return
    for pattern, schema in patterns.items():
        for name, value in content.items():
            if _found(limit, pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _unique_items(validator: Any, wanted: Any, content: Any, _schema: Any) -> Iterator[ValidationError]:
    if wanted and validator.is_type(content, "array") and len({_hashable(item) for item in content}) < len(content):
        yield ValidationError("has duplicate items")


def _hashable(value: Any) -> Any:
    """Return a value that is equal for equal JSON values: 1 equals 1.0, but not true."""
    if isinstance(value, dict):
        return "object", frozenset((name, _hashable(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_hashable, value))
    return isinstance(value, bool), value
