"""Turns a function from a model to a model into a Lambda handler; the one place where the redrive logs.

Used by every handler. It logs names, counts, and errors, never an event or a message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, get_type_hints

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.domain.errors import RedriveError, guarded
from redrive.domain.model import Model
from redrive.domain.names import display_name

logger = Logger()

type Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def task[I: Model, O: Model](function: Callable[[I, LambdaContext], O]) -> Handler:
    """Return a Lambda handler that parses its event into the function's first argument and returns JSON.

    An error of this app leaves the handler under its own class name, which the workflow's Catch reads as the error's
    name. Any other leaves it as an UnexpectedError.
    """
    first = next(iter(inspect.signature(function).parameters))
    model: type[I] = get_type_hints(function)[first]

    @guarded()
    def step(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        logger.set_correlation_id(_run_of(event))
        output: dict[str, Any] = function(model.from_json_object(event), context).model_dump(mode="json")
        return output

    @wraps(function)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        try:
            return step(event, context)
        except RedriveError as error:
            logger.warning(str(error), error=type(error).__name__)
            raise

    return handler


@dataclass(frozen=True, slots=True)
class StepHandler:
    """A Lambda handler for several steps of the workflow; the event's `step` says which one."""

    #: Handlers by name of the step.
    steps: Mapping[str, Handler]

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Return the result of the step.

        Raises
        ------
        ValueError
            If the event names no step, or one that this function doesn't have.
        """
        step = event.get("step") if isinstance(event, dict) else None
        if not isinstance(step, str) or step not in self.steps:
            known = ", ".join(self.steps)
            raise ValueError(f"Expected an event whose step is one of {known}. Start runs with the state machine.")
        logger.append_keys(step=step)
        return self.steps[step](event, context)


def _run_of(event: Any) -> str | None:
    for part, name in (("plan", "runId"), ("execution", "name")):
        # A person may invoke a function with anything.
        found = event.get(part) if isinstance(event, dict) else None
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return display_name(found[name])
    return None
