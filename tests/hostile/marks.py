"""Marker strings: whatever leaves a run with one of them in it has leaked something of a message."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator

#: What every marker contains: letters, digits that look like a number of a person, and the same in an id.
WORD, DIGITS = "zqxj", "4088172635"
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _in_base64(text: str) -> Iterator[str]:
    """Yield what base64 makes of a text, wherever it begins in a longer one: the characters that are all its own."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text.encode()).decode()
        yield encoded[(8 * before + 5) // 6 : 8 * (before + len(text)) // 6]


_SIGNS = (WORD, DIGITS[:8])
_CODED = (*_in_base64(WORD), *_in_base64(DIGITS[:8]))

#: Values with a marker, in the forms that something might treat in a way of its own.
TEXTS = (
    "zqxj",
    "Zqxjworth",
    "zqxj@example.org",
    "ZqxjError",
    "org.zqxj.Failure",
    "the customer zqxj called from 408-817-2635",
    "4088172635",
    "408817263544",
    "00000000-0000-4000-8000-004088172635",
    "https://zqxj.example.org/4088172635?token=zqxj",
    "zqxj\nzqxj\r\nzqxj",
    "zqxj\u202e\u0000\u200bzqxj",
    "'zqxj\"\\zqxj</script>",
    "\u017bqxj zqxj \U0001f4ee zqxj",
    "zqxj" * 40,
    json.dumps({"zqxj": {"name": "zqxj", "card": 4088172635}}),
    base64.b64encode(b'{"zqxj": "zqxj"}' * 2).decode(),
    "arn:aws:lambda:us-east-1:123456789012:function:on-zqxj",
    "arn:aws:lambda:us-east-1:123456789012:function:zqxj:zqxj",
    "arn:aws:states:us-east-1:123456789012:stateMachine:orders-zqxj",
    "arn:aws:sqs:us-east-1:123456789012:zqxj",
    "arn:aws:sqs:us-east-1:408817263544:orders",
    "arn:aws:sqs:zqxj-east-1:123456789012:orders",
    "arn:aws:sns:us-east-1:123456789012:zqxj",
    "arn:aws:events:us-east-1:123456789012:rule/zqxj/zqxj",
    "arn:zqxj:zqxj:zqxj:zqxj:zqxj:zqxj",
    "arn:aws:pipes:us-east-1:123456789012:pipe/zqxj",
)
#: Names with a marker: of members, and of message attributes.
NAMES = ("zqxj", "ZqxjBatchInfo", "customer_zqxj", "zqxj.4088172635", "4088172635", "zqxj@example.org", "zqxj\u0000")
#: Names that SQS accepts for message attributes.
ATTRIBUTE_NAMES = ("zqxj", "customer_zqxj", "zqxj.4088172635", "x4088172635", "Zqxj-ARN")


def leak(text: str) -> str | None:
    """Return which sign of a marker is in a text, in any case, escaped, or in base64; None if none is."""
    readable = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).lower()
    # A marker that was split by punctuation is one all the same.
    joined = re.sub(r"[-. ]", "", readable)
    coded = (sign for sign in _CODED if sign in text)
    return next((sign for sign in _SIGNS if sign in readable or sign in joined), None) or next(coded, None)
