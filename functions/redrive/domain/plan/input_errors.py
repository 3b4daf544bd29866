"""Says what is wrong with an input: for each key what was expected and what kind of value was found.

Called by `redrive.domain.plan.request` and `stop_request`. Values are never repeated, because what is given by mistake
can be anything, such as the body of a message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from redrive.domain.errors import RejectedError
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.model import Model

type _Place = tuple[str | int, ...]

_ANY = "*"
_BOOLEAN = "true or false"
_QUEUE = "the name, ARN, or URL of a queue"
_PATTERNS = 'a list of patterns such as ["Timeout*"]'
_PATTERN = "a pattern of 1 to 256 characters"
_TIME = 'a time with an offset such as "2026-11-24T03:00:00Z"'
_SECONDS = "a whole number of seconds from 0 to 1209600"
_JMESPATH = "a JMESPath expression"
_COUNT = "a whole number of at least 1"
# What each key takes. `*` is an index or the name of an attribute.
EXPECTED: Mapping[tuple[str, ...], str] = {
    (): 'a JSON object such as {"dlq": "orders-dlq"}',
    ("dlq",): _QUEUE,
    ("destination",): _QUEUE,
    ("dryRun",): _BOOLEAN,
    ("rate",): "a number from 0.1 to 10000",
    ("maxMessages",): _COUNT,
    ("sampleSize",): "a whole number from 1 to 1000",
    ("fullScan",): _BOOLEAN,
    ("select",): 'an object of conditions such as {"errorType": ["Timeout*"]}',
    ("select", "envelope"): f'a list such as ["lambda-destination"] of any of {", ".join(Envelope)}',
    ("select", "envelope", _ANY): f"one of {', '.join(Envelope)}",
    ("select", "errorType"): _PATTERNS,
    ("select", "errorType", _ANY): _PATTERN,
    ("select", "errorCode"): 'a list of patterns such as ["NO_PERMISSIONS"]',
    ("select", "errorCode", _ANY): _PATTERN,
    ("select", "source"): 'a list of patterns such as ["orders-*"]',
    ("select", "source", _ANY): _PATTERN,
    ("select", "attributes"): 'an object of 1 to 10 patterns by attribute name such as {"store": "4*"}',
    ("select", "attributes", _ANY): f"{_PATTERN}, or null",
    ("select", "sentAfter"): _TIME,
    ("select", "sentBefore"): _TIME,
    ("select", "minAge"): _SECONDS,
    ("select", "maxAge"): _SECONDS,
    ("select", "jmespath"): _JMESPATH,
    ("repair",): 'an object such as {"renameAttributes": {"store": "store_id"}}',
    ("repair", "setAttributes"): 'an object of 1 to 10 attributes by name such as {"store_id": {"from": "store"}}',
    ("repair", "setAttributes", _ANY): 'an object such as {"from": "store"} or {"value": "4"}',
    ("repair", "setAttributes", _ANY, "type"): '"String" or "Number"',
    ("repair", "setAttributes", _ANY, "value"): "a string or a number",
    ("repair", "setAttributes", _ANY, "from"): _JMESPATH,
    ("repair", "setAttributes", _ANY, "overwrite"): _BOOLEAN,
    ("repair", "renameAttributes"): 'an object of 1 to 10 new names by current name such as {"store": "store_id"}',
    ("repair", "renameAttributes", _ANY): "the new name of an attribute",
    ("repair", "patch"): 'a list of 1 to 50 operations such as [{"op": "remove", "path": "/debug"}]',
    ("repair", "patch", _ANY): 'an operation such as {"op": "remove", "path": "/debug"}',
    ("repair", "project"): _JMESPATH,
    ("onInvalid",): '"quarantine" or "leave"',
    ("maxRedrives",): _COUNT,
    ("traceHeader",): '"keep" or "fresh"',
    ("trustedDestinations",): "a list of at most 100 ARNs of queues, functions, and state machines",
    ("trustedDestinations", _ANY): "the ARN of a queue, function, or state machine, without wildcards",
    ("allowNestedDlq",): _BOOLEAN,
    ("because",): "a reason of 1 to 500 characters on one line",
    ("startedBy",): "a name of 1 to 200 characters on one line",
}
# pydantic's error types for keys that a model doesn't have.
_UNKNOWN = {"extra_forbidden", "invalid_key"}
_MAX_PROBLEMS = 10
# What may be repeated of an input: names that look like a key, and short numbers.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
_MAX_NUMBER = 8


def parsed[M: Model](model: type[M], given: Any) -> M:
    """Return an input, parsed.

    Raises
    ------
    RejectedError
        Names each key that is wrong and what was expected.
    """
    try:
        return model.from_json_object(given)
    except ValidationError as error:
        keys = [field.alias or name for name, field in model.model_fields.items()]
        raise RejectedError(f"The input is invalid. {problems_in(error, keys)}.") from None


def problems_in(error: ValidationError, keys: Sequence[str]) -> str:
    """Return what is wrong, place by place, in one text.

    Parameters
    ----------
    error : ValidationError
        What parsing the input raised.
    keys : Sequence[str]
        The keys of the input, without those of the objects in it.
    """
    found: dict[_Place, str] = {}
    for detail in error.errors(include_url=False):
        unknown = detail["type"] in _UNKNOWN
        place = detail["loc"] if unknown else _known(detail["loc"])
        # Of a value that has several types, only the first error counts. A list of which no item is valid is reported
        # as too short besides.
        if not any(other[: len(place)] == place for other in found):
            found[place] = _unknown_key(place, keys) if unknown else _problem(detail, place)
    listed = [f"{_path(place)}: {problem}" for place, problem in found.items()]
    more = len(listed) - _MAX_PROBLEMS
    return "; ".join(listed[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def kind_of(value: Any) -> str:
    """Return what kind of JSON a value is; only constants and short numbers are repeated."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return _number(value)
    names = {str: "string", list: "list", tuple: "list", dict: "object"}
    name = next((name for kind, name in names.items() if isinstance(value, kind)), None)
    if name is None:
        return "something else"
    article = "an" if not value or name == "object" else "a"
    return f"{article} {name}" if value else f"{article} empty {name}"


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that isn't finite"
    # The length first: Python refuses to write integers of some thousand digits.
    text = str(value) if abs(value) < 10**_MAX_NUMBER else ""
    return text if 0 < len(text) <= _MAX_NUMBER else "a number with many digits"


