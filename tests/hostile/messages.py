"""Hostile messages: every sample message and every attribute that AWS sets, changed in ways that nobody means well by.

Each is made from a few bytes that hypothesis draws, so that one that breaks something shrinks to what breaks it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.hostile.content import Content, Inside, Items, Members, Path, Raw, Several, places, put, read, write
from tests.hostile.marks import ATTRIBUTE_NAMES, NAMES, TEXTS
from tests.support import factories, wrapped
from tests.support.samples import EVENTS

ORDERS, INVOICES, GONE = (f"arn:aws:sqs:us-east-1:123456789012:{name}" for name in ("orders", "invoices", "gone"))
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:on-order"
WORKFLOW = "arn:aws:states:us-east-1:123456789012:stateMachine:orders-flow"
RULE = "arn:aws:events:us-east-1:123456789012:rule/nightly"
SCHEDULE = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly"
SUBSCRIPTION = f"{wrapped.TOPIC}:15189ad7-870e-40e5-a7dd-a48898cd9f86"
UNSUBSCRIBE = f"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={SUBSCRIPTION}"
#: What a message may claim that it was meant for.
TARGETS = (FUNCTION, WORKFLOW, ORDERS, INVOICES, *(text for text in TEXTS if text.startswith("arn:")))
REQUEST = "12345678-1234-4234-8234-123456789012"

SAMPLES: Mapping[str, Any] = {
    path.stem: json.loads(path.read_text())["message"] for path in sorted((EVENTS / "messages").glob("*.json"))
}


@dataclass
class Draft:
    """A message that is being made."""

    #: The body as a tree, or as text once something has been done to that.
    body: Content | str
    attributes: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    message_id: str = ""

    def text(self) -> str:
        return self.body if isinstance(self.body, str) else write(self.body)

    def message(self) -> dict[str, Any]:
        """Return it as ReceiveMessage returns it, without its receipt handle."""
        return {
            "MessageId": self.message_id,
            "Body": self.text(),
            "Attributes": self.system,
            "MessageAttributes": self.attributes,
        }


def _bases() -> list[tuple[Content | str, dict[str, Any]]]:
    """Return bodies and attributes to begin with."""
    bodies: list[tuple[str, dict[str, Any]]] = [
        (sample["Body"], sample.get("MessageAttributes", {})) for sample in SAMPLES.values()
    ]
    for attributes in [value for _, value in bodies]:
        for value in attributes.values():
            if "BinaryValue" in value:
                value["BinaryValue"] = base64.b64decode(value["BinaryValue"])
    bodies += [
        (factories.store_event(), factories.store_id()),
        (wrapped.notification(factories.store_event(), factories.store_id()), {}),
        (wrapped.notification(factories.store_event(), UnsubscribeURL=UNSUBSCRIBE), {}),
        (json.dumps(wrapped.lambda_record({"store": 3, "name": "x"})), {}),
        (json.dumps(wrapped.batch_record()), {}),
        (json.dumps(wrapped.pipe_record()), {}),
        (json.dumps(wrapped.iot_record()), {}),
        (wrapped.pointer(), wrapped.size_attribute()),
        ('{"id": 1}', wrapped.async_attributes()),
    ]
    return [(_read(body), attributes) for body, attributes in bodies]


@cache
def _read(body: str) -> Content | str:
    try:
        return read(body)
    except ValueError:
        return body


BASES = _bases()


# What is put in the place of a value


def _escaped(text: str) -> Raw:
    """Return a JSON string in which every character is an escape."""
    units = text.encode("utf-16-be", "surrogatepass")
    return Raw('"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"')


def _nested(depth: int, opening: str, closing: str) -> Raw:
    return Raw(opening * depth + '"zqxj"' + closing * depth)


NASTY: tuple[Content, ...] = (
    None,
    True,
    False,
    0,
    "",
    Members(()),
    Items(()),
    Raw("-0"),
    Raw("NaN"),
    Raw("-Infinity"),
    Raw("1e999"),
    Raw("1E-4000"),
    Raw("1.0"),
    Raw("4088172635.4088172635"),
    Raw("4088172635" * 60),
    Raw("9" * 5_000),
    Raw('"\\ud800"'),
    Raw('"\\udc00zqxj\\ud800"'),
    Raw('"\\u0000"'),
    Raw("'zqxj'"),
    Raw("tru"),
    Raw(""),
    "\ufeff",
    _nested(150, "[", "]"),
    _nested(3_000, "[", "]"),
    _nested(3_000, '{"a":', "}"),
    Members((("zqxj", "zqxj"), ("zqxj", 4088172635), ("", None))),
    Items(("zqxj", Members((("zqxj", Items(("zqxj",))),)))),
    *(_escaped(text) for text in TEXTS[:5]),
    # What services write, where they don't.
    *("1.0", "2.0", "Success", "RetriesExhausted", "Notification", "Binary", "String", "aws:s3", "s3:TestEvent"),
    *(ORDERS, INVOICES, GONE, FUNCTION, WORKFLOW, RULE, SCHEDULE, REQUEST),
)
#: Rarely drawn, because they take their time.
LARGE: tuple[Content, ...] = (
    "zqxj" * 20_000,
    Items(tuple(range(4_000))),
    Members(tuple((f"zqxj{number}", "zqxj") for number in range(2_000))),
    _escaped("zqxj" * 3_000),
    Raw("[" * 100_000),
    "a" * 200_000,
)
VALUES: tuple[Content, ...] = (*TEXTS, *NASTY)
KNOWN_NAMES = (
    *("Type", "TopicArn", "Message", "MessageId", "MessageAttributes", "requestContext", "requestPayload"),
    *("responseContext", "responsePayload", "KinesisBatchInfo", "functionArn", "condition", "version", "timestamp"),
    *("approximateInvokeCount", "busArn", "subscriberArn", "targetArn", "failedMessages", "base64OriginalPayload"),
    *("ruleName", "topic", "failures", "failedAction", "errorMessage", "errorType", "Records", "eventSource", "s3"),
    *("Service", "Event", "s3BucketName", "s3Key", "context", "partnerResourceArn", "requestId", "name", "ssn_no"),
)
MEMBER_NAMES = (*NAMES, *KNOWN_NAMES)


def _change(choice: int) -> Callable[[Content], Content]:
    """Return a change of the value at a place."""
    kind, choice = choice % 8, choice // 8
    value = VALUES[choice % len(VALUES)]
    match kind:
        case 0 | 1 | 2:
            return lambda _: value
        case 3:
            return lambda _: Several()
        case 4:
            return lambda old: Several((old, value) if choice % 2 else (value, old))
        case 5:
            return lambda old: Inside(old, base64=choice % 2 == 1)
        case 6:
            return lambda old: Items((old, value))
    name = MEMBER_NAMES[choice % len(MEMBER_NAMES)]
    return lambda old: Members(((name, old),))


def changed(draft: Draft, place: int, choice: int) -> None:
    """Change one place of the body."""
    if isinstance(draft.body, str):
        draft.body = write(VALUES[choice % len(VALUES)])
        return
    found = list(places(draft.body))
    path: Path = found[place % len(found)]
    if path and path[-1] == "name":
        name = MEMBER_NAMES[choice % len(MEMBER_NAMES)]
        draft.body = put(draft.body, path, lambda _: _escaped(name) if choice % 5 == 0 else name)
    else:
        draft.body = put(draft.body, path, _change(choice))


def enlarged(draft: Draft, place: int, choice: int) -> None:
    """Put something large in the place of a value."""
    if not isinstance(draft.body, str):
        found = [path for path in places(draft.body) if not path or path[-1] != "name"]
        draft.body = put(draft.body, found[place % len(found)], lambda _: LARGE[choice % len(LARGE)])


_SNIPPETS = (
    "zqxj",
    '"',
    "\\",
    "{",
    "}",
    "]",
    ",",
    ":",
    "\ufeff",
    "\u0000",
    " " * 50,
    "\\u00",
    "\ud800",
    "zqxj\n" * 5,
    "",
)


def garbled(draft: Draft, place: int, choice: int) -> None:
    """Do something to the body that only a text can suffer."""
    text, snippet = draft.text(), _SNIPPETS[choice % len(_SNIPPETS)]
    begin = place % (len(text) + 1)
    end = min(len(text), begin + choice % 40)
    match choice % 5:
        case 0:
            draft.body = text[:begin] + snippet + text[begin:]
        case 1:
            draft.body = text[:begin] + snippet + text[end:]
        case 2:
            draft.body = text[:end] + text[begin:]
        case 3:
            draft.body = text[:begin]
        case 4:
            draft.body = f"{snippet}{text}{snippet}"


_SNS_ATTRIBUTES = Members(
    (
        ("zqxj", Members((("Type", "String"), ("Value", "zqxj")))),
        ("store_id", Members((("Type", "Number"), ("Value", "3")))),
    )
)


def _notification(body: Content, *more: tuple[str, Content]) -> Members:
    head = (("Type", "Notification"), ("MessageId", "m"), ("TopicArn", wrapped.TOPIC))
    return Members((*head, ("Message", Inside(body)), *more))


def wrapped_up(draft: Draft, _place: int, choice: int) -> None:
    """Put the body into an envelope, as often as someone likes to."""
    body: Content = Raw(draft.text()) if isinstance(draft.body, str) else draft.body
    for _ in range(1 + choice // 8 % 7):
        match choice % 8:
            case 0 | 1:
                body = Members(
                    (
                        ("Type", "Notification"),
                        ("MessageId", "m"),
                        ("TopicArn", wrapped.TOPIC),
                        ("Message", Inside(body)),
                    )
                )
            case 2:
                body = Inside(body)
            case 3:
                record = read(
                    json.dumps(wrapped.lambda_record("x")).replace(FUNCTION, TARGETS[choice // 64 % len(TARGETS)])
                )
                assert isinstance(record, Members)
                pairs = tuple((name, body if name == "requestPayload" else value) for name, value in record.pairs)
                body = Members(pairs)
            case 4:
                body = Items((body,))
            case 5:
                body = Members((("base64OriginalPayload", Inside(body, base64=True)), ("zqxj", "zqxj")))
            case 6:
                body = _notification(body, ("MessageAttributes", _SNS_ATTRIBUTES))
            case 7:
                body = Members((("detail", body), ("detail-type", "zqxj"), ("source", "zqxj")))
    draft.body = body


# Message attributes

_FORGED = (
    {"run": "run-1", "count": 1, "id": "zqxj", "sent": 1, "source": ORDERS},
    {"run": "zqxj", "count": 0, "id": "zqxj" * 30, "sent": 1, "source": INVOICES},
    {"run": "r", "count": 99, "id": "m", "sent": 4088172635, "source": ORDERS},
    {"run": "r", "count": 4088172635, "id": "m", "sent": 1, "source": "zqxj"},
    {"run": {"zqxj": "zqxj"}, "count": "2", "id": ["zqxj"], "sent": "1", "source": None},
    {"run": "r", "count": 0, "id": "m", "sent": 1, "source": GONE, "reason": "zqxj", "problems": ["zqxj"]},
    {"run": "r", "count": 1e308, "id": "m", "sent": 1},
    ["zqxj"],
    "zqxj",
)
ATTRIBUTE_TEXTS = (
    *TEXTS,
    *(
        ORDERS,
        INVOICES,
        GONE,
        FUNCTION,
        WORKFLOW,
        RULE,
        SCHEDULE,
        REQUEST,
        "200",
        "500",
        "3",
        "true",
        "false",
        "300000",
        "-1",
    ),
    *(json.dumps(forged) for forged in _FORGED),
    "[" * 2_000,
    "9" * 100,
    "zqxj" * 2_000,
)
SERVICE_NAMES = (
    *("RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE", "EXHAUSTED_RETRY_CONDITION", "RETRY_ATTEMPTS"),
    *("SCHEDULE_ARN", "SCHEDULED_TIME", "EXECUTION_ID", "IS_PAYLOAD_TRUNCATED", "RequestID", "ErrorCode"),
    *("ErrorMessage", "ExtendedPayloadSize", "SQSLargePayloadSize", "redrive", "store_id"),
)
_TYPES = ("String", "Number", "Binary", "String.zqxj", "Number.int", "Binary.zqxj", "String.Array")


def attributed(draft: Draft, place: int, choice: int) -> None:
    """Give the message an attribute, or another one in place of what a service wrote."""
    names = (*SERVICE_NAMES, *ATTRIBUTE_NAMES)
    name, kind = names[place % len(names)], _TYPES[choice % len(_TYPES)]
    text = ATTRIBUTE_TEXTS[choice // len(_TYPES) % len(ATTRIBUTE_TEXTS)]
    key, value = ("BinaryValue", text.encode()) if kind.startswith("Binary") else ("StringValue", text)
    draft.attributes = draft.attributes | {name: {"DataType": kind, key: value}}


def undelivered(draft: Draft, place: int, choice: int) -> None:
    """Give the message everything that EventBridge or Scheduler writes when a target fails, one of it forged."""
    target = TARGETS[choice % len(TARGETS)]
    claims = {"TARGET_ARN": target, "ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "zqxj", "RETRY_ATTEMPTS": "3"}
    origin = ATTRIBUTE_TEXTS[place // 8 % len(ATTRIBUTE_TEXTS)] if place % 8 == 7 else SCHEDULE if place % 2 else RULE
    claims |= {"RULE_ARN": origin} if place % 4 < 2 else {"SCHEDULE_ARN": origin, "IS_PAYLOAD_TRUNCATED": "false"}
    draft.attributes = draft.attributes | {name: factories.string(value) for name, value in claims.items()}


def redriven(draft: Draft, place: int, choice: int) -> None:
    """Give the message the attribute of this app, forged or real."""
    value = (
        ATTRIBUTE_TEXTS[choice % len(ATTRIBUTE_TEXTS)] if place % 4 == 3 else json.dumps(_FORGED[choice % len(_FORGED)])
    )
    draft.attributes = draft.attributes | {"redrive": factories.string(value)}
    if place % 2:
        draft.system = draft.system | {"DeadLetterQueueSourceArn": ORDERS}


def crowded(draft: Draft, place: int, _choice: int) -> None:
    """Fill the message up with attributes, so that no other fits."""
    added = {f"zqxj{number}": factories.string("zqxj") for number in range(8 + place % 4 - len(draft.attributes))}
    draft.attributes = draft.attributes | added


def stripped(draft: Draft, place: int, _choice: int) -> None:
    """Take an attribute away."""
    names = sorted(draft.attributes)
    gone = names[place % len(names)] if names else None
    draft.attributes = {name: value for name, value in draft.attributes.items() if name != gone}


# System attributes

_SYSTEM: tuple[dict[str, Any], ...] = (
    {"DeadLetterQueueSourceArn": ORDERS},
    {"DeadLetterQueueSourceArn": INVOICES},
    {"DeadLetterQueueSourceArn": GONE},
    {"MessageGroupId": "zqxj"},
    {"MessageGroupId": "zqxj" * 32},
    {"MessageGroupId": "4088172635", "MessageDeduplicationId": "zqxj", "SequenceNumber": "4088172635"},
    {"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=zqxj"},
    {"AWSTraceHeader": "Root=zqxj;Lineage=1:zqxj:16|4088172635:99|zqxj"},
    {"AWSTraceHeader": ";Lineage=zqxj:0" * 20_000},
    {"AWSTraceHeader": "zqxj=\u0661\u0662;;LINEAGE=:::\U0001f512"},
    {"SenderId": "AIDAZQXJ:zqxj"},
    {"SentTimestamp": str(factories.STARTED_AT)},
    {"SentTimestamp": "1"},
    {"ApproximateReceiveCount": "2000000000", "ApproximateFirstReceiveTimestamp": "1"},
    {"Zqxj": "zqxj", "AWSzqxj": "4088172635"},
)
#: What SQS never returns, but a proxy or an emulator might.
_IMPOSSIBLE: tuple[dict[str, Any], ...] = (
    {"SentTimestamp": None},
    {"SentTimestamp": "zqxj"},
    {"SentTimestamp": "9" * 400},
    {"SentTimestamp": ""},
)


def placed(draft: Draft, place: int, choice: int) -> None:
    """Change what SQS says about the message."""
    found = _IMPOSSIBLE[choice // 16 % len(_IMPOSSIBLE)] if choice % 16 == 15 else _SYSTEM[place % len(_SYSTEM)]
    system = draft.system | found
    draft.system = {name: value for name, value in system.items() if value is not None}


_MUTATIONS = (
    *(*4 * (changed,), garbled, wrapped_up, *2 * (attributed,), *2 * (undelivered,), redriven),
    *(crowded, stripped, *2 * (placed,)),
)

# A kind, a place, and a choice for each mutation of a message.
_MUTATION_BYTES, _MOST_MUTATIONS = 6, 5
#: Bytes that a message is made from.
SCRIPT_BYTES = 4 + _MUTATION_BYTES * _MOST_MUTATIONS


def draft_of(base: int, *, moved: bool, group: str | None, number: int) -> Draft:
    """Return a message without anything hostile in it.

    Parameters
    ----------
    base : int
        Which of `BASES` it is.
    moved : bool
        Whether a redrive policy moved it here; otherwise a service or a person put it here.
    group : str | None
        Its message group.
    number : int
        What its id consists of.
    """
    body, attributes = BASES[base]
    system = {"SentTimestamp": str(factories.STARTED_AT - 60_000 - number), "ApproximateReceiveCount": "1"}
    system["SenderId"] = "AROAPRODUCER:session"
    system |= {"DeadLetterQueueSourceArn": ORDERS} if moved else {}
    system |= {} if group is None else {"MessageGroupId": group}
    return Draft(body, dict(attributes), system, f"00000000-0000-4000-8000-{number:012}")


def hostile(script: bytes, number: int, *, fifo: bool, moved_of_4: int) -> dict[str, Any]:
    """Return the message that a script stands for; one of zeros only has nothing hostile in it.

    Parameters
    ----------
    script : bytes
        What to make it from.
    number : int
        What its id consists of.
    fifo : bool
        Whether it needs a message group.
    moved_of_4 : int
        How many of four such messages a redrive policy has moved to where they are.
    """
    base, moved, mutations, large = script[:4]
    group = f"g{number % 3}" if fifo else None
    draft = draft_of(base % len(BASES), moved=moved % 4 > 3 - moved_of_4, group=group, number=number)
    for begin in range(4, 4 + mutations % (_MOST_MUTATIONS + 1) * _MUTATION_BYTES, _MUTATION_BYTES):
        place, choice = int.from_bytes(script[begin + 1 : begin + 3]), int.from_bytes(script[begin + 3 : begin + 6])
        _MUTATIONS[script[begin] % len(_MUTATIONS)](draft, place, choice)
    if large > 252:
        enlarged(draft, base * moved, mutations)
    return draft.message()


def everywhere(values: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return every sample message with each of some marked values in each of its places, one at a time."""
    made: list[dict[str, Any]] = []

    def add(base: int, change: Callable[[Draft], None]) -> None:
        for moved in (False, True):
            draft = draft_of(base, moved=moved, group=None, number=len(made))
            change(draft)
            made.append(draft.message())

    def set_body(path: Path, value: Content) -> Callable[[Draft], None]:
        def change(draft: Draft) -> None:
            draft.body = value if isinstance(draft.body, str) else put(draft.body, path, lambda _: value)

        return change

    def set_attributes(changed: Mapping[str, Any]) -> Callable[[Draft], None]:
        def change(draft: Draft) -> None:
            draft.attributes = dict(changed)

        return change

    for base, (body, attributes) in enumerate(BASES):
        paths: list[Path] = [()] if isinstance(body, str) else list(places(body))
        for value in values:
            for path in paths:
                add(base, set_body(path, value))
                add(base, set_body(path, _escaped(value)))
            for name, old in attributes.items():
                others = {key: kept for key, kept in attributes.items() if key != name}
                key, new = ("BinaryValue", value.encode()) if "BinaryValue" in old else ("StringValue", value)
                add(base, set_attributes(attributes | {name: {"DataType": old["DataType"], key: new}}))
                add(base, set_attributes(attributes | {name: old | {"DataType": old["DataType"] + ".zqxj"}}))
                add(base, set_attributes(others | {ATTRIBUTE_NAMES[len(made) % len(ATTRIBUTE_NAMES)]: old}))
    return made
