"""Two implementations of JSONata: the reference one (npm's jsonata), and jsonata-python, which the embedded cloud uses.

Used by the tests that run the workflows' definitions. Step Functions implements version 2.0.6 (Step Functions developer
guide, "Transforming data with JSONata"), which is the version of the reference.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.jexception import JException  # type: ignore[import-untyped]
from jsonata.utils import Utils  # type: ignore[import-untyped]

from local.install import VENVS, node_wheel

_ENVIRONMENT = VENVS / "node"
_SCRIPT = Path(__file__).with_name("jsonata_reference.js")


class Undefined:
    """What an expression returns that returns nothing. Step Functions fails the state then."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class EvaluationError(Exception):
    """The expression can't be parsed or evaluated."""


#: Returns the value of an expression whose variables have these values; raises EvaluationError.
type Evaluate = Callable[[str, Mapping[str, Any]], Any]


class Reference:
    """The reference implementation, in a process of Node.js that answers until it is closed."""

    def __init__(self) -> None:
        node = node_wheel(_ENVIRONMENT) / "bin" / "node"
        assert node.exists(), f"expected Node.js in {_ENVIRONMENT}, found none; `make setup` installs it"
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [str(node), str(_SCRIPT), str(_ENVIRONMENT / "node_modules" / "jsonata")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def evaluate(self, expression: str, variables: Mapping[str, Any]) -> Any:
        """Return the value of an expression."""
        (answer,) = self.answers([expression], variables)
        if isinstance(answer, EvaluationError):
            raise answer
        return answer

    def answers(self, expressions: Sequence[str], variables: Mapping[str, Any]) -> list[Any]:
        """Return what each expression evaluates to: a value, UNDEFINED, or the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # In ASCII, half of a surrogate pair travels too.
        request = json.dumps({"expressions": list(expressions), "variables": dict(variables)}, default=str)
        with self._lock:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        return [
            EvaluationError(answer["error"]) if "error" in answer else answer.get("value", UNDEFINED)
            for answer in json.loads(line)
        ]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def reference() -> Iterator[Reference]:
    """Provide the reference implementation."""
    made = Reference()
    try:
        yield made
    finally:
        made.close()


def evaluate_in_python(expression: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of an expression according to jsonata-python, with the bindings that ministack gives it."""
    value = _evaluated_in_python(expression, variables)
    # It returns None for null and for nothing.
    nothing = value is None and not _evaluated_in_python(f"$exists(({expression}))", variables)
    return UNDEFINED if nothing else value


def _evaluated_in_python(expression: str, variables: Mapping[str, Any]) -> Any:
    bindings = {name: Utils.NULL_VALUE if value is None else value for name, value in variables.items()}
    try:
        return _parsed(expression).evaluate(None, bindings)
    except (JException, ValueError, TypeError) as error:
        raise EvaluationError(str(getattr(error, "error", None) or error)) from error


@cache
def _parsed(expression: str) -> Any:
    parsed = Jsonata(expression)
    parsed.register_lambda("parse", lambda text=None: None if text is None else json.loads(text))
    return parsed
