"""The payload: parsed once, and only if somebody needs its content."""

import pytest

from redrive.domain.messages import json_text, opened, opening
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.opened import Payload
from redrive.domain.sampling.summary import Summary
from tests.support import factories


@pytest.fixture
def parsed(monkeypatch) -> list[str]:
    """Return the texts that were parsed so far, wherever in the domain's opening of messages that was."""
    texts: list[str] = []

    def parse(text: str):
        texts.append(text)
        return json_text.parse(text)

    monkeypatch.setattr(opened, "parse", parse)
    monkeypatch.setattr(opening, "parse", parse)
    return texts


def test_content_is_parsed_when_it_is_first_read_and_never_again(parsed):
    payload = Payload('{"a": 1}', {})
    assert parsed == []
    assert [payload.content, payload.content] == [{"a": 1}] * 2
    assert parsed == ['{"a": 1}']


def test_that_a_text_is_not_json_is_remembered(parsed):
    payload = Payload("hello", {})
    for _ in range(3):
        with pytest.raises(NotJsonError):
            _ = payload.content
    assert parsed == ["hello"]


def test_content_that_is_null_is_content(parsed):
    payload = Payload("null", {})
    assert [payload.content, payload.content] == [None, None]
    assert parsed == ["null"]


def test_content_that_opening_has_parsed_is_not_parsed_again(parsed):
    # It mentions a topic, so it had to be parsed to find out that it is no notification.
    body = '{"TopicArn": 5}'
    assert opening.open_message(factories.received(body)).payload.content == {"TopicArn": 5}
    assert parsed == [body]


def test_selection_repair_and_sample_share_one_parse_of_a_raw_message(parsed):
    plan = factories.plan(
        select={"jmespath": "store"},
        repair={"setAttributes": {"store_id": {"type": "Number", "from": "store"}}},
    )
    judge = factories.judge(plan)
    body = '{"store": 3}'
    Summary(plan).add(judge.judge(factories.received(body)))
    assert parsed == [body]


def test_a_body_that_a_repair_has_changed_is_parsed_anew(parsed):
    plan = factories.plan(repair={"project": "{store: store}"})
    judge = factories.judge(plan)
    Summary(plan).add(judge.judge(factories.received('{"store": 3, "x": 1}')))
    assert parsed == ['{"store": 3, "x": 1}', '{"store":3}']
