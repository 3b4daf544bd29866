"""Tells which e-mails the SES of the embedded cloud has taken.

Used by the scenarios and the end-to-end tests.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass

from local.embedded_cloud import ACCOUNT_ID, EmbeddedCloud

_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail that SES took."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str


def sent_emails(cloud: EmbeddedCloud) -> list[Email]:
    """Return all e-mails since the cloud started, the oldest first."""
    # SES keeps no e-mails on AWS; the emulator has an address of its own for them.
    address = f"{cloud.endpoint_url}/_ministack/ses/messages?account={ACCOUNT_ID}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=_SECONDS) as response:
        told = json.load(response)["messages"].get(ACCOUNT_ID, [])
    return [Email(each["Source"], tuple(each["To"]), each["Subject"], each["BodyText"]) for each in told]
