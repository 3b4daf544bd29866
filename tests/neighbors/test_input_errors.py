"""Wrong inputs of every kind: each is refused in plain words, at its place, without its values.

The oracle is docs/reference/input.schema.json, checked by the jsonschema library: what it refuses must be refused, with
the place of the mistake. The texts are checked against rules of their own: no words of pydantic or Python, and nothing
of the values.
"""

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.errors import RejectedError
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.stop_request import parse_stop_request
from tests.support.definitions import ROOT

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/reference/input.schema.json").read_text()))
VALID: dict[str, Any] = {
    "dlq": "orders-dlq",
    "destination": "orders",
    "dryRun": True,
    "rate": 5.5,
    "maxMessages": 10,
    "sampleSize": 5,
    "fullScan": False,
    "select": {
        "envelope": ["none"],
        "errorType": ["Timeout*"],
        "errorCode": ["NO_PERMISSIONS"],
        "source": ["orders-*"],
        "attributes": {"store": "4*", "test": None},
        "sentAfter": "2026-11-24T03:00:00Z",
        "sentBefore": "2026-11-25T03:00:00+01:00",
        "minAge": 0,
        "maxAge": 60,
        "jmespath": "total > `100`",
    },
    "repair": {
        "setAttributes": {"store_id": {"type": "Number", "from": "store", "overwrite": True}, "kind": {"value": "x"}},
        "renameAttributes": {"store": "shop"},
        "patch": [{"op": "remove", "path": "/debug"}, {"op": "add", "path": "/a", "value": 1}],
        "project": "{a: a}",
    },
    "onInvalid": "leave",
    "maxRedrives": 2,
    "allowNestedDlq": False,
}
SECRET = "ada.lovelace@example.com"
WRONG = [
    SECRET,
    SECRET * 50,
    "",
    0,
    -1,
    4_111_111_111_111_111,
    1.5,
    True,
    None,
    [],
    [SECRET],
    {},
    {SECRET: SECRET},
    [[]],
]
JARGON = re.compile(
    r"Input should|Tuple|tuple|valid dictionary|instance of|pydantic|validation|Value error|NoneType|dict\b|\bstr\b"
)

type Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> list[Place]:
    """Return the place of everything in a value, and of the value itself."""
    if isinstance(value, dict):
        return [place, *(inside for key, member in value.items() for inside in places(member, (*place, key)))]
    if isinstance(value, list):
        return [place, *(inside for index, member in enumerate(value) for inside in places(member, (*place, index)))]
    return [place]


def replaced(value: Any, place: Place, by: Any) -> Any:
    """Return a copy with another value at a place."""
    if not place:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


def refusal_of(given: Any) -> str | None:
    try:
        parse_request(given)
    except RejectedError as error:
        return str(error)
    return None


def check_text(text: str) -> None:
    assert text.startswith("The input is invalid. ")
    assert text.endswith(".")
    assert "\n" not in text
    assert not JARGON.search(text), text
    assert "ada" not in text
    assert "lovelace" not in text
    assert "4111" not in text
    assert len(text) < 3_000


# One value of the whole input is wrong


PLACES = places(VALID)
MUTANTS = [(place, by) for place in PLACES for by in WRONG]


def test_the_valid_input_is_valid_and_has_hundreds_of_neighbors():
    assert refusal_of(VALID) is None
    assert SCHEMA.is_valid(VALID)
    assert len(MUTANTS) > 400


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)) or "input")
def test_what_the_schema_refuses_is_refused_at_its_place_in_plain_words(place):
    for by in WRONG:
        mutant = replaced(VALID, place, by)
        refusal = refusal_of(mutant)
        if not SCHEMA.is_valid(mutant):
            assert refusal is not None, (place, by)
        if refusal is not None:
            check_text(refusal)
            path = ".".join(map(str, place)) or "the input"
            if not place:
                continue
            # What is wrong together, such as a constant beside a query, is said of the object around it.
            around = ".".join(map(str, place[:-1])) or "the input"
            assert f"{path}: " in refusal or f"{path}." in refusal or f"{around}: " in refusal, (place, by, refusal)


# A key that doesn't exist


