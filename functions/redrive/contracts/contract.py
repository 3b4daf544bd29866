"""Contracts as pydantic models: one for the body and one for the message attributes.

Used by consumers (`Contract.parse`) and by `redrive.domain.judging.judge`, so both agree on what is valid.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, PydanticUserError, ValidationError

if TYPE_CHECKING:
    from redrive.contracts.marks import Marks

# Marks on a contract's fields (`json_schema_extra`), read from its JSON Schema: SAFE values may appear in samples if
# the message is valid and the value matched the part that has the mark; PERSONAL values must never leave a function
# unmasked. A value without a mark appears only as its type and length.
PERSONAL: dict[str, JsonValue] = {"x-personal": True}
SAFE: dict[str, JsonValue] = {"x-safe": True}

# A quarantined message lists its problems in an attribute, which must fit in the message.
MAX_PROBLEMS = 20


class Violation(StrEnum):
    """Why a message breaks its contract: a stable code, suitable for counting."""

    NOT_JSON = "not-json"
    INVALID_BODY = "invalid-body"
    MISSING_ATTRIBUTE = "missing-attribute"
    INVALID_ATTRIBUTE = "invalid-attribute"


class Problem(NamedTuple):
    """One thing that failed in validation, without any value from the message."""

    #: Path of the field.
    where: str
    #: The rule that it breaks.
    what: str


class ContractViolationError(Exception):
    """A message breaks its contract. The text names fields and rules, never values."""

    def __init__(self, contract: str, violation: Violation, problems: Sequence[Problem]) -> None:
        self.contract = contract
        self.violation = violation
        self.problems = tuple(problems)
        listed = "; ".join(f"{problem.where}: {problem.what}" for problem in self.problems)
        super().__init__(f"breaks the contract {contract} ({violation}): {listed}")


class ContractModel(BaseModel):
    """Base class of a contract's models. Their errors never quote the message."""

    # Validators are built on first use, to keep cold starts short.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class MessageContract(Protocol):
    """What the redrive needs from a contract, whether it consists of pydantic models or a JSON Schema."""

    @property
    def name(self) -> str:
        """The contract's name in reports."""

    @property
    def body_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the body, with its fields' marks."""

    @property
    def attributes_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the message attributes."""

    @property
    def sns_delivery(self) -> Literal["raw", "wrapped"] | None:
        """Whether the consumer of an SNS topic's queue expects raw messages or SNS envelopes; None: as received."""

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return the parsed message, or raise ContractViolationError or TooMuchWorkError."""

    def marks(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> tuple[Marks | None, Marks | None]:
        """Return which values of body and attributes may be shown; raise the same errors."""


class Message[B: ContractModel, A: ContractModel](NamedTuple):
    """A message that satisfies its contract."""

    body: B
    attributes: A


@dataclass(frozen=True, slots=True)
class Contract[B: ContractModel, A: ContractModel]:
    """What a valid message of a queue looks like."""

    #: The contract's name in reports.
    name: str
    #: Model of the body, which must be JSON.
    body: type[B]
    #: Model of the message attributes by name; values are strings, or bytes for Binary.
    attributes: type[A]
    #: Whether the consumer of an SNS topic's queue expects raw messages or SNS envelopes; None: as received.
    sns_delivery: Literal["raw", "wrapped"] | None = None

    @property
    def body_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the body."""
        return schema_of(self.body)

    @property
    def attributes_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the message attributes."""
        return schema_of(self.attributes)

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Message[B, A]:
        """Return the parsed message.

        Parameters
        ----------
        body : str
            The message body as received.
        attributes : Mapping[str, Mapping[str, Any]]
            Message attributes, either as ReceiveMessage returns them (`StringValue`) or as Lambda passes them to a
            consumer (`stringValue`).

        Raises
        ------
        ContractViolationError
            If the message breaks the contract; lists the first problems, body before attributes.
        """
        problems: list[tuple[Violation, Problem]] = []
        parsed_body: B | None = None
        parsed_attributes: A | None = None
        try:
            parsed_body = self.body.model_validate_json(body)
        except ValidationError as error:
            problems += _problems(error, "body", Violation.INVALID_BODY, self.body)
        try:
            parsed_attributes = self.attributes.model_validate(
                {name: attribute_value(value) for name, value in attributes.items()}
            )
        except ValidationError as error:
            problems += _problems(error, "attributes", Violation.INVALID_ATTRIBUTE, self.attributes)
        if parsed_body is None or parsed_attributes is None:
            listed = [problem for _, problem in problems[:MAX_PROBLEMS]]
            raise ContractViolationError(self.name, problems[0][0], listed)
        return Message(parsed_body, parsed_attributes)

    def marks(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> tuple[Marks | None, Marks | None]:
        """Return which values of body and attributes may be shown.

        Raises
        ------
        ContractViolationError
            If the message breaks the contract.
        """
        # Only samples need them: no consumer, and no function that moves messages.
        from redrive.contracts.marks import marks_of_model  # noqa: PLC0415

        message = self.parse(body, attributes)
        return marks_of_model(message.body), marks_of_model(message.attributes)


def attribute_value(value: Mapping[str, Any]) -> str | bytes | None:
    """Return the value of a message attribute, either as ReceiveMessage returns it or as Lambda passes it on."""
    for key in ("StringValue", "stringValue", "BinaryValue"):
        if value.get(key) is not None:
            found: str | bytes = value[key]
            return found
    # Lambda passes bytes in base64 (Lambda developer guide, "Example Amazon SQS message event").
    return b64decode(value["binaryValue"]) if value.get("binaryValue") is not None else None


@cache
def schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the JSON Schema of a model."""
    try:
        return model.model_json_schema()
    except PydanticUserError:
        # JSON Schema can't express one of the types: only the top-level names are known.
        return {"properties": {name: {} for name in model.model_fields}}


def property_names(schema: Any) -> frozenset[str]:
    """Return the names of all properties that a JSON Schema defines, at any depth."""
    names: set[str] = set()
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            properties = part.get("properties")
            names.update(properties if isinstance(properties, Mapping) else ())
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return frozenset(names)


@cache
def _field_names(model: type[ContractModel]) -> frozenset[str]:
    return property_names(schema_of(model))


def _problems(
    error: ValidationError, part: str, violation: Violation, model: type[ContractModel]
) -> list[tuple[Violation, Problem]]:
    found = []
    known = _field_names(model)
    for detail in error.errors(include_url=False, include_input=False):
        code, what = violation, detail["type"]
        # A key that the contract doesn't define comes from the message, so it can contain anything.
        path = [step if isinstance(step, int) or step in known else "*" for step in detail["loc"]]
        if what == "json_invalid":
            # It's JSON, even though it's nested deeper than the consumer can read.
            too_deep = str(detail["ctx"]["error"]).startswith("recursion limit")
            code, what = (violation, "too_deep") if too_deep else (Violation.NOT_JSON, what)
        elif part == "attributes" and what == "missing":
            code = Violation.MISSING_ATTRIBUTE
        found.append((code, Problem(".".join([part, *map(str, path)]), what)))
    return found
