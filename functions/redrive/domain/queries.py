"""JMESPath queries on payloads: compiled when a run begins, with a time limit for each letter.

Used by selection and repair. Language: the JMESPath specification; library: jmespath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter
from pydantic_core import from_json

from contracts.time_limit import TimeLimit

# The run's input carries queries into the state of the workflow.
MAX_LENGTH = 2_000


class NoJsonError(ValueError):
    """A text is not JSON, so that no query can be put to it."""


class _Interpreter(TreeInterpreter):
    """Asks at each step whether time is up."""

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
        Where it does not parse; the text says where.
    """

    def __init__(self, text: str, clock: Callable[[], float]) -> None:
        check(text)
        self._parsed = Parser().parse(text).parsed
        self._limit = TimeLimit(clock)

    def __call__(self, content: Any) -> Any:
        """Return what the query finds in parsed JSON; None where it finds nothing, or cannot be put to it.

        Raises
        ------
        TookTooLongError
            Where it does not come to an end in time.
        """
        self._limit.start()
        try:
            return _Interpreter(self._limit).visit(self._parsed, content)
        except (JMESPathError, RecursionError):
            # A function that this letter's types do not fit, such as length() of a number.
            return None


def check(text: str) -> str:
    """Return the text of a query that parses.

    Raises
    ------
    ValueError
        Where it does not.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a JMESPath expression of {len(text)} characters; at most {MAX_LENGTH} are taken")
    try:
        jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"not a JMESPath expression: {first}") from None
    return text


def content_of(text: str) -> Any:
    """Return parsed JSON.

    Raises
    ------
    NoJsonError
        Where the text is not JSON, or nests too deep.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        raise NoJsonError from None
