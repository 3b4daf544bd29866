"""JMESPath queries on payloads, with a time limit for each message.

Used by selection and repair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter

from redrive.contracts.time_limit import TimeLimit

# Queries are part of the run's input, which the workflow's state contains.
MAX_LENGTH = 2_000


class _Interpreter(TreeInterpreter):
    """Checks the time limit at each step."""

    def __init__(self, limit: TimeLimit) -> None:
        super().__init__(jmespath.Options())
        self._limit = limit

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._limit.left()
        return super().visit(node, *args, **kwargs)


class Query:
    """A compiled query.

    Parameters
    ----------
    text : str
        A JMESPath expression.
    clock : Callable[[], float]
        A monotonic clock in seconds.

    Raises
    ------
    ValueError
        If the query is invalid; the text says where.
    """

    def __init__(self, text: str, clock: Callable[[], float]) -> None:
        check(text)
        self._parsed = Parser().parse(text).parsed
        self._limit = TimeLimit(clock)

    def __call__(self, content: Any) -> Any:
        """Return what the query finds in parsed JSON, or None if it finds nothing or doesn't apply to this JSON.

        Raises
        ------
        TookTooLongError
            If the query doesn't finish in time.
        """
        self._limit.start()
        try:
            return _Interpreter(self._limit).visit(self._parsed, content)
        except (JMESPathError, RecursionError):
            # The message has the wrong types for a function, such as a number for length().
            return None


def check(text: str) -> str:
    """Return the text of a query if it is valid.

    Raises
    ------
    ValueError
        If it isn't.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"expected a JMESPath expression of at most {MAX_LENGTH} characters, found {len(text)}")
    try:
        jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"not a JMESPath expression: {first_line}") from None
    return text
