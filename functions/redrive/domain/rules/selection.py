"""Which messages a run applies to: by envelope, error, source, attribute, age, or query.

`Selection` is part of a run's input. The judging leaves messages that don't match where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from redrive.contracts.contract import attribute_value
from redrive.contracts.wildcards import matches
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.message import ReceivedMessage, check_attribute_name
from redrive.domain.messages.opened import OpenedMessage, Payload
from redrive.domain.model import Model
from redrive.domain.rules.queries import Expression, Query

# The conditions are part of the workflow's state.
_MAX_BYTES = 16_384

# Seconds since 1970, and dates without an offset, are read by pydantic in ways that nobody may have meant.
_ISO_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def _time(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _ISO_TIME.fullmatch(value)):
        return value
    raise PydanticCustomError("iso_time", "expected a time with an offset")


type Pattern = Annotated[str, Field(min_length=1, max_length=256)]
type Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=50)]
type Time = Annotated[AwareDatetime, BeforeValidator(_time)]
type Seconds = Annotated[int, Field(strict=True, ge=0, le=1_209_600)]


class Selection(Model):
    """Conditions that a message must meet: all of them, and one of the values in each list. Only `*` is a wildcard."""

    envelope: Annotated[
        tuple[Envelope, ...] | None,
        Field(min_length=1, description="What a service put around the message; `none` for raw messages."),
    ] = None
    error_type: Annotated[Patterns | None, Field(description="Name of the error that a function failed with.")] = None
    error_code: Annotated[
        Patterns | None, Field(description="Code that a service gave up with, such as NO_PERMISSIONS.")
    ] = None
    source: Annotated[
        Patterns | None,
        Field(description="Name of the queue, function, rule, schedule, or topic that the message came from."),
    ] = None
    attributes: Annotated[
        dict[str, Pattern | None] | None,
        Field(
            min_length=1,
            max_length=10,
            description="Message attributes by name; null means that the message must not have it.",
        ),
    ] = None
    sent_after: Annotated[Time | None, Field(description="Sent at or after this time (ISO 8601 with an offset).")] = (
        None
    )
    sent_before: Annotated[Time | None, Field(description="Sent before this time (ISO 8601 with an offset).")] = None
    min_age: Annotated[Seconds | None, Field(description="At least this many seconds old when the run starts.")] = None
    max_age: Annotated[Seconds | None, Field(description="At most this many seconds old when the run starts.")] = None
    jmespath: Annotated[
        Expression | None,
        Field(description="A JMESPath expression; selects the payloads for which it is true."),
    ] = None

    @field_validator("attributes")
    @classmethod
    def _names(cls, attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        for name in attributes or ():
            check_attribute_name(name)
        return attributes

    @model_validator(mode="after")
    def _conditions(self) -> Self:
        text = self.model_dump_json(exclude_none=True)
        if text == "{}":
            raise ValueError("expected at least one condition; omit `select` to take all messages")
        if len(text.encode()) > _MAX_BYTES:
            raise ValueError(f"expected at most {_MAX_BYTES} bytes of JSON")
        if self.sent_after is not None and self.sent_before is not None and self.sent_after >= self.sent_before:
            raise ValueError("sentAfter isn't before sentBefore, so no message can match")
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError("minAge is above maxAge, so no message can match")
        return self


class Selector:
    """Decides whether a message is selected; compiled once for a slice.

    Parameters
    ----------
    selection : Selection
        The conditions.
    started_at : int
        Start of the run in milliseconds since 1970; ages are measured at that time.
    """

    def __init__(self, selection: Selection, started_at: int) -> None:
        self._selection = selection
        self._query = None if selection.jmespath is None else Query(selection.jmespath)
        self._from, self._to = _window(selection, started_at)

    def __call__(self, opened: OpenedMessage) -> bool:
        """Return whether a message meets all conditions.

        Raises
        ------
        TooMuchWorkError
            If the query takes too much work.
        """
        wanted, failure = self._selection, opened.failure
        return (
            self._from <= opened.received.sent_at < self._to
            and (wanted.envelope is None or not set(wanted.envelope).isdisjoint(opened.envelopes))
            and _any(wanted.error_type, failure.error_type if failure else None)
            and _any(wanted.error_code, failure.code if failure else None)
            and _any(wanted.source, arn_name(opened.origin))
            and self._has_attributes(opened.received)
            and self._matches(opened.payload)
        )

    def _has_attributes(self, message: ReceivedMessage) -> bool:
        for name, pattern in (self._selection.attributes or {}).items():
            value = attribute_value(message.attributes.get(name, {}))
            if pattern is None:
                if name in message.attributes:
                    return False
            elif not isinstance(value, str) or not matches(pattern, value):
                return False
        return True

    def _matches(self, payload: Payload) -> bool:
        if self._query is None:
            return True
        try:
            found = self._query(payload.content, len(payload.text))
        except NotJsonError:
            return False
        # What is false to JMESPath: null, false, and what is empty. 0 is true.
        return found is not None and found is not False and found not in ("", [], {})


def _window(selection: Selection, started_at: int) -> tuple[float, float]:
    def milliseconds(time: datetime | None) -> Iterable[float]:
        return () if time is None else (time.timestamp() * 1000,)

    def ago(seconds: int | None) -> Iterable[float]:
        return () if seconds is None else (started_at - seconds * 1000,)

    return (
        max([*milliseconds(selection.sent_after), *ago(selection.max_age)], default=float("-inf")),
        min(
            [*milliseconds(selection.sent_before), *(at + 1 for at in ago(selection.min_age))],
            default=float("inf"),
        ),
    )


def _any(patterns: Iterable[str] | None, value: str | None) -> bool:
    return patterns is None or (value is not None and any(matches(pattern, value) for pattern in patterns))
