"""Every expression of both workflows has the same value in both implementations of JSONata, whatever variables hold.

What the app's functions return is any JSON here. What Step Functions provides has the types that it documents.
"""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.definitions import DEFINITIONS, definition
from tests.support.jsonata_engines import EvaluationError, Undefined, evaluate_in_python
from tests.support.jsonata_reading import expressions, read

EXPRESSIONS = sorted({text for name in DEFINITIONS for _, text in expressions(definition(name))})
PATHS = {path for text in EXPRESSIONS for path in read(text).paths}
OURS = sorted({path[0] for path in PATHS} - {"states", "execution", "successor"})
NAMES = sorted({name for path in PATHS for name in path[1:]})
# Words that the expressions compare with, and texts that break what pastes them into an expression.
WORDS = [
    "FAILED",
    "RUNNING",
    "REJECTED",
    "Redrive.Failed",
    "move",
    "wait",
    '"Error":"Redrive.Rejected"',
    '"',
    "\\",
    "$x",
]
texts = st.sampled_from(WORDS) | st.text(max_size=8)
# With the nine digits that all doubles and texts of numbers keep.
some = st.integers(-(10**9), 10**9)
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: float(f"{number:.9g}"))
numbers = some | some.map(lambda number: number * 10**9) | floats
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    # One element is the classical difference: it is unwrapped in a sequence, and stays what it is in an array.
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
whole_texts = values.map(json.dumps)
descriptions = st.fixed_dictionaries(
    {"Status": st.sampled_from(["RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "PENDING_REDRIVE"])},
    optional={"Error": texts, "Cause": texts | whole_texts, "Output": st.lists(values, max_size=2).map(json.dumps)},
)
variables = st.fixed_dictionaries(
    dict.fromkeys(OURS, values)
    | {
        "execution": st.fixed_dictionaries({"id": texts, "name": texts, "startedAt": texts}),
        # A number in a text has 15 digits in the reference, and up to 17 in jsonata-python.
        "tally": st.fixed_dictionaries({"successor": texts | st.none()}, optional={"next": values, "lanes": values}),
        "successor": descriptions,
        "states": st.fixed_dictionaries(
            {"input": values, "context": values},
            optional={"result": values, "errorOutput": st.fixed_dictionaries({"Error": texts, "Cause": whole_texts})},
        ),
    }
)


@given(variables)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_both_implementations_agree(jsonata, bound):
    for text, expected in zip(EXPRESSIONS, jsonata.answers(EXPRESSIONS, bound), strict=True):
        assert outcome(text, bound) == compared(expected, text), text


def outcome(text: str, bound: dict[str, Any]) -> Any:
    try:
        return compared(evaluate_in_python(text, bound), text)
    except EvaluationError as error:
        return compared(error, text)


def compared(value: Any, text: str) -> str:
    """Return a value in the form in which both implementations should give it."""
    match value:
        case EvaluationError() | Undefined():
            return type(value).__name__
        case str() if text.startswith("$string("):
            # The reference gives numbers 15 digits here; jsonata-python writes other letters as escapes.
            with suppress(ValueError):
                value = json.loads(value)
    return json.dumps(rounded(value), sort_keys=True)


def rounded(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() | float():
            return f"{float(value) + 0.0:.13g}"
        case list():
            return [rounded(each) for each in value]
        case dict():
            return {name: rounded(each) for name, each in value.items()}
    return value


def test_a_list_of_one_stays_a_list_on_its_way_to_the_lanes_and_back(jsonata):
    lane = {"lane": 0}
    for bound in ({"tally": {"lanes": [lane]}}, {"states": {"result": [lane]}}):
        [(name, inner)] = bound.items()
        [key] = inner
        assert jsonata.evaluate(f"${name}.{key}", bound) == evaluate_in_python(f"${name}.{key}", bound) == [lane]
