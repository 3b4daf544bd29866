"""Contracts as JSON Schemas, for queues whose consumers aren't part of this app.

Created by `redrive.adapters.contract_store` from a schema in SSM or S3. Only this module and its parts import
jsonschema-rs, because few cold starts need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any, Literal

from jsonschema_rs import FancyRegexOptions, ValidationError, ValidatorMap, validator_for, validator_map_for

from redrive.contracts.contract import (
    MAX_PROBLEMS,
    ContractViolationError,
    Problem,
    Violation,
    property_names,
)
from redrive.contracts.marks import Marks, marks_of_json
from redrive.contracts.schema_costs import CHARACTERS
from redrive.contracts.schema_document import (
    SNS_DELIVERY,
    attributes_document,
    check_metaschema,
    draft_of,
    not_a_schema,
)
from redrive.contracts.schema_keywords import ASSERT_FORMATS, check_keywords
from redrive.contracts.schema_parts import InvalidSchemaError, Part, Parts
from redrive.contracts.schema_patterns import Matcher, ecma_262, is_light
from redrive.contracts.schema_problems import Problems
from redrive.contracts.schema_unique import UNIQUE_ITEMS
from redrive.contracts.schema_values import Reader, names_in
from redrive.contracts.schema_work import Steps
from redrive.contracts.work import TooMuchWorkError, Work

# Stands for `pattern` where a pattern needs look-around, backreferences, or a large count.
_BOUNDED = "sqs-redrive:pattern"

# A step is about 10 ns: a subschema applied to a value, a state of a pattern, a backtracking. An order of 200 kB with
# 20,000 values takes some 0.2 million steps.
_STEPS = 20_000_000
_STEPS_PER_BYTE = 200


class SchemaContract:
    """A contract for messages whose body is JSON.

    Attribute values are strings, numbers for the data type Number, and base64 strings for Binary. Numbers are exact,
    `$ref` can't leave the document, and `format` is only an annotation unless the schema says otherwise. The work on a
    message is bounded by its size.

    Parameters
    ----------
    name : str
        The contract's name in reports: the schema's location.
    document : Any
        The schema of the body. May contain `x-attributes`, the schema of the message attributes (an object);
        `x-sns-delivery`: `raw` if the consumer of an SNS topic's queue expects raw messages; and `x-assert-formats`:
        true if `format` counts.

    Raises
    ------
    InvalidSchemaError
        If `document` isn't a JSON Schema of a supported draft, has a keyword that would be ignored, a reference that
        leaves the document or never ends, or a pattern that isn't a regular expression, or could take too much work for
        one value.
    """

    def __init__(self, name: str, document: Any) -> None:
        self.name = name
        if not isinstance(document, dict):
            raise InvalidSchemaError(f"expected a JSON object, found {type(document).__name__}")
        check_keywords(document)
        self.sns_delivery: Literal["raw", "wrapped"] | None = document.get(SNS_DELIVERY)
        self.body_schema: dict[str, Any] = document
        self.attributes_schema = attributes_document(document)
        self._reader = Reader()
        work = Work(_STEPS, _STEPS_PER_BYTE)
        try:
            formats = document.get(ASSERT_FORMATS) is True
            self._body = _Schema(self.body_schema, work, formats=formats)
            attributes = self.attributes_schema
            self._attributes = _Schema(attributes, work, formats=formats) if attributes else None
        except RecursionError:
            raise InvalidSchemaError("its subschemas are nested too deeply") from None

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return the parsed body, its fractions as decimals.

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
        TooMuchWorkError
            If checking the message takes too much work, it is nested too deeply, or a number has too many digits.
        """
        reader = self._reader
        try:
            content = reader.body(body)
        except ValueError:
            problem = Problem("body", "json_invalid")
            raise ContractViolationError(self.name, Violation.NOT_JSON, [problem]) from None
        problems = [(Violation.INVALID_BODY, one) for one in self._body.problems(content, body, "body", reader)]
        if self._attributes is not None:
            values = reader.attributes(attributes)
            for problem in self._attributes.problems(values, "", "attributes", reader):
                missing = problem.what == "required"
                problems.append((Violation.MISSING_ATTRIBUTE if missing else Violation.INVALID_ATTRIBUTE, problem))
        if not problems:
            return content
        listed = [problem for _, problem in problems[:MAX_PROBLEMS]]
        raise ContractViolationError(self.name, problems[0][0], listed)

    def marks(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> tuple[Marks | None, Marks | None]:
        """Return which values of body and attributes may be shown.

        They raise TooMuchWorkError if finding out takes too much work.

        Raises
        ------
        ContractViolationError, TooMuchWorkError
            As in `parse`.
        """
        content = self.parse(body, attributes)
        values = self._reader.attributes(attributes)
        in_attributes = None if self._attributes is None else self._attributes.marks(values, "")
        return self._body.marks(content, body), in_attributes


class _Schema:
    """A compiled schema."""

    def __init__(self, document: dict[str, Any], work: Work, *, formats: bool) -> None:
        self._draft = draft_of(document)
        check_metaschema(document)
        schema = deepcopy(document)
        self._parts = Parts(schema, self._draft)
        cost = self._parts.cost
        self._per_number = max(cost.integer, cost.decimal)
        # No text has more values than characters, nor more numbers than half of them.
        self._per_character = cost.value + (self._per_number + cost.patterns + 1) // 2
        self._formats = formats
        self._work = work
        self._matcher = Matcher(work)
        self._name_patterns: set[str] = set()
        # No pattern needs more work than the text's length.
        self._light = True
        for part in self._parts:
            self._prepare(part)
        # A name that the schema requires is one that it names, too.
        required = (part.schema.get("required") for part in self._parts)
        self._known = property_names(document).union(*(names for names in required if isinstance(names, list)))
        self._schema = schema
        self._options: dict[str, Any] = {
            "pattern_options": FancyRegexOptions(),
            "keywords": {_BOUNDED: self._matcher.keyword(), **UNIQUE_ITEMS},
            "validate_formats": formats,
            "offline": True,
        }
        try:
            self._validator = validator_for(schema, **self._options)
        except ValidationError as error:
            raise not_a_schema(error) from None

    def _prepare(self, part: Part) -> None:
        schema, where = part.schema, part.pointer.removeprefix("#/")
        # Annotations in current drafts, but draft 7 lets a validator check them.
        schema.pop("contentEncoding", None)
        schema.pop("contentMediaType", None)
        if not self._formats:
            schema.pop("format", None)
        if isinstance(schema.get("pattern"), str) and not is_light(schema["pattern"], f"{where}/pattern"):
            schema[_BOUNDED] = ecma_262(schema.pop("pattern"))
            self._light = False
        for pattern in list(schema.get("patternProperties") or ()):
            if not is_light(pattern, f"{where}/patternProperties"):
                # The library matches names itself.
                self._name_patterns.add(self._parts.renamed(part, pattern, ecma_262(pattern)))
                self._light = False

    def problems(self, content: Any, text: str, where: str, reader: Reader) -> list[Problem]:
        """Return the first problems of a value, which `reader` has just read; none if it is valid.

        `text` is its JSON, or empty for attributes.

        Raises
        ------
        TooMuchWorkError
            If finding out takes too much work.
        """
        if not self._light or (1 + len(text)) * self._per_character + reader.long * self._per_number > _STEPS:
            self._begin(content, text, reader.long)
        if self._decided(self._validator.is_valid(content)):
            return []
        self._work.start(len(text))
        return self._decided(self._problems.of(content, where, self._known))

    def marks(self, content: Any, text: str) -> Marks:
        """Return which values in a valid one may be shown."""
        self._begin(content, text, 0)

        def holds(part: Part, value: Any) -> bool | None:
            validator = self._validators.get(part.pointer)
            return None if validator is None else self._decided(validator.is_valid(value))

        return marks_of_json(self._parts, self._draft, holds, content)

    def _begin(self, content: Any, text: str, long: int) -> None:
        self._matcher.gave_up = False
        self._work.start(len(text))
        # Every value is at the top, or follows one of these. They may also be in strings.
        values = 1 + text.count(",") + text.count(":") + text.count("[")
        cost = self._parts.cost
        steps = values * cost.value + (values + long) * self._per_number + len(text) * cost.patterns // CHARACTERS
        if steps > self._work.left:
            self._steps.count(content, self._work.left)
        # The library matches names itself, after it is known that no match takes too much work.
        if self._name_patterns:
            for name in names_in(content):
                for pattern in self._name_patterns:
                    self._matcher.matches(pattern, name)
            self._decided(valid=False)

    def _decided[T](self, valid: T) -> T:
        if self._matcher.gave_up:
            raise TooMuchWorkError
        return valid

    @cached_property
    def _validators(self) -> ValidatorMap:
        return validator_map_for(self._schema, **self._options)

    @cached_property
    def _steps(self) -> Steps:
        return Steps(self._parts)

    @cached_property
    def _problems(self) -> Problems:
        return Problems(self._parts, self._draft, self._validators, _BOUNDED, self._matcher.matches)
