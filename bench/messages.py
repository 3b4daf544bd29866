"""The messages that every tool moves, and which parts of them are checked afterward.

`bench.endpoint` fills queues with them.
"""

from __future__ import annotations

import json
from typing import Any

# The attributes of every message, one per basic data type.
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "store_id": {"DataType": "Number", "StringValue": "3"},
    "channel": {"DataType": "String", "StringValue": "counter"},
    "signature": {"DataType": "Binary", "BinaryValue": bytes(range(240, 256))},
}
_CUSTOM = {"priority": {"DataType": "Number.int", "StringValue": "7"}}
_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
_GROUP = "store-3"


def store_event(number: int) -> str:
    """Return a store event of about 300 bytes that satisfies its contract."""
    return json.dumps(
        {
            "event_id": f"bench-{number:08}",
            "name": "Ada Lovelace",
            "dob": "1985-12-10",
            "gender": "F",
            "ssn_no": "123456789",
            "data_share_consent": True,
            "evnt_time": "2026-05-04T10:11:12.345678+00:00",
            "items": [{"sku": f"SKU-{number % 97:05}", "quantity": 2}, {"sku": "SKU-00042", "quantity": 1}],
            "note": "points for a purchase",
        }
    )


def entry(number: int, *, everything: bool = False) -> dict[str, Any]:
    """Return an entry for SendMessageBatch.

    Parameters
    ----------
    number : int
        The message's number.
    everything : bool
        Whether the message has everything that a message can have: a custom type, a trace header, and a group id, too.
    """
    request: dict[str, Any] = {
        "Id": str(number),
        "MessageBody": store_event(number),
        "MessageAttributes": _ATTRIBUTES | (_CUSTOM if everything else {}),
    }
    if everything:
        request["MessageGroupId"] = _GROUP
        request["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": _TRACE}}
    return request


def kept(message: dict[str, Any]) -> list[str]:
    """Return which parts of a received `everything` message arrived unchanged."""
    attributes = message.get("MessageAttributes", {})
    system = message.get("Attributes", {})
    names = [
        expected["DataType"]
        for name, expected in (_ATTRIBUTES | _CUSTOM).items()
        if all(attributes.get(name, {}).get(key) == value for key, value in expected.items())
    ]
    if system.get("AWSTraceHeader") == _TRACE:
        names.append("AWSTraceHeader")
    if system.get("MessageGroupId") == _GROUP:
        names.append("MessageGroupId")
    return names