OBJECTS = [place for place in PLACES if isinstance(place, tuple) and place in {(), ("select",), ("repair",)}]
KEYS = [(place, key) for place in OBJECTS for key in (VALID if not place else VALID[str(place[0])])]


def snake(key: str) -> str:
    return re.sub("([A-Z])", r"_\1", key).lower()


SPELLINGS = [
    snake,
    str.upper,
    str.capitalize,
    lambda key: key.replace("e", "ee", 1),
    lambda key: key + "s",
    "-".join,
]


@pytest.mark.parametrize(("place", "key"), KEYS)
def test_another_spelling_of_a_key_is_refused_as_unknown(place, key):
    for spelling in SPELLINGS:
        other = spelling(key)
        if other == key:
            continue
        inner = VALID if not place else VALID[str(place[0])]
        spelled = {other if name == key else name: value for name, value in inner.items()}
        refusal = refusal_of(spelled if not place else {**VALID, str(place[0]): spelled})
        assert refusal is not None
        path = ".".join([*map(str, place), other])
        assert f"{path}: unknown key" in refusal, refusal
        if spelling in {snake, str.upper, str.capitalize}:
            assert f"did you mean {key}?" in refusal, refusal
        check_text(refusal)


# A value that isn't one of those that a key takes


CONSTANTS: dict[Place, tuple[str, ...]] = {
    ("onInvalid",): ("quarantine", "leave"),
    ("select", "envelope", 0): tuple(Envelope),
    ("select", "envelope"): tuple(Envelope),
    ("repair", "setAttributes", "kind", "type"): ("String", "Number"),
    ("repair", "patch", 0, "op"): ("add", "remove", "replace", "move", "copy", "test"),
}


@pytest.mark.parametrize("place", CONSTANTS)
def test_all_values_that_a_key_takes_are_listed_with_one_that_it_does_not(place):
    added = {"type": "String", "value": "x"}
    base = replaced(VALID, ("repair", "setAttributes", "kind"), added)
    for wrong in (SECRET, "x", ""):
        refusal = refusal_of(replaced(base, place, wrong)) or ""
        for constant in CONSTANTS[place]:
            assert constant in refusal
        assert "none of them" in refusal or place == ("select", "envelope")
        check_text(refusal)


# A member that an operation of a JSON Patch doesn't have


OPERATIONS = [
    {"op": "add", "path": "/a", "value": 1},
    {"op": "remove", "path": "/a"},
    {"op": "replace", "path": "/a", "value": None},
    {"op": "move", "from": "/a", "path": "/b"},
    {"op": "copy", "from": "/a", "path": "/b"},
    {"op": "test", "path": "/a", "value": []},
]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    operation=st.sampled_from(OPERATIONS),
    member=st.sampled_from(["vlaue", "Value", "form", "From", "paht", "path ", "value", "from", "comment"])
    | st.text(max_size=8),
)
def test_an_operation_with_another_member_is_refused_with_those_that_it_takes(operation, member):
    refusal = refusal_of({"dlq": "q", "repair": {"patch": [{**operation, member: "/ada"}]}})
    assert (refusal is None) == (member in operation and member != "op")
    if refusal is not None and member != "op":
        assert "repair.patch.0: expected op, " in refusal
        assert f"as the members of {operation['op']}, found another" in refusal
        assert all(name in refusal for name in operation)
        check_text(refusal)


# Anything at all


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*VALID, *VALID["select"], *VALID["repair"]]) | st.text(max_size=8), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(value=JSON)
def test_any_json_is_parsed_or_refused_in_plain_words(value):
    refusal = refusal_of(value)
    if not SCHEMA.is_valid(value):
        assert refusal is not None
    if refusal is not None:
        assert not JARGON.search(refusal), refusal


@settings(deadline=None, derandomize=True, max_examples=300)
@given(value=JSON)
def test_any_event_of_a_stop_is_parsed_or_refused_in_plain_words(value):
    valid = isinstance(value, dict) and value.keys() == {"dlq"} and isinstance(value["dlq"], str) and value["dlq"] != ""
    try:
        parsed = parse_stop_request(value)
    except RejectedError as error:
        assert not valid
        assert not JARGON.search(str(error))
        return
    assert valid
    assert parsed.dlq == value["dlq"]
