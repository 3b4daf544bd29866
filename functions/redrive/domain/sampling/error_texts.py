"""Makes error types and texts comparable: a type by name if it looks like one, a text without what varies.

Called by the summary, to group messages by what went wrong. Both are whatever the producer, the consumer, or anyone who
can send to the queue wrote. So a text is shown as a hash, unless the deployment says otherwise (`ShowErrorTexts`). It
often quotes the payload, which may hold personal data, so every word that is a value of the payload is taken out first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError
from redrive.domain.messages.opened import Payload
from redrive.domain.names import hash_of

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

# What languages and AWS call errors: the name of a class, perhaps with its package; the name of one of Lambda's own
# errors (Runtime.ExitError) or of Step Functions' (States.Timeout); an action of an IoT rule (S3Action); Go's default.
# Without room for a sentence, a link, or the number of a card.
_ERROR_TYPE = re.compile(
    r"(?=.{1,64}\Z)(?!.*\d{4})(?:"
    r"(?:[A-Za-z_][A-Za-z0-9_]*\.)*(?:[A-Za-z_][A-Za-z0-9_]*)?(?:Error|Exception|Timeout|Timed[Oo]ut|Failure|Fault)"
    r"|(?:Extension|Function|Lambda|Runtime|Sandbox|States)\.[A-Z][A-Za-z]*"
    r"|[A-Z][A-Za-z0-9]*Action"
    r"|errorString)"
)


def error_type_name(error_type: str, key: bytes) -> str:
    """Return an error type that has the form of one, or else its hash."""
    return error_type if _ERROR_TYPE.fullmatch(error_type) else hash_of(error_type, key)


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
