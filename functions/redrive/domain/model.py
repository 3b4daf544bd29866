"""Base of the models that cross the workflow: inputs, states, outputs.

Subclassed in every package of the domain and by the events of the handlers.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
