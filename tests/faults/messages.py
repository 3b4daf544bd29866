"""The messages of a schedule: what the producer sends, and what must be true of each at the end."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ATTRIBUTE = "redrive"


class Fate(StrEnum):
    """Where a message must end up if nothing goes wrong."""

    REDRIVEN = "redriven"
    QUARANTINED = "quarantined"
    INVALID = "invalid, left"
    UNSELECTED = "not selected"

    @property
    def stays(self) -> bool:
        """Whether it stays in the dead-letter queue."""
        return self in {Fate.INVALID, Fate.UNSELECTED}


@dataclass(frozen=True)
class Message:
    """A message in the dead-letter queue."""

    id: str
    body: str
    #: As SendMessage takes them.
    attributes: dict[str, Any]
    fate: Fate
    #: Place in the order of sending.
    place: int
    group: str | None = None
    #: Which of the source queues it dies in; None if it's sent to the dead-letter queue.
    source: int | None = 0
    #: The payload of an event in an envelope, which its destination gets instead of the body.
    payload: Any = None


def draw_messages(
    rng: random.Random,
    prefix: str,
    *,
    number: int,
    fifo: bool,
    large: bool,
    fates: Sequence[Fate],
    wrapped: str | None,
    sources: int,
) -> tuple[Message, ...]:
    """Return messages with ids that start with a prefix.

    Parameters
    ----------
    rng : random.Random
        Where all choices come from.
    prefix : str
        The schedule's name.
    number : int
        How many.
    fifo, large : bool
        Whether they have message groups, and hundreds of kilobytes each.
    fates : Sequence[Fate]
        Drawn from for each.
    wrapped : str | None
        `function` or `state-machine`: what their envelope says they go to.
    sources : int
        Source queues that they come from.
    """
    groups = rng.randint(1, 5)
    messages = []
    for place in range(number):
        message_id, fate = f"{prefix}-{place:03}", rng.choice(fates)
        body: dict[str, Any] = {"id": message_id, "amount": place + 0.25}
        if fate in {Fate.QUARANTINED, Fate.INVALID}:
            body["amount"] = "none"
        body["text"] = "ü" * (rng.randint(50_000, 480_000) if large else rng.randint(0, 300))
        attributes = _attributes(rng)
        if fate is not Fate.UNSELECTED:
            attributes["chosen"] = {"DataType": "String", "StringValue": "yes"}
        text, payload = json.dumps(body, ensure_ascii=False), None
        if wrapped is not None:
            payload, attributes = body, {}
        if wrapped == "function":
            text = json.dumps(_invocation_record(prefix, message_id, body))
        elif wrapped == "state-machine":
            attributes = _rule_attributes(prefix)
        messages.append(
            Message(
                id=message_id,
                body=text,
                attributes=attributes,
                fate=fate,
                place=place,
                group=f"group-{rng.randrange(groups)}" if fifo else None,
                source=None if wrapped else place % sources,
                payload=payload,
            )
        )
    return tuple(messages)


def _attributes(rng: random.Random) -> dict[str, Any]:
    drawn = {
        "text": {"DataType": "String", "StringValue": "ä" * rng.randint(1, 40)},
        "number": {"DataType": "Number", "StringValue": f"{rng.randint(0, 10**9)}.{rng.randint(1, 10**9)}"},
        "bytes": {"DataType": "Binary", "BinaryValue": rng.randbytes(rng.randint(1, 60))},
        "own.type": {"DataType": "String.uuid", "StringValue": f"{rng.getrandbits(64):x}"},
    }
    names = rng.sample(sorted(drawn), rng.randint(0, 4))
    # Ten are the maximum: with "chosen", there's no room for one more.
    if rng.random() < 0.1:
        names = []
        drawn |= {f"extra-{n}": {"DataType": "String", "StringValue": str(n)} for n in range(9)}
        names = [name for name in drawn if name.startswith("extra-")]
    return {name: drawn[name] for name in names}


def target_arn(prefix: str) -> str:
    """Return the ARN of the state machine that a schedule's events go to."""
    return f"arn:aws:states:us-east-1:000000000000:stateMachine:{prefix}-target"


def function_arn(prefix: str) -> str:
    """Return the ARN of the function that a schedule's events go to."""
    return f"arn:aws:lambda:us-east-1:000000000000:function:{prefix}-target"


def _invocation_record(prefix: str, message_id: str, payload: Any) -> dict[str, Any]:
    # AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations".
    return {
        "version": "1.0",
        "timestamp": "2026-11-24T03:12:40.123Z",
        "requestContext": {
            "requestId": f"00000000-0000-4000-8000-{int(message_id[-3:]):012}",
            "functionArn": f"{function_arn(prefix)}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": payload,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "down", "errorType": "DownError"},
    }


def _rule_attributes(prefix: str) -> dict[str, Any]:
    # Amazon EventBridge User Guide, "Using dead-letter queues to process undelivered events".
    values = {
        "RULE_ARN": f"arn:aws:events:us-east-1:000000000000:rule/{prefix}-rule",
        "TARGET_ARN": target_arn(prefix),
        "ERROR_CODE": "NO_PERMISSIONS",
        "ERROR_MESSAGE": "not authorized",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "RETRY_ATTEMPTS": "3",
    }
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def same_attributes(sent: dict[str, Any], found: dict[str, Any]) -> bool:
    """Return whether a message has the attributes that it was sent with; ours may be there, too."""
    return _plain(sent) == {name: value for name, value in _plain(found).items() if name != ATTRIBUTE}


def _plain(attributes: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        name: (
            value["DataType"],
            base64.b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else value["StringValue"],
        )
        for name, value in attributes.items()
    }
