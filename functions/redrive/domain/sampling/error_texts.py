"""Makes error texts comparable and safe to show: without numbers, ids, and what they quote.

Called by the summary, to group messages by what went wrong. An error text often quotes the payload, and a payload may
hold personal data, so every word that is a value of the payload is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.opened import Payload

_MAX_LENGTH = 160
_MAX_WORDS = 20_000
_WORD = re.compile(r"[^\W_]{2,}")
_RULES = (
    (re.compile(r"\S+@\S+"), "<e-mail>"),
    (re.compile(r"\b(?:https?|arn|s3):\S+"), "<address>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b(?=\w*\d)\w{12,}\b"), "<id>"),
    (re.compile(r"\d+(?:[.,:/-]\d+)*"), "#"),
)


def normalized(text: str, payload: Payload) -> str:
    """Return an error text without what makes it differ from message to message.

    Parameters
    ----------
    text : str
        The error text.
    payload : Payload
        The payload that it may quote.
    """
    # A text may be a megabyte long.
    text = text[: 4 * _MAX_LENGTH]
    quoted = _words(payload)
    if quoted is None:
        return "…"
    text = _WORD.sub(lambda word: "…" if word[0].lower() in quoted else word[0], text)
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"


def _words(payload: Payload) -> frozenset[str] | None:
    """Return the words in the values of a payload, without field names; None if there are too many."""
    try:
        texts: Iterator[str] = _values(payload.content)
    except (NotJsonError, TooMuchWorkError):
        texts = iter((payload.text,))
    words: set[str] = set()
    for text in texts:
        words.update(word.lower() for word in _WORD.findall(text))
        if len(words) > _MAX_WORDS:
            return None
    return frozenset(words)


def _values(content: Any) -> Iterator[str]:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            yield value
