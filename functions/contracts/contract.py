"""The form of a contract: a pydantic model for the body and one for the message attributes.

Called by the consumers (`Contract.parse`) and by `redrive.domain.judging`, so that both mean the same by
"valid".
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, PydanticUserError, ValidationError

# Marks on the fields of a contract (`json_schema_extra`), read from its JSON Schema: what may be shown in a
# sample, and what must never leave a function in clear. Without a
# mark only a value's type and length are shown.
PERSONAL: dict[str, JsonValue] = {"x-personal": True}
SAFE: dict[str, JsonValue] = {"x-safe": True}

# A quarantined letter carries its problems in one attribute, which has to fit in the message.
MAX_PROBLEMS = 20


class Violation(StrEnum):
    """Why a message breaks its contract: a stable code, fit for counting."""

    NOT_JSON = "not-json"
    INVALID_BODY = "invalid-body"
    MISSING_ATTRIBUTE = "missing-attribute"
    INVALID_ATTRIBUTE = "invalid-attribute"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that failed in validation, told without any value from the message."""

    where: str
    what: str


class ContractViolationError(Exception):
    """A message is not what its contract says. The text names places and rules, never values."""

    def __init__(self, contract: str, violation: Violation, problems: Sequence[Problem]) -> None:
        self.contract = contract
        self.violation = violation
        self.problems = tuple(problems)
        told = "; ".join(f"{problem.where}: {problem.what}" for problem in self.problems)
        super().__init__(f"breaks the contract {contract} ({violation}): {told}")


class ContractModel(BaseModel):
    """Base of the models in a contract: its errors never repeat what was in the message."""

    # Built when they are first used: the redrive knows all contracts and most runs use one.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class MessageContract(Protocol):
    """What the redrive needs of a contract, whether its rules are pydantic models or a JSON Schema."""

    @property
    def name(self) -> str:
        """The name that reports use."""

    @property
    def body_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the body, with the marks on its fields."""

    @property
    def attributes_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the message attributes."""

    @property
    def sns_delivery(self) -> Literal["raw", "wrapped"] | None:
        """Whether the consumer of a topic's queue reads messages raw or as SNS wraps them."""

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return the parsed message, or raise ContractViolationError or TookTooLongError."""


@dataclass(frozen=True, slots=True)
class Message[B: ContractModel, A: ContractModel]:
    """A message that satisfies its contract."""

    body: B
    attributes: A


@dataclass(frozen=True, slots=True)
class Contract[B: ContractModel, A: ContractModel]:
    """What the messages of a queue must be.

    Attributes
    ----------
    name : str
        The name that the `QueueContracts` setting and the reports use.
    body : type[ContractModel]
        The model of the body, which must be JSON.
    attributes : type[ContractModel]
        The model of the message attributes, by name; values come as strings (or bytes for Binary).
    sns_delivery : Literal["raw", "wrapped"] | None
        Whether the consumer of a topic's queue reads messages raw or as SNS wraps them; None: as they come.
    """

    name: str
    body: type[B]
    attributes: type[A]
    sns_delivery: Literal["raw", "wrapped"] | None = None

    @property
    def body_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the body."""
        return _schema(self.body)

    @property
    def attributes_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the message attributes."""
        return _schema(self.attributes)

    def parse(self, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> Message[B, A]:
        """Return the parsed message.

        Parameters
        ----------
        body : str
            The message body as it was received.
        attributes : Mapping[str, Mapping[str, Any]]
            Message attributes, either as ReceiveMessage returns them (`StringValue`) or as Lambda passes
            them to a consumer (`stringValue`).

        Raises
        ------
        ContractViolationError
            With the code and the first problems found, body before attributes.
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
            told = [problem for _, problem in problems[:MAX_PROBLEMS]]
            raise ContractViolationError(self.name, problems[0][0], told)
        return Message(parsed_body, parsed_attributes)


def attribute_value(value: Mapping[str, Any]) -> str | bytes | None:
    """Return the value of a message attribute, as ReceiveMessage returns it or as Lambda passes it on."""
    for key in ("StringValue", "stringValue", "BinaryValue"):
        if value.get(key) is not None:
            found: str | bytes = value[key]
            return found
    # Lambda hands bytes to a consumer in base64 (Lambda developer guide, "Example Amazon SQS message event").
    return b64decode(value["binaryValue"]) if value.get("binaryValue") is not None else None


def property_names(schema: Any) -> frozenset[str]:
    """Return the names of all properties that a JSON Schema tells, at any depth."""
    names: set[str] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            properties = part.get("properties")
            names.update(properties if isinstance(properties, Mapping) else ())
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(names)


@cache
def _schema(model: type[ContractModel]) -> Mapping[str, Any]:
    try:
        return model.model_json_schema()
    except PydanticUserError:
        # A type that JSON Schema cannot tell: then only the outermost names are known.
        return {"properties": {name: {} for name in model.model_fields}}


@cache
def _field_names(model: type[ContractModel]) -> frozenset[str]:
    return property_names(_schema(model))


def _problems(
    error: ValidationError, part: str, violation: Violation, model: type[ContractModel]
) -> list[tuple[Violation, Problem]]:
    found = []
    known = _field_names(model)
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        code = violation
        # A key that is no field of the contract was written by somebody else: it may hold anything.
        place = [step if isinstance(step, int) or step in known else "*" for step in detail["loc"]]
        if detail["type"] == "json_invalid":
            code = Violation.NOT_JSON
        elif part == "attributes" and detail["type"] == "missing":
            code = Violation.MISSING_ATTRIBUTE
        found.append((code, Problem(".".join([part, *map(str, place)]), detail["type"])))
    return found
