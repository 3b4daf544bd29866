"""Counts while a lane works.

Used by the lane; the numbers leave it as a `SliceResult`.
"""

from __future__ import annotations

from collections import Counter

from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Verdict
from redrive.domain.moving.results import Counts, SliceResult


class LaneCounts:
    """What a lane has done so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._quarantine_reasons: Counter[str] = Counter()
        self._skip_reasons: Counter[str] = Counter()
        self._failure_codes: Counter[str] = Counter()
        self._without_contract = 0
        self._duplicates_possible = 0
        # Ids of messages given back and not received again since.
        self._released: set[str] = set()
        self._calls: Counter[str] = Counter()
        self._sending_since = float("inf")
        self._sending_until = 0.0

    def called(self, kind: str) -> None:
        """Count a request."""
        self._calls[kind] += 1

    def throttled_send(self, now: float, until: float) -> None:
        """Take note of a batch that left at `now`; the rate allows the next one at `until`."""
        self._sending_since = min(self._sending_since, now)
        self._sending_until = until

    def accepted(self, verdict: Verdict | None) -> None:
        """Count a message that its destination accepted."""
        match verdict:
            case Redrive():
                self._counts["foreign"] += verdict.foreign
                self._counts["redriven"] += 1
                self._counts["repaired"] += verdict.repaired
                self._without_contract += verdict.contract is None
            case Quarantine():
                self._counts["foreign"] += verdict.foreign
                self._counts["quarantined"] += 1
                self._quarantine_reasons[verdict.reason] += 1

    def skipped(self, reason: str) -> None:
        """Count a message that stays in the queue."""
        self._counts["skipped"] += 1
        self._counts["bounced"] += reason == Reason.CAME_BACK
        self._skip_reasons[reason] += 1

    def refused(self, code: str) -> None:
        """Count a message that its destination refused."""
        self._counts["failed"] += 1
        self._failure_codes[code] += 1

    def released(self, message_id: str) -> None:
        """Count a message that was given back without having been moved."""
        self._released.add(message_id)

    def received(self, message_id: str) -> None:
        """Take note that a message is in hand, perhaps one that was given back before."""
        self._released.discard(message_id)

    def possible_duplicate(self) -> None:
        """Count a message that may arrive twice."""
        self._duplicates_possible += 1

    def result(self, *, drained: bool, stopped: bool) -> SliceResult:
        """Return the numbers so far."""
        seconds = round(self._sending_until - self._sending_since, 3) if self._counts["redriven"] else 0.0
        return SliceResult(
            counts=Counts(released=len(self._released), **self._counts),
            quarantine_reasons=dict(self._quarantine_reasons),
            skip_reasons=dict(self._skip_reasons),
            failure_codes=dict(self._failure_codes),
            without_contract=self._without_contract,
            duplicates_possible=self._duplicates_possible,
            calls=dict(self._calls),
            seconds=seconds,
            drained=drained,
            stopped=stopped,
        )
