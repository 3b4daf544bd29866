"""Error texts: made comparable, and without anything that they quote."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.messages.opened import Payload
from redrive.domain.names import is_hash
from redrive.domain.sampling.error_texts import error_type_name, normalized

KEY = b"key"


@pytest.mark.parametrize(
    "name",
    [
        "KeyError",
        "Error",
        "botocore.exceptions.ClientError",
        "com.example.orders.PaymentDeclinedException",
        "_Private2Error",
        "requests.Timeout",
        "Sandbox.Timedout",
        "Runtime.OutOfMemory",
        "States.TaskFailed",
        "Http404Error",
        "S3Action",
        "errorString",
    ],
)
def test_an_error_type_that_looks_like_one_is_shown(name):
    assert error_type_name(name, KEY) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Ada Lovelace",
        "no store for 396-14-4610",
        "Store396144610Error",
        "https://example.com/Error",
        "ada@example.comError",
        "KeyError\n",
        "2Error",
        "a..Error",
        ".Error",
        "Größenfehler",
        "x" * 60 + "Error",
        "hash-0123456789ab",
    ],
)
def test_any_other_error_type_is_a_hash(name):
    assert is_hash(error_type_name(name, KEY))
    assert error_type_name(name, KEY) != error_type_name(name, b"another key")


@given(
    st.text(st.sampled_from("aE.r_7 /:@\n")) | st.text(),
    st.sampled_from(["", "Error", "Exception", "Action", ".Timeout"]),
)
def test_nothing_is_shown_as_an_error_type_that_could_be_a_sentence_a_link_or_a_number(text, end):
    name = error_type_name(text + end, KEY)
    words = re.fullmatch(r"[A-Za-z0-9_.]{1,64}", name) and not re.search(r"\d{4}", name)
    assert is_hash(name) or (words and name == text + end)


def shown_of(text: str, payload: str = "{}") -> str:
    return normalized(text, Payload(payload, {}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timed out after 3.5 seconds", "timed out after # seconds"),
        ("order 4711 of 2026-01-02 failed", "order # of # failed"),
        ("no item 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "no item <id>"),
        ("bounced: alice@example.com", "bounced: <e-mail>"),
        ("GET https://host/a?b=1 gave 500", "GET <address> gave #"),
        ("request a1b2c3d4e5f6a7b8 lost", "request <id> lost"),
        ("two\nlines\t here", "two lines here"),
        ("'store_id'", "'store_id'"),
    ],
)
def test_what_differs_from_message_to_message_is_taken_out(text, expected):
    assert shown_of(text) == expected


def test_the_name_of_a_field_stays_and_its_value_is_taken_out():
    assert shown_of("bad store_id: north-east", '{"store_id": "north-east"}') == "bad store_id: …-…"


def test_a_long_text_is_cut():
    assert len(shown_of("word " * 10_000)) == 161


def test_nothing_is_shown_if_the_payload_has_too_many_words():
    payload = json.dumps([f"w{number}" for number in range(30_000)])
    assert shown_of("no w29999 there", payload) == "…"


words = st.text(st.characters(categories=("Lu", "Ll")), min_size=4, max_size=12).filter(
    lambda word: word not in {"true", "false", "null"}
)


@given(words, st.sampled_from(["{0} is unknown", "no <{0}>", "user={0};", "key '{0}'", "{0}"]))
def test_no_word_of_a_payloads_values_is_shown(word, text):
    for payload in (json.dumps({"k": [word]}), word, json.dumps({"k": f"so {word}."})):
        assert word not in shown_of(text.format(word), payload)
