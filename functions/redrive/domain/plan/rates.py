"""What a queue's owners allow, and how the runs that deliver to the queue share it.

Used by the plan step and, for queues first met in mid-run, by the lanes. `redrive.adapters.rate_shares` stores the
shares; here is how they are decided.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Protocol

from pydantic import Field, TypeAdapter, ValidationError

from redrive.domain.errors import RejectedError
from redrive.domain.messages.message import MAX_BATCH_ENTRIES
from redrive.domain.messages.queues import QueueRef
from redrive.domain.model import Model
from redrive.domain.names import display_name
from redrive.domain.plan.request import Rate

# The tag by which the owners of a queue say how many messages per second a redrive may send to it at most.
MAX_RATE_TAG = "redrive:max-rate"
_PREFIX = "redrive:"
# From 0 to 1. A letter too few, too many, or wrong leaves more; other tags about redrives have less.
_SIMILAR = 0.85
# Of a tag, only what AWS's documentation allows in ASCII is repeated.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/=+@ -]{0,64}")
# Messages per second. A run doesn't start with less.
SMALLEST_SHARE = 0.1
_ROUNDING = 1e-9


class Share(Model):
    """What a run may send to a queue, in messages per second."""

    rate: float
    execution_arn: str


class Shares(Model):
    """The shares of a queue, by run."""

    by_run: dict[str, Share] = Field(default_factory=dict)

    def without(self, runs: set[str]) -> Shares:
        """Return the shares of all other runs."""
        return Shares(by_run={run: share for run, share in self.by_run.items() if run not in runs})


class MaxRate(Model):
    """A queue that declares a max rate, and this run's share of it: messages per second."""

    queue: QueueRef
    max_rate: float
    share: float

    @property
    def batch_size(self) -> int:
        """Messages by which this run may exceed its share in any second, over all of its lanes."""
        return int(_burst_of(self.share, self.max_rate) + _ROUNDING)


class RateShares(Protocol):
    """The shares of all queues that declare a max rate."""

    def reserve(self, run_id: str, execution_arn: str, queue: QueueRef, wanted: float, max_rate: float) -> MaxRate:
        """Return a run's share, the one it has or a new one; RejectedError names the runs that have the others."""

    def release(self, run_id: str) -> None:
        """Give up all shares of a run."""


def declared_max_rate(queue: QueueRef, tags: Mapping[str, str]) -> float | None:
    """Return what the queue's tag says, in messages per second, or None if it has no such tag.

    Raises
    ------
    RejectedError
        If the tag's value isn't a rate, or another tag is probably meant to be this one.
    """
    for key in tags:
        if key != MAX_RATE_TAG and _is_meant(key):
            raise RejectedError(
                f"{queue.name}: expected the tag {MAX_RATE_TAG}, letter for letter, and no other that begins with "
                f"{_PREFIX} or looks like it; found {_quoted(key)}, which nothing reads. Rename it, or remove it with: "
                f"aws sqs untag-queue --queue-url {queue.url} --tag-keys KEY"
            )
    value = tags.get(MAX_RATE_TAG)
    if value is None:
        return None
    try:
        # As JSON, so that what is refused as the input's rate is refused here too: nan, 1_000, spaces.
        return TypeAdapter[float](Rate).validate_json(value)
    except ValidationError:
        raise RejectedError(
            f"{queue.name}: the tag {MAX_RATE_TAG} is invalid. Expected messages per second as a number from 0.1 to "
            f"10000, such as 40 or 2.5; found {_quoted(value)}. Correct it with: aws sqs tag-queue "
            f"--queue-url {queue.url} --tags {MAX_RATE_TAG}=40"
        ) from None


