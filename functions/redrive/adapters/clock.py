"""AWS's clock, as its answers show it; the clocks of two laptops may differ by minutes.

Used for the caller of the `redrive` command and by `redrive.adapters.tag_lease`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def aws_time(answer: Any) -> datetime:
    """Return the time at which a service answered a request, or this machine's time if the answer has none."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.now(UTC)
