"""Posts a message to a webhook. The URL is a secret, so it never appears in a log or an error.

Called by the webhook handler.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

TIMEOUT_SECONDS = 10.0
# Slack accepts one message per second and sends Retry-After otherwise (Slack documentation, "Rate limits"). For longer
# waits, the invocation fails and Lambda retries it after one minute and again after two more.
LONGEST_WAIT_SECONDS = 20.0
_TOO_MANY_REQUESTS = 429
_ATTEMPTS = 3
# Printable ASCII except @ and spaces: no credentials before the host.
_PLAIN = re.compile(r"[!-?A-~]+")
# Slack's errors are a word such as no_service (Slack documentation, "Handling errors" of incoming webhooks).
_WORD = re.compile(rb"[a-z_]{1,40}")


class WebhookError(Exception):
    """The message wasn't posted. The text says why, but never contains the URL."""


def post(
    url: str, message: Mapping[str, Any], hosts: Collection[str], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Post a message as JSON.

    Parameters
    ----------
    url : str
        The webhook. Redirects aren't followed, because they would send the message elsewhere.
    message : Mapping[str, Any]
        What to post.
    hosts : Collection[str]
        Where the webhook may be: hosts, with the port if it isn't 443.
    sleep : Callable[[float], None]
        Waits for a number of seconds.

    Raises
    ------
    WebhookError
        If the URL is invalid or on another host, the webhook doesn't respond, or it responds with an error.
    """
    parsed_url = _parsed(url, hosts)
    body = json.dumps(message).encode()
    for _ in range(_ATTEMPTS):
        status, response_body, wait = _posted(parsed_url, body)
        if status < 300:
            return
        if status != _TOO_MANY_REQUESTS or wait > LONGEST_WAIT_SECONDS:
            break
        sleep(wait)
    word = response_body.decode() if _WORD.fullmatch(response_body) else "no error code"
    raise WebhookError(
        f"Expected status 200 from the webhook, found {status} ({word}). Check that the webhook still exists and that "
        "its channel isn't archived, or store a new URL in the secret."
    )


def _parsed(url: str, hosts: Collection[str]) -> SplitResult:
    try:
        parsed_url = urlsplit(url.strip())
        usable = parsed_url.scheme == "https" and parsed_url.port != 0 and parsed_url.netloc.lower() in hosts
    except ValueError:
        usable = False
    if not usable or not _PLAIN.fullmatch(url.strip()):
        raise WebhookError(
            f"Expected the secret to be a webhook URL, https://HOST/PATH as plain text, on "
            f"{' or '.join(sorted(hosts))}, found something else. Copy the URL of the incoming webhook from Slack into "
            "the secret, or deploy with another SlackWebhookHosts."
        )
    return parsed_url


def _posted(url: SplitResult, body: bytes) -> tuple[int, bytes, float]:
    connection = HTTPSConnection(
        url.hostname or "", url.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
    )
    target = url.path or "/"
    if url.query:
        target += f"?{url.query}"
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(1000), _retry_after(response)
    except (OSError, HTTPException) as error:
        raise WebhookError(
            f"The webhook could not be reached ({type(error).__name__}). Lambda retries; if this error persists, check "
            "that the function can reach the internet."
        ) from None
    finally:
        connection.close()


def _retry_after(response: HTTPResponse) -> float:
    seconds = response.getheader("Retry-After", "1")
    return float(seconds) if seconds.isdecimal() else 1.0
