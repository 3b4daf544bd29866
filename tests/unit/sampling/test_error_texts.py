"""Error texts: made comparable, and without anything that they quote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.messages.opened import Payload
from redrive.domain.sampling.error_texts import normalized


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
