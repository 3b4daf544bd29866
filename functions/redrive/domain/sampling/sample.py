"""What a sample or a full scan shows: groups, shares, ages, sizes, and masked examples.

Made by `redrive.domain.sampling.summary`; part of the report.
"""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, WrapValidator

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.model import DisplayName, Model
from redrive.domain.names import hash_of, is_hash

# 95 % of a normal distribution is within this many standard deviations.
_Z = 1.96


class OriginKind(StrEnum):
    """What messages came from."""

    QUEUE = "queue"
    FUNCTION = "function"
    RULE = "rule"
    SCHEDULE = "schedule"
    TOPIC = "topic"
    BUCKET = "bucket"
    PIPE = "pipe"


class MaskedMessage(Model):
    """A message with its values taken out: shapes and sizes, and only what a contract marks as safe in clear."""

    #: Objects and lists as they are, cut short; other values as `<string 9>`, `<number>`, or `<hidden>`; names that the
    #: contract doesn't define as `*`.
    body: JsonValue
    #: Message attributes in the same way.
    attributes: dict[str, str]


class Example(MaskedMessage):
    """A message of a group, and what the repair makes of it."""

    #: The same message after the repair, if it changes the message.
    repaired: MaskedMessage | None = None


class SampleGroup(Model):
    """Messages that are alike."""

    #: What the run does with them.
    verdict: Literal["redrivable", "quarantined", "skipped"]
    #: Reason code if they are quarantined or skipped.
    reason: DisplayName | None
    #: Name of the queue, function, or state machine that they go to.
    destination: DisplayName | None
    #: What a service put around them (docs/reference/envelopes.md).
    envelope: Envelope
    #: Name of what they came from; None if AWS doesn't confirm it.
    origin: DisplayName | None = None
    #: What kind of thing that is, as AWS or else the message says: `queue`, `function`, `rule`, `schedule`, `topic`,
    #: `bucket`, or `pipe`.
    origin_kind: OriginKind | None = None
    #: Name of the error they failed with, if the envelope says; a hash if it doesn't look like one.
    error_type: DisplayName | None
    #: Hash of that error's text, without what differs from message to message. It is another one in each sample.
    error_text_hash: DisplayName | None = None
    #: The text, without numbers and without what it quotes from the payload; None unless the deployment has
    #: `ShowErrorTexts`.
    error_message: str | None = None
    #: The contract they were judged with; None if they were judged on their envelope alone.
    contract: DisplayName | None
    #: The repair changed them.
    repaired: bool = False
    #: Lambda's recursive-loop detection has dropped them, or would, as far as their trace header or record says.
    in_a_loop: bool = False
    #: How many of the messages peeked at.
    messages: int
    #: How many events they stand for without having them, as far as they say; None if none of them says.
    events: int | None = None
    #: Their share of the messages peeked at.
    share: float = 0.0
    #: Lower bound of their share in the whole queue with 95 % confidence, if SQS returns messages at random.
    share_low: float = 0.0
    #: Upper bound of that share.
    share_high: float = 0.0
    #: One of them, masked; the largest groups have one.
    example: Example | None = None

    @property
    def label(self) -> str:
        """What an operator calls the group: six hexadecimal digits, the same in every sample of any queue."""
        # Hashes of error types and texts differ from sample to sample.
        error_type = None if self.error_type is None or is_hash(self.error_type) else self.error_type
        parts = (self.verdict, self.reason, self.destination, self.envelope, self.origin, error_type, self.contract)
        return hash_of("\n".join(map(str, (*parts, self.repaired, self.in_a_loop)))).rpartition("-")[2][:6]


class Sizes(Model):
    """Sizes of the messages in bytes, as SQS counts them."""

    #: The smallest message.
    smallest: int = 0
    #: Half of the messages are at most this size.
    median: int = 0
    #: 90 % of the messages are at most this size.
    p90: int = 0
    #: The largest message.
    largest: int = 0


class Sample(Model):
    """What peeking at some messages, or at all of them, showed: shapes and counts, never content."""

    #: Messages peeked at.
    sampled: int = 0
    #: The queue was seen empty while they were in hand: these were all.
    complete: bool = False
    #: Messages that a run would redrive.
    redrivable: int = 0
    #: Messages that a run would quarantine, by reason code.
    quarantined: dict[DisplayName, int] = Field(default_factory=dict)
    #: Messages that a run would skip, by reason code.
    skipped: dict[DisplayName, int] = Field(default_factory=dict)
    #: The largest first.
    groups: tuple[SampleGroup, ...] = ()
    #: Groups that aren't listed.
    other_groups: int = 0
    #: Messages in those groups.
    in_other_groups: int = 0
    #: When the oldest of them was sent.
    oldest_sent_at: datetime | None = None
    #: When the newest of them was sent.
    newest_sent_at: datetime | None = None
    #: Sizes in bytes, as SQS counts them.
    # Made when it is needed: an instance here would build its validator at each cold start.
    sizes: Sizes = Field(default_factory=Sizes)
    #: Messages that SQS deletes within a day.
    near_expiry: int = 0
    #: What explains why messages would be skipped, in sentences.
    explanations: tuple[str, ...] = ()
    #: Message groups that were seen, if the dead-letter queue is a FIFO queue.
    fifo_groups: int = 0
    #: Those of which a message would stay, so that the rest of the group waits.
    waiting_groups: int = 0


#: A sample that another version may have made.
AnySample = Annotated[Sample, WrapValidator(Sample.as_far_as_readable)]


def interval(found: int, of: int) -> tuple[float, float]:
    """Return the bounds of a share with 95 % confidence, from a sample (Wilson's score interval)."""
    share, spread = found / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    # Rounding must not move a bound across the share.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
