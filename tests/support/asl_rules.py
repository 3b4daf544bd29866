"""What Step Functions refuses in a definition in JSONata, and emulators accept.

Used by the tests of the workflows' definitions. Sources: Amazon States Language (states-language.net); Step Functions
developer guide, "Transforming data with JSONata", "Passing data between states with variables", "Handling errors in
Step Functions workflows", and "Step Functions service quotas".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.jexception import JException  # type: ignore[import-untyped]

from tests.support.jsonata_reading import read

MAX_NAME = 80
MAX_DEFINITION = 1024 * 1024
MAX_NUMBER = 99_999_999
# A year of 366 days.
MAX_DELAY = 31_622_400
_ENDS = {"Next", "End"}
_VALUES = {"Output", "Assign"}
_FIELDS = {
    "Task": {"Resource", "Arguments", "Credentials", "TimeoutSeconds", "HeartbeatSeconds", "Retry", "Catch"}
    | _ENDS
    | _VALUES,
    "Map": {"Items", "ItemSelector", "ItemProcessor", "MaxConcurrency", "Retry", "Catch"} | _ENDS | _VALUES,
    "Pass": _ENDS | _VALUES,
    "Wait": {"Seconds", "Timestamp"} | _ENDS | _VALUES,
    "Choice": {"Choices", "Default"} | _VALUES,
    "Succeed": {"Output"},
    "Fail": {"Error", "Cause"},
}
_CHOICE = {"Condition", "Next", "Comment"} | _VALUES
_CATCHER = {"ErrorEquals", "Next", "Comment"} | _VALUES
_RETRIER = {
    "ErrorEquals",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
    "MaxDelaySeconds",
    "JitterStrategy",
    "Comment",
}
# Where expressions are evaluated; elsewhere they are texts.
_EVALUATED = {"Arguments", "Output", "Assign", "Condition", "Items", "ItemSelector", "MaxConcurrency", "Seconds"}
_EVALUATED |= {"Timestamp", "TimeoutSeconds", "HeartbeatSeconds", "Credentials", "Error", "Cause"}
_STATES = {"input", "context", "result", "errorOutput"}


def problems(definition: dict[str, Any]) -> list[str]:
    """Return what Step Functions would refuse, or fail at, in a definition."""
    return list(_in_definition(definition))


def _in_definition(definition: dict[str, Any]) -> Iterator[str]:
    if definition.get("QueryLanguage") != "JSONata":
        yield "the query language isn't JSONata"
    if len(json.dumps(definition)) > MAX_DEFINITION:
        yield "the definition is too long"
    names: list[str] = []
    yield from _in_machine(definition, names, frozenset())
    if len(names) != len(set(names)):
        yield "two states have the same name, also inside a Map"


def _in_machine(machine: dict[str, Any], names: list[str], outer: frozenset[str]) -> Iterator[str]:
    assigned = frozenset(_assigned(machine))
    yield from (f"${name} is assigned in an inner scope and in an outer one" for name in sorted(assigned & outer))
    for name, state in machine["States"].items():
        names.append(name)
        if len(name) > MAX_NAME:
            yield f"{name}: a name has at most {MAX_NAME} characters"
        yield from (f"{name}: {problem}" for problem in _in_state(state))
        if "ItemProcessor" in state:
            yield from _in_machine(state["ItemProcessor"], names, outer | assigned)


def _assigned(machine: dict[str, Any]) -> Iterator[str]:
    for state in machine["States"].values():
        for part in (state, *state.get("Choices", []), *state.get("Catch", [])):
            yield from part.get("Assign", {})


def _in_state(state: dict[str, Any]) -> Iterator[str]:
    yield from _unknown(state, _FIELDS[state["Type"]] | {"Type", "Comment"})
    for key, fields in (("Choices", _CHOICE), ("Catch", _CATCHER), ("Retry", _RETRIER)):
        for part in state.get(key, []):
            yield from _unknown(part, fields)
    for retrier in state.get("Retry", []):
        yield from _in_retrier(retrier)
    for part in (state, *state.get("Choices", []), *state.get("Catch", [])):
        for name in part.get("Assign", {}):
            if not name.isidentifier() or len(name) > MAX_NAME or name == "states":
                yield f"a variable can't be called {name}"
    results = state["Type"] in {"Task", "Map"}
    for key, value in state.items():
        if key == "Catch":
            for catcher in value:
                yield from _in_fields(catcher, {"input", "context", "errorOutput"})
        elif key == "Choices":
            for choice in value:
                yield from _in_fields(choice, {"input", "context"})
        elif key != "ItemProcessor":
            yield from _in_fields(
                {key: value}, {"input", "context"} | ({"result"} if results and key in _VALUES else set())
            )


def _unknown(part: dict[str, Any], fields: set[str]) -> Iterator[str]:
    yield from (f"the field {name} isn't one of JSONata states" for name in sorted(part.keys() - fields))


def _in_retrier(retrier: dict[str, Any]) -> Iterator[str]:
    interval = retrier.get("IntervalSeconds", 1)
    if not 1 <= interval <= MAX_NUMBER or not 0 <= retrier.get("MaxAttempts", 3) <= MAX_NUMBER:
        yield "IntervalSeconds or MaxAttempts is out of bounds"
    if retrier.get("BackoffRate", 2) < 1:
        yield "BackoffRate is less than 1"
    if not interval < retrier.get("MaxDelaySeconds", MAX_DELAY - 1) < MAX_DELAY:
        yield "MaxDelaySeconds isn't greater than IntervalSeconds, or is out of bounds"
    if retrier.get("JitterStrategy", "NONE") not in {"NONE", "FULL"}:
        yield "JitterStrategy is neither NONE nor FULL"


def _in_fields(part: dict[str, Any], states: set[str]) -> Iterator[str]:
    for field, value in part.items():
        for key, text in _texts(value, field):
            if key.endswith(".$"):
                yield f"the key {key} is of JSONPath"
            if "{%" not in text and "%}" not in text:
                continue
            if field not in _EVALUATED:
                yield f"{field} isn't evaluated, but has an expression"
            elif re.fullmatch(r"\{%.*%\}", text, re.DOTALL) is None:
                yield f"an expression is the whole text, from its first character to its last: {text}"
            else:
                yield from _in_expression(text[2:-2].strip(), states)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield key, value
        case dict():
            for name, inner in value.items():
                yield from _texts(inner, name)
        case list():
            for inner in value:
                yield from _texts(inner, key)


def _in_expression(text: str, states: set[str]) -> Iterator[str]:
    try:
        tree = Jsonata(text).ast
    except JException as error:
        yield f"{text} can't be parsed: {error.error}"
        return
    yield from (f"{text} refers to {name}, but there is nothing at the top level" for name in _bare(tree, inside=False))
    reading = read(text)
    if "eval" in reading.functions:
        yield f"{text} calls $eval"
    for path in reading.paths:
        if path[0] == "states" and len(path) > 1 and path[1] not in states:
            what = "isn't there" if path[1] in _STATES else "doesn't exist"
            yield f"{text} reads $states.{path[1]}, which {what}"


def _bare(node: Any, *, inside: bool) -> Iterator[str]:
    """Yield the names and signs that refer to a context which an expression doesn't have."""
    if isinstance(node, list | tuple):
        for part in node:
            yield from _bare(part, inside=inside)
        return
    if not hasattr(node, "type") or not hasattr(node, "__dict__"):
        return
    match node.type:
        case "name" | "wildcard" | "descendant" if not inside:
            yield str(node.value)
        case "variable" if node.value == "$" or (node.value == "" and not inside):
            yield f"${node.value}"
        case "path":
            for number, step in enumerate(node.steps):
                yield from _bare(step, inside=inside or number > 0)
            return
    for name, part in vars(node).items():
        if not name.startswith("_outer"):
            yield from _bare(part, inside=inside or name in {"predicate", "stages", "group"})
