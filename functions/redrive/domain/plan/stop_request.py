"""What a person gives to stop a run.

Parsed by the function that stops runs.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from redrive.domain.model import Model
from redrive.domain.plan.input_errors import parsed


class StopRequest(Model):
    """The event of the function that stops a run."""

    #: The dead-letter queue: its name, ARN, or URL.
    dlq: Annotated[str, Field(min_length=1)]


def parse_stop_request(given: Any) -> StopRequest:
    """Return what a person gave to stop a run, parsed.

    Raises
    ------
    RejectedError
        Says what is wrong and what was expected.
    """
    return parsed(StopRequest, given)
