"""Makes a Lambda handler of a function from a model to a model, and is the one place where the redrive logs.

Every module in `redrive.handlers` uses it. What it logs are names, counts and errors, never an event or a
message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.domain.errors import RedriveError
from redrive.domain.runs import Model

logger = Logger()


def task[I: Model, O: Model](
    function: Callable[[I, LambdaContext], O],
) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
    """Return a Lambda handler that parses its event into the function's first argument and returns JSON.

    An error leaves the handler under its own class name, which the workflow's Catch reads as the error's
    name.
    """
    first = next(iter(inspect.signature(function).parameters))
    model: type[I] = get_type_hints(function)[first]

    @wraps(function)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        try:
            logger.set_correlation_id(_run_of(event))
            answer = function(model.model_validate(event), context)
        except RedriveError as error:
            logger.warning(str(error), error=type(error).__name__)
            raise
        except Exception as error:
            # The outermost edge. The text of a foreign error may quote a message, so only its place is
            # logged.
            logger.error("unexpected error", error=type(error).__name__, at=_place(error))
            raise
        told: dict[str, Any] = answer.model_dump(mode="json")
        return told

    return handler


def _run_of(event: dict[str, Any]) -> str | None:
    plan, execution = event.get("plan") or {}, event.get("execution") or {}
    run_id: str | None = plan.get("runId") or execution.get("name")
    return run_id


def _place(error: BaseException) -> str:
    frames = inspect.getinnerframes(error.__traceback__, context=0) if error.__traceback__ else []
    return " < ".join(f"{frame.function}:{frame.lineno}" for frame in reversed(frames[-4:]))
