"""JMESPath queries on payloads: numbers are exact, and the work on each message is bounded by its size.

Used by selection and repair.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter
from pydantic import AfterValidator

from redrive.contracts.work import TooMuchWorkError, Work
from redrive.domain.messages.json_text import same
from redrive.domain.rules.exact_functions import ExactFunctions, ExactParser

# Queries are part of the run's input, which the workflow's state contains.
MAX_LENGTH = 2_000
# A step is about 1 µs: a node of the query that is evaluated, or an item that a function looks at. A filter takes some
# ten steps for each item.
_STEPS = 200_000
_STEPS_PER_BYTE = 4
# Characters that a function looks at for the price of one step.
_CHARACTERS = 64
_FUNCTIONS = ExactFunctions()
# Characters of an unknown function's name that a text repeats.
_MAX_NAME = 40


class _Interpreter(TreeInterpreter):
    """Counts steps."""

    def __init__(self, work: Work) -> None:
        super().__init__(jmespath.Options(custom_functions=_FUNCTIONS))
        self._work = work

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._work.take()
        return super().visit(node, *args, **kwargs)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        for argument in arguments:
            if node["value"] in {"to_string", "contains"}:
                self.take_all(argument)
            else:
                self._work.take(_size(argument))
        if node["value"] == "join" and isinstance(arguments[0], str) and isinstance(arguments[1], list):
            # What it makes can be much larger than what it gets.
            self._work.take(len(arguments[0]) * len(arguments[1]) // _CHARACTERS)
        found = _FUNCTIONS.call_function(node["value"], arguments)
        self._work.take(_size(found))
        return found

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        if node["value"] in {"eq", "ne"}:
            if isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
                self.take_all(left)
            return same(left, right) is (node["value"] == "eq")
        # A number is neither less nor greater than a string.
        alike = (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str))
        return self.COMPARATOR_FUNC[node["value"]](left, right) if alike else None

    def visit_flatten(self, node: Any, value: Any) -> Any:
        found = super().visit_flatten(node, value)
        self._work.take(_size(found))
        return found

    def visit_slice(self, node: Any, value: Any) -> Any:
        found = super().visit_slice(node, value)
        self._work.take(_size(found))
        return found

    def take_all(self, value: Any) -> None:
        """Take a step for each value inside a value, which may contain the same one many times.

        Raises
        ------
        TypeError
            If something inside isn't JSON, such as an expression.
        """
        pending = [value]
        while pending:
            found = pending.pop()
            self._work.take(1 + _size(found))
            if isinstance(found, (dict, list)):
                pending += found.values() if isinstance(found, dict) else found
            elif not (found is None or isinstance(found, (str, int, Decimal))):
                raise TypeError(type(found).__name__)


class Query:
    """A compiled query.

    Parameters
    ----------
    text : str
        A JMESPath expression.

    Raises
    ------
    ValueError
        If the query is invalid; the text says where.
    """

    def __init__(self, text: str) -> None:
        check(text)
        self._parsed = ExactParser().parse(text).parsed
        self._work = Work(_STEPS, _STEPS_PER_BYTE)

    def __call__(self, content: Any, size: int) -> Any:
        """Return what the query finds in parsed JSON, or None if it finds nothing or doesn't apply to this JSON.

        Parameters
        ----------
        content : Any
            Parsed JSON, numbers exact.
        size : int
            Length of its text.

        Raises
        ------
        TooMuchWorkError
            If the query takes too much work, or needs numbers that decimals can't hold.
        """
        self._work.start(size)
        interpreter = _Interpreter(self._work)
        try:
            found = interpreter.visit(self._parsed, content)
            interpreter.take_all(found)
        except (JMESPathError, RecursionError, TypeError, ValueError):
            # The message has the wrong types for a function, such as a number for length().
            return None
        except ArithmeticError:
            raise TooMuchWorkError from None
        return found


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
        parsed = jmespath.compile(text).parsed
    except (JMESPathError, RecursionError) as error:
        # The error quotes the expression, which may name a person.
        place = getattr(error, "lex_position", None)
        problem = "it can't be read" if place is None else f"the error is at character {place + 1} of {len(text)}"
        if place == len(text):
            problem = "it isn't complete"
        raise ValueError(f"not a JMESPath expression: {problem}") from None
    _check_functions(parsed)
    return text


def _check_functions(parsed: Any) -> None:
    """Refuse unknown functions, and calls with too few or too many arguments: they would match no message."""
    pending = [parsed]
    while pending:
        node = pending.pop()
        # The children of a slice are numbers.
        pending += [child for child in node["children"] if isinstance(child, dict)]
        if node["type"] != "function_expression":
            continue
        name, found = node["value"], len(node["children"])
        function = Functions.FUNCTION_TABLE.get(name)
        if function is None:
            raise ValueError(f"not a JMESPath expression: there is no function {name[:_MAX_NAME]}()")
        signature = function["signature"]
        variadic = any(argument.get("variadic") for argument in signature)
        if found < len(signature) or (found > len(signature) and not variadic):
            expected = f"{'at least ' if variadic else ''}{len(signature)}"
            raise ValueError(f"not a JMESPath expression: expected {expected} arguments of {name}(), found {found}")


type Expression = Annotated[str, AfterValidator(check)]


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // _CHARACTERS
    return len(value) if isinstance(value, (list, dict)) else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