def _problem(detail: ErrorDetails, place: _Place) -> str:
    expected = EXPECTED[_pattern(place)]
    if detail["type"] == "value_error":
        # Written for operators by the models' own validators, which repeat no values either.
        return detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"expected {expected}, found nothing"
    return f"expected {expected}, found {kind_of(detail['input'])}{_suggestion(detail['input'], expected)}"


def _suggestion(value: Any, expected: str) -> str:
    """Return the constant that was probably meant, or that a text is none of the constants."""
    constants = re.findall(r'"(\w+)"', expected) if expected.startswith('"') else []
    if expected.startswith("one of "):
        constants = expected.removeprefix("one of ").split(", ")
    if not isinstance(value, str) or not constants:
        return ""
    meant = _closest(value, constants)
    return f' (did you mean "{meant}"?)' if meant else " that is none of them"


def _unknown_key(place: _Place, keys: Sequence[str]) -> str:
    name, parent = str(place[-1]), _pattern(place[:-1])
    known = list(keys) if not parent else [path[-1] for path in EXPECTED if path[:-1] == parent and path[-1] != _ANY]
    meant = _closest(name, known)
    if meant is None and not parent:
        # A condition or a part of a repair that was given next to the object that it belongs in.
        inside = {path[1]: ".".join(path) for path in EXPECTED if len(path) == 2 and path[0] in keys}
        meant = inside.get(_closest(name, list(inside)) or "")
    return f"unknown key{f'; did you mean {meant}?' if meant else ''} (expected one of {', '.join(known)})"


def _closest(name: str, known: Sequence[str]) -> str | None:
    plain = {_plain(key): key for key in known}
    # Longer ones are no slip of the pen, and comparing them takes time.
    found = get_close_matches(_plain(name[:40]), plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _pattern(place: _Place) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for part in place:
        found = (*found, _ANY if (*found, _ANY) in EXPECTED else str(part))
    return found


def _known(place: _Place) -> _Place:
    """Return the place without what pydantic adds to it, such as which type of a union was tried."""
    return next(place[:length] for length in range(len(place), -1, -1) if _pattern(place[:length]) in EXPECTED)


def _path(place: _Place) -> str:
    parts = [str(part) if isinstance(part, int) or _KEY.fullmatch(part) else "(a name)" for part in place]
    return ".".join(parts) or "the input"
