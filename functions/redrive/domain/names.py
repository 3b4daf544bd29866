"""Names as a person reads them in reports, notifications, and logs: a plain name, or a hash in its place.

Used by every model that is shown. Names come from AWS, contracts, and operators; what a message says isn't a name.
"""

from __future__ import annotations

import hmac
import re

# No markup, no line breaks, nothing that looks like another letter. A longer name would crowd out the rest of a report.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,256}")
_HASH = "hash-"
_HASH_DIGITS = 12


def display_name(name: str) -> str:
    """Return a name, or its hash if it has other characters than `A-Z a-z 0-9 _ . : / -`."""
    return name if _NAME.fullmatch(name) else hash_of(name)


def short_name(name: str) -> str:
    """Return the last part of an ARN or URL, such as the name of a queue; a plain name stays as it is."""
    return re.split("[:/]", name)[-1]


def is_hash(name: str) -> bool:
    """Return whether a name has the form of a hash."""
    return re.fullmatch(rf"{_HASH}[0-9a-f]{{{_HASH_DIGITS}}}", name) is not None


def hash_of(text: str, key: bytes = b"") -> str:
    """Return a short hash of a text, which is the same for the same text and key.

    Parameters
    ----------
    text : str
        The text.
    key : bytes
        Makes the hash useless to anyone who doesn't have it. Names that aren't secret need none.
    """
    digest = hmac.new(key, text.encode(errors="surrogatepass"), "sha256").hexdigest()
    return f"{_HASH}{digest[:_HASH_DIGITS]}"
