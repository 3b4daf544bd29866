"""Base of the models that cross the workflow: inputs, states, outputs.

Subclassed in every package of the domain and by the events of the handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from redrive.domain.names import display_name

#: The type of a field that people see: whatever it is given is a name afterward.
DisplayName = Annotated[str, AfterValidator(display_name)]


class Model(BaseModel):
    """camelCase outside, unknown keys refused, no values in errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        # Each function uses a few of these models; building all of them would slow down every cold start.
        defer_build=True,
    )

    @classmethod
    def from_json_object(cls, given: Any) -> Self:
        """Return the model of parsed JSON, in which only the names in camelCase count.

        Raises
        ------
        ValidationError
            If it doesn't fit.
        """
        return cls.model_validate(given, by_alias=True, by_name=False)

    @classmethod
    def as_far_as_readable(cls, given: Any, read: Callable[[Any], Any]) -> Self:
        """Return the model of what another version may have written; what can't be read has its default.

        Raises
        ------
        ValidationError
            If something can't be read that has no default.
        """
        try:
            model: Self = read(given)
        except ValidationError:
            known = dict(given) if isinstance(given, Mapping) else {}
            try:
                return cls.model_validate(known, extra="ignore", by_alias=True, by_name=False)
            except ValidationError as error:
                for problem in error.errors(include_url=False, include_context=False, include_input=False):
                    known.pop(problem["loc"][0], None)
            return cls.model_validate(known, extra="ignore", by_alias=True, by_name=False)
        return model
