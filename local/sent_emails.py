"""Lists the emails that the SES of the embedded cloud has accepted.

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
    """An email that SES accepted."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str


def sent_emails(cloud: EmbeddedCloud) -> list[Email]:
    """Return every email since the cloud started, oldest first."""
    # SES on AWS doesn't keep emails; the emulator has its own path for them.
    address = f"{cloud.endpoint_url}/_ministack/ses/messages?account={ACCOUNT_ID}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=_SECONDS) as response:
        sent = json.load(response)["messages"].get(ACCOUNT_ID, [])
    return [Email(each["Source"], tuple(each["To"]), each["Subject"], each["BodyText"]) for each in sent]
