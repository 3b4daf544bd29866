"""Texts of errors, made comparable and fit to be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.error_texts import normalised


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_what_differs_from_letter_to_letter_is_taken_out(text, told):
    assert normalised(text, "{}") == told


def test_a_name_of_a_field_stays_and_its_value_goes():
    assert normalised("bad store_id: north-east", '{"store_id": "north-east"}') == "bad store_id: …-…"


def test_a_long_text_is_cut():
    assert len(normalised("word " * 10_000, "{}")) == 161


def test_of_a_payload_with_too_many_words_no_text_is_told():
    payload = json.dumps([f"w{number}" for number in range(30_000)])
    assert normalised("no w29999 there", payload) == "…"


words = st.text(st.characters(categories=("Lu", "Ll")), min_size=4, max_size=12).filter(
    lambda word: word not in {"true", "false", "null"}
)


@given(words, st.sampled_from(["{0} is unknown", "no <{0}>", "user={0};", "key '{0}'", "{0}"]))
def test_no_word_of_a_payloads_values_is_ever_told(word, text):
    for payload in (json.dumps({"k": [word]}), word, json.dumps({"k": f"so {word}."})):
        assert word not in normalised(text.format(word), payload)
