"""Posts a message to a webhook whose URL is a secret: it goes to no log and into no error.

Used by the webhook handler.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

TIMEOUT_SECONDS = 10.0
# Slack takes one message a second and asks for a wait otherwise (Slack documentation, "Rate limits"). What
# takes longer is left to Lambda, which tries again after one minute and after two more.
LONGEST_WAIT_SECONDS = 20.0
_TOO_MANY = 429
_ATTEMPTS = 3
# Printable signs but @: no password in front of the host, no blanks.
_PLAIN = re.compile(r"[!-?A-~]+")
# Slack answers with a word such as no_service (Slack documentation, "Handling errors" of incoming webhooks).
_WORD = re.compile(rb"[a-z_]{1,40}")


class WebhookError(Exception):
    """The message did not get through. Its text says why, and never where to."""


def post(url: str, message: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> None:
    """Post a message as JSON.

    Parameters
    ----------
    url : str
        The webhook. Redirects are not followed: they would take the message elsewhere.
    message : Mapping[str, Any]
        What to post.
    sleep : Callable[[float], None]
        Waits for so many seconds.

    Raises
    ------
    WebhookError
        Where the URL cannot be used, nobody answers, or the answer is not a success.
    """
    place = _checked(url)
    body = json.dumps(message).encode()
    for _ in range(_ATTEMPTS):
        status, answer, wait = _posted(place, body)
        if status < 300:
            return
        if status != _TOO_MANY or wait > LONGEST_WAIT_SECONDS:
            break
        sleep(wait)
    word = answer.decode() if _WORD.fullmatch(answer) else "no word"
    raise WebhookError(
        f"The webhook answered {status} ({word}), expected 200. See whether it still exists and its channel "
        "is not archived; otherwise put a new URL into the secret."
    )


def _checked(url: str) -> SplitResult:
    try:
        place = urlsplit(url.strip())
        usable = place.scheme == "https" and place.hostname is not None and place.port != 0
    except ValueError:
        usable = False
    if not usable or not _PLAIN.fullmatch(url.strip()):
        raise WebhookError(
            "The secret does not hold a URL that can be used. Expected https://HOST/PATH as plain text, such "
            "as Slack shows it for an incoming webhook; put it into the secret as it is."
        )
    return place


def _posted(place: SplitResult, body: bytes) -> tuple[int, bytes, float]:
    connection = HTTPSConnection(
        place.hostname or "", place.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
    )
    target = place.path or "/"
    if place.query:
        target += f"?{place.query}"
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(1000), _wait(response)
    except (OSError, HTTPException) as error:
        raise WebhookError(
            f"The webhook could not be reached ({type(error).__name__}). It is tried again; see whether the "
            "function can reach the internet when this lasts."
        ) from None
    finally:
        connection.close()


def _wait(response: HTTPResponse) -> float:
    told = response.getheader("Retry-After", "1")
    return float(told) if told.isdecimal() else 1.0
