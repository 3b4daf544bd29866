"""The ledger: what was sent, where it has to be at the end, and what was found there.

It knows nothing of the redrive's own counts, and keeps hashes instead of messages. Scenarios fill it through their
stage; :func:`problems` judges.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The attribute that the redrive adds (docs/design/moving.md, "The redrive attribute").
_ADDED = "redrive"
_KEY = re.compile(r"verify-[0-9a-z]+-[a-z-]+-\d{4}")
_KEYS_LISTED = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """A message that was sent, and how it has to arrive."""

    #: What its body says, so that it is recognized.
    key: str
    #: Name of the queue that it has to be in.
    place: str
    #: Hashes of its parts.
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was received from a queue."""

    key: str | None
    place: str
    parts: Mapping[str, str]
    message_id: str
    #: Message group, if the queue is a FIFO queue.
    ordered_in: str | None = None


@dataclass
class Ledger:
    """What one scenario sent and found."""

    expected: dict[str, Expected] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)

    def expect(self, place: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Note where messages have to be, given as SendMessageBatch takes them; what was noted before is replaced."""
        for entry in entries:
            key = key_of(entry["MessageBody"])
            if key is None:
                raise ValueError("expected a key in the body of each message")
            self.expected[key] = Expected(key, place, parts_of_entry(entry))

    def find(self, place: str, messages: Iterable[Mapping[str, Any]]) -> None:
        """Note messages as ReceiveMessage returned them, in this order."""
        for message in messages:
            group = message.get("Attributes", {}).get("MessageGroupId")
            self.found.append(
                Found(
                    key_of(message["Body"]),
                    place,
                    parts_of_message(message),
                    message["MessageId"],
                    group if place.endswith(".fifo") else None,
                )
            )

    def problems(self, duplicates_allowed: int = 0) -> list[str]:
        """Return what is wrong, in sentences without anything from a message; see :func:`problems`."""
        return problems(list(self.expected.values()), self.found, duplicates_allowed)


def key_of(body: str) -> str | None:
    """Return the key in a message's body."""
    match = _KEY.search(body)
    return match[0] if match else None


def parts_of_entry(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each part of a message as SendMessageBatch takes it."""
    trace = entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
    return _parts(entry["MessageBody"], entry.get("MessageAttributes", {}), trace, entry.get("MessageGroupId"))


def parts_of_message(message: Mapping[str, Any]) -> dict[str, str]:
    """Return the same hashes of a message as ReceiveMessage returns it, without the attribute that the redrive adds."""
    attributes = {name: value for name, value in message.get("MessageAttributes", {}).items() if name != _ADDED}
    system = message.get("Attributes", {})
    return _parts(message["Body"], attributes, system.get("AWSTraceHeader"), system.get("MessageGroupId"))


def _parts(body: str, attributes: Mapping[str, Any], trace: str | None, group: str | None) -> dict[str, str]:
    plain = {
        name: [value["DataType"], value.get("StringValue"), value.get("BinaryValue", b"").hex()]
        for name, value in attributes.items()
    }
    parts = {"body": body, "attributes": plain, "trace header": trace, "message group": group}
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
        for name, value in parts.items()
    }


def problems(expected: Sequence[Expected], found: Sequence[Found], duplicates_allowed: int = 0) -> list[str]:
    """Compare what has to be with what was found.

    Parameters
    ----------
    expected : Sequence[Expected]
        Every message that was sent, in the order of sending.
    found : Sequence[Found]
        Every message that was received, in the order of receiving. A standard queue may deliver a message twice under
        the same ID: that counts once (SQS developer guide, "Amazon SQS at-least-once delivery").
    duplicates_allowed : int
        How many messages may be in a standard queue twice, because the run's report said so. None may in a FIFO queue.

    Returns
    -------
    list[str]
        A sentence for each kind of problem; empty if each message is in its place once, unaltered, and in order.
    """
    wanted = {message.key: message for message in expected}
    first: dict[tuple[str, str], Found] = {}
    for message in found:
        first.setdefault((message.place, message.message_id), message)
    once = list(first.values())
    copies: dict[str, list[Found]] = defaultdict(list)
    for message in once:
        if message.key in wanted:
            copies[message.key].append(message)
    kinds: dict[str, list[str]] = defaultdict(list)
    for key, sent in wanted.items():
        if not copies[key]:
            kinds[f"missing from {sent.place}"].append(key)
        if elsewhere := sorted({copy.place for copy in copies[key]} - {sent.place}):
            kinds[f"in {', '.join(elsewhere)} instead of {sent.place}"].append(key)
        for part, digest in sent.parts.items():
            if any(copy.parts[part] != digest for copy in copies[key]):
                kinds[f"with an altered {part}"].append(key)
    twice = [key for key, many in copies.items() if len(many) > 1]
    extra = sum(len(many) - 1 for many in copies.values())
    if extra > duplicates_allowed or any(wanted[key].place.endswith(".fifo") for key in twice):
        kinds[f"there more than once ({duplicates_allowed} possible duplicates were reported)"] += twice
    sentences = [f"{_messages(keys)} {kind}: {_listed(keys)}." for kind, keys in kinds.items()]
    unknown = Counter(message.place for message in once if message.key not in wanted)
    sentences += [f"{count} in {place} that nobody sent." for place, count in unknown.items()]
    return sentences + _out_of_order(expected, once)


def _out_of_order(expected: Sequence[Expected], found: Sequence[Found]) -> list[str]:
    """Return a sentence for each FIFO group that didn't arrive in the order in which it was sent."""
    position = {message.key: place for place, message in enumerate(expected)}
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for message in found:
        if message.ordered_in is not None and message.key in position:
            groups[message.place, message.ordered_in].append(position[message.key])
    return [
        f"A message group in {place} is out of order."
        for (place, _), positions in groups.items()
        if positions != sorted(positions)
    ]


def _messages(keys: Sequence[str]) -> str:
    return f"{len(keys)} message" + ("" if len(keys) == 1 else "s")


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _KEYS_LISTED} more" if len(keys) > _KEYS_LISTED else ""
    return ", ".join(sorted(keys)[:_KEYS_LISTED]) + more
