"""JMESPath queries on payloads: numbers are exact, and the work on each message is bounded by its size.

Used by selection and repair.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter
from pydantic import AfterValidator

from redrive.contracts.work import TooMuchWorkError, Work
from redrive.domain.messages.json_text import length, same
from redrive.domain.rules.exact_functions import ExactFunctions, ExactParser

# Queries are part of the run's input, which the workflow's state contains.
MAX_LENGTH = 2_000
# A step is at most 0.5 µs: a node of the query that is evaluated, or an item that a function looks at. A filter takes
# some six steps for each item. A message has a selection and a repair, each with as many steps.
_STEPS = 100_000
_STEPS_PER_BYTE = 2
# Steps that a function takes in any case: its arguments are checked.
_CALL = 20
# Characters that a function looks at for the price of one step.
_CHARACTERS = 64
# Characters that a function makes, or digits that it calculates with, for the price of one step.
_MADE = 8
# Functions that order what they get, or calculate with it.
_ORDERING = frozenset({"sort", "sort_by"})
_NUMERIC = frozenset({"sum", "avg", "max", "min", "sort"})
_FUNCTIONS = ExactFunctions()
# Nodes that find what they get.
_PASSING = frozenset({"current", "identity"})
# Characters of an unknown function's name that a text repeats.
_MAX_NAME = 40


class _Interpreter(TreeInterpreter):
    """Counts steps."""

    def __init__(self, work: Work) -> None:
        super().__init__(jmespath.Options(custom_functions=_FUNCTIONS))
        self._work = work
        self._methods: dict[str, Callable[[Any, Any], Any]] = {}

    def visit(self, node: Any, value: Any) -> Any:
        # Called for each item of a projection: every call that it makes counts.
        work = self._work
        work.left -= 1
        if work.left < 0:
            work.take()
        kind = node["type"]
        if kind in _PASSING:
            return value
        if kind == "literal":
            return node["value"]
        method = self._methods.get(kind)
        if method is None:
            method = self._methods[kind] = getattr(self, f"visit_{kind}")
        return method(node, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        name = node["value"]
        self._work.take(_CALL)
        arguments = [self.visit(child, value) for child in node["children"]]
        for argument in arguments:
            if name in {"to_string", "contains"}:
                self.take_all(argument, _MADE if name == "to_string" else _CHARACTERS)
            else:
                self._work.take(_size(argument))
            if isinstance(argument, list):
                self._take_items(name, argument)
        if name == "join" and isinstance(arguments[0], str) and isinstance(arguments[1], list):
            # What it makes can be much larger than what it gets.
            self._work.take((len(arguments[0]) * len(arguments[1]) + sum(map(length, arguments[1]))) // _MADE)
        found = _FUNCTIONS.call_function(name, arguments)
        self._work.take(_size(found, _MADE))
        return found

    def _take_items(self, name: str, items: list[Any]) -> None:
        if name in _NUMERIC:
            self._work.take(len(items) + sum(map(length, items)) // _MADE)
        if name in _ORDERING:
            self._work.take(len(items) * len(items).bit_length() // 4)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left_node, right_node = node["children"]
        left, right = self.visit(left_node, value), self.visit(right_node, value)
        operator = node["value"]
        left_is_number = _is_number(left)
        alike = left_is_number and _is_number(right)
        if alike and (left.__class__ is not int or right.__class__ is not int):
            self._work.take((length(left) + length(right)) // _MADE)
        if operator in {"eq", "ne"}:
            if isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
                self.take_all(left)
            return same(left, right) is (operator == "eq")
        # A number is neither less nor greater than a string.
        if alike or (isinstance(left, str) and isinstance(right, str)):
            return self.COMPARATOR_FUNC[operator](left, right)
        return None

    def _is_false(self, value: Any) -> bool:
        # What the library says, with one comparison for what a filter mostly finds.
        return value is not True and (value is False or value is None or value in ("", [], {}))

    def visit_flatten(self, node: Any, value: Any) -> Any:
        found = super().visit_flatten(node, value)
        self._work.take(_size(found))
        return found

    def visit_slice(self, node: Any, value: Any) -> Any:
        found = super().visit_slice(node, value)
        self._work.take(_size(found))
        return found

    def take_all(self, value: Any, characters: int = _CHARACTERS) -> None:
        """Take a step for each value inside a value, and more for long texts.

        A value that occurs several times counts each time.

        Raises
        ------
        TypeError
            If something inside isn't JSON, such as an expression.
        """
        pending = [value]
        while pending:
            found = pending.pop()
            if isinstance(found, dict):
                self._work.take(1 + len(found) + sum(map(len, found)) // characters)
                pending += found.values()
            elif isinstance(found, list):
                self._work.take(1 + len(found))
                pending += found
            elif found is None or isinstance(found, (str, int, Decimal)):
                self._work.take(1 + length(found) // characters)
            else:
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
        self._work = rule_work()

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
        return self.find(content, self._work)

    def find(self, content: Any, work: Work) -> Any:
        """Do the same within the work that a message has left.

        Raises
        ------
        TooMuchWorkError
            As above.
        """
        interpreter = _Interpreter(work)
        try:
            found = interpreter.visit(self._parsed, content)
            interpreter.take_all(found)
        except (JMESPathError, RecursionError, TypeError, ValueError):
            # The message has the wrong types for a function, such as a number for length().
            return None
        except ArithmeticError:
            raise TooMuchWorkError from None
        return found


def rule_work() -> Work:
    """Return the work that the selection may do on each message, and the repair with all its parts."""
    return Work(_STEPS, _STEPS_PER_BYTE)


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
    _check_nodes(parsed)
    return text


def _check_nodes(parsed: Any) -> None:
    """Refuse what would match no message.

    These are unknown functions, calls with too few, too many, or wrong arguments, an `&` anywhere else, and a slice
    that doesn't go on.
    """
    pending = [parsed]
    while pending:
        node = pending.pop()
        if node["type"] == "expref":
            raise ValueError(
                "not a JMESPath expression: expected & only before an argument that is an expression, such as in "
                "sort_by(@, &name), found it elsewhere; write the expression without it"
            )
        if node["type"] == "slice":
            # Its children are numbers.
            if node["children"][2] == 0:
                raise ValueError(
                    "not a JMESPath expression: expected a slice with a step other than 0, found 0; write [:] for "
                    "all items"
                )
            continue
        if node["type"] != "function_expression":
            pending += node["children"]
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
        for place, child in enumerate(node["children"]):
            # Only the last argument can be variadic, and a variadic argument never takes an expression.
            takes = signature[min(place, len(signature) - 1)]["types"] == ["expref"]
            if takes and child["type"] != "expref":
                raise ValueError(
                    f"not a JMESPath expression: expected an expression as argument {place + 1} of {name}(), found a "
                    "value; put an & before it"
                )
            pending += child["children"] if takes else [child]


type Expression = Annotated[str, AfterValidator(check)]


def _size(value: Any, characters: int = _CHARACTERS) -> int:
    return len(value) if isinstance(value, (list, dict)) else length(value) // characters


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
