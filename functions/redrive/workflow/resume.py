"""First step of an execution that continues a long run: takes over its plan, sample, and tally."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample


class Continuation(Model):
    """How far a run is."""

    plan: RunPlan
    sample: Sample
    tally: Tally


def resume(given: Any) -> Continuation:
    """Return how far the run is. The lanes refuse to move unless it holds the queue's lock.

    Parameters
    ----------
    given : Any
        The continuation in the execution's input, which a person may have written.

    Raises
    ------
    RejectedError
        If no run of this version can have handed it over.
    """
    try:
        return Continuation.from_json_object(given)
    except ValidationError:
        raise RejectedError(
            "The input is invalid. continuation: expected what a long run hands over to its next execution, found "
            'something else. Start runs without this key, such as with {"dlq": "orders-dlq"}.'
        ) from None