def _is_meant(key: str) -> bool:
    """Return whether a tag's key has the prefix of ours, or a similar spelling; AWS distinguishes upper and lower case.

    SQS developer guide, "Amazon SQS standard queue quotas", "Queue tags".
    """
    ours, given = (re.sub(r"[\W_]", "", text.casefold()) for text in (MAX_RATE_TAG, key))
    # The comparison takes time that grows with the length.
    similar = SequenceMatcher(None, ours, given[: 2 * len(ours)], autojunk=False).ratio() >= _SIMILAR
    return similar or key.strip().casefold().startswith(_PREFIX)


def _quoted(text: str) -> str:
    """Return a key or a value of a tag as a text may repeat it."""
    return f"'{text}'" if _PLAIN.fullmatch(text) else f"{len(text)} characters, some of which aren't plain"


def burst(max_rate: float) -> float:
    """Return by how many messages any one second may exceed a max rate: one batch.

    A batch is a fifth of the rate, from 1 to 10 messages. Above 500 messages per second, several lanes deliver at the
    same time, each of them in batches of 10; together they may exceed the rate by 2 %.
    """
    return max(1, min(MAX_BATCH_ENTRIES, int(max_rate / 5)), max_rate / 50)


def share_of(run_id: str, wanted: float, max_rate: float, shares: Shares) -> float | None:
    """Return what a run may send to a queue in messages per second, or None if too little is left.

    In its worst second, a run exceeds its share by its part of the `burst`, and by one message at least. The sum over
    all runs stays within the max rate and its burst, so many small shares take more than their sum.

    Parameters
    ----------
    run_id : str
        The run; it keeps the share that it has.
    wanted : float
        What the run could use, in messages per second.
    max_rate : float
        What the queue declares.
    shares : Shares
        The shares of all runs.
    """
    if run_id in shares.by_run:
        return shares.by_run[run_id].rate
    taken = sum(share.rate + _burst_of(share.rate, max_rate) for share in shares.by_run.values())
    room = max_rate + burst(max_rate) - taken
    share = min(wanted, _rounded(room - 1), _rounded(room / (1 + burst(max_rate) / max_rate)))
    return None if share < SMALLEST_SHARE - _ROUNDING else share


def nothing_left(queue: QueueRef, max_rate: float, shares: Shares) -> RejectedError:
    """Return the error that names the runs which have a queue's shares."""
    holders = " and ".join(f"{display_name(share.execution_arn)} ({share.rate:g})" for share in shares.by_run.values())
    left = max(0.0, _rounded(max_rate - sum(share.rate for share in shares.by_run.values())))
    # What would be left if the others had asked for as little as they can.
    least = {run: share.model_copy(update={"rate": SMALLEST_SHARE}) for run, share in shares.by_run.items()}
    helps = share_of("", SMALLEST_SHARE, max_rate, Shares(by_run=least)) is not None
    return RejectedError(
        f"{queue.name} accepts {_per_second(max_rate)} in all (its tag {MAX_RATE_TAG}), and other runs have reserved "
        f"shares of it: {holders}. What is left ({left:g}) is too little for another run, because a run may send a "
        "message more in any second than its share. Wait until one of these runs ends, or stop one"
        f"{' and start it again with a lower rate' if helps else ''}."
    )


def less_than_wanted(limit: MaxRate, wanted: float) -> str | None:
    """Return a sentence on a share that is smaller than what the run could use, in messages per second; None if not."""
    if limit.share >= min(wanted, limit.max_rate):
        return None
    return (
        f"{limit.queue.name} accepts {_per_second(limit.max_rate)} in all (its tag {MAX_RATE_TAG}), and other runs had "
        f"reserved shares of it, so this run kept to {limit.share:g}."
    )


def _per_second(rate: float) -> str:
    return f"{rate:g} message{'' if rate == 1 else 's'} per second"


def _rounded(rate: float) -> float:
    """Return a rate without what dividing and multiplying adds or takes away."""
    return math.floor(rate * 1e6 + 1e-3) / 1e6


def _burst_of(share: float, max_rate: float) -> float:
    return max(1.0, burst(max_rate) * share / max_rate)
