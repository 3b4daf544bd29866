"""Executions of the workflows' definitions in tests: what they are given, and how they end.

Without the interpreter, which takes seconds to import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:redrive-reports"
#: What the template puts into the definitions.
VALUES = {
    "Partition": "aws",
    "ReportTopicArn": TOPIC,
    "RedriveStateMachineArn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:redrive",
    **{f"{name}FunctionArn": name for name in ("Coordinator", "Sampler", "Mover", "Automatic")},
}
#: A cause is cut off here (Step Functions API reference, TaskFailedEventDetails and FailExecution).
MAX_CAUSE = 32_768

type Functions = Callable[[str, Any], Any]


class TaskError(Exception):
    """What a task fails with.

    Parameters
    ----------
    error, cause : str
        As a Retry and a Catch see them.
    late : bool
        Whether the task has done its work by then.
    """

    def __init__(self, error: str, cause: str = "", *, late: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.cause = cause
        self.late = late


@dataclass(frozen=True)
class Finished:
    """An execution that has ended."""

    status: str
    output: Any
    error: str | None
    cause: str | None
    events: list[dict[str, Any]]
    arn: str

    @property
    def states(self) -> list[str]:
        """The states that it entered, in order."""
        entered = [event.get("stateEnteredEventDetails") for event in self.events]
        return [details["name"] for details in entered if details]

    def entered(self, state: str) -> int:
        """Return how often a state was entered."""
        return Counter(self.states)[state]
