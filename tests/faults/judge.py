"""Judges a schedule after it was played: what the ledger found against what the reports say.

It knows what a message's fate must be, and nothing of how the redrive works. `tests.faults.suite` calls :func:`judge`;
`tests/unit/faults/test_judge.py` shows that it notices each violation.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.ledger import Copy, Depth
from tests.faults.messages import Fate, Message, same_attributes
from tests.faults.schedules import Scenario, Schedule

# Seconds that messages may stay invisible after a run.
INVISIBLE_SECONDS = 45.0
_SUCCEEDS = {"SUCCEEDED", "DRY_RUN", "STOPPED", "INCOMPLETE", "HALTED"}


@dataclass(frozen=True)
class Observation:
    """One run, and what the ledger found after it."""

    #: The input of the execution.
    options: dict[str, Any]
    #: Its description, and the report; None if it ended without one.
    execution: dict[str, Any]
    report: dict[str, Any] | None
    #: What reached destinations and quarantine during the run, in the order of arrival.
    delivered: Sequence[Copy]
    quarantined: Sequence[Copy]
    #: The dead-letter queue right after the run, and when nothing was invisible anymore, INVISIBLE_SECONDS at most.
    depth: Depth
    depth_later: Depth


@dataclass(frozen=True)
class Evidence:
    """A schedule that was played."""

    schedule: Schedule
    observations: Sequence[Observation]
    #: What was in the dead-letter queue at the end.
    remaining: Sequence[Copy]

    @property
    def undisturbed(self) -> bool:
        """Whether nothing happened that the app must cope with."""
        return not self.schedule.faults and self.schedule.stop_at is None


def judge(evidence: Evidence) -> list[str]:
    """Return every violation, as a sentence that starts with its kind."""
    return [
        *_lost(evidence),
        *_altered(evidence),
        *_duplicates(evidence),
        *_reordered(evidence),
        *_first_run(evidence, evidence.observations[0]),
        *(violation for later in evidence.observations[1:] for violation in _follow_up(evidence, later)),
        *_invisible(evidence),
        *_limit(evidence),
    ]


def _delivered(evidence: Evidence) -> list[Copy]:
    return [copy for seen in evidence.observations for copy in seen.delivered]


def _quarantined(evidence: Evidence) -> list[Copy]:
    return [copy for seen in evidence.observations for copy in seen.quarantined]


def _lost(evidence: Evidence) -> Iterator[str]:
    found = {copy.id for copy in [*_delivered(evidence), *_quarantined(evidence), *evidence.remaining]}
    missing = sorted(message.id for message in evidence.schedule.messages if message.id not in found)
    # What is invisible can't be received, and neither can what is behind it in its group.
    hidden = evidence.observations[-1].depth_later.total - len(evidence.remaining)
    if len(missing) > hidden:
        yield f"lost: {len(missing) - hidden} of {', '.join(missing)}"


def _altered(evidence: Evidence) -> Iterator[str]:
    sent = {message.id: message for message in evidence.schedule.messages}
    for place, copies in (
        ("destination", _delivered(evidence)),
        ("quarantine", _quarantined(evidence)),
        ("dead-letter queue", evidence.remaining),
    ):
        for copy in copies:
            message = sent.get(copy.id)
            if message is None:
                yield f"altered: {copy.id} in the {place} was never sent"
            elif not _same(message, copy, place):
                yield f"altered: {copy.id} in the {place}"


def _same(message: Message, copy: Copy, place: str) -> bool:
    if message.payload is not None and place == "destination":
        return bool(json.loads(copy.body) == message.payload)
    same_group = place == "quarantine" or copy.group == message.group
    return copy.body == message.body and same_group and same_attributes(message.attributes, copy.attributes)


def _reports(evidence: Evidence) -> list[dict[str, Any]]:
    return [seen.report for seen in evidence.observations if seen.report is not None]


def _possible(evidence: Evidence) -> int:
    return sum(int(report["duplicatesPossible"]) for report in _reports(evidence))


def _duplicates(evidence: Evidence) -> Iterator[str]:
    copies = Counter(copy.id for copy in [*_delivered(evidence), *_quarantined(evidence), *evidence.remaining])
    twice = sorted(message_id for message_id, number in copies.items() if number > 1)
    if len(_reports(evidence)) < len(evidence.observations):
        # An execution that was stopped from outside, or whose report failed, says nothing.
        return
    if len(twice) > _possible(evidence):
        yield f"duplicates: {len(twice)} ids are in two places, {_possible(evidence)} reported ({', '.join(twice)})"


def _reordered(evidence: Evidence) -> Iterator[str]:
    if not evidence.schedule.fifo:
        return
    sent: dict[str | None, list[Message]] = defaultdict(list)
    for message in evidence.schedule.messages:
        sent[message.group].append(message)
    # The place of each message's first arrival.
    arrived: dict[str, int] = {}
    for place, copy in enumerate(_delivered(evidence)):
        arrived.setdefault(copy.id, place)
    left = {copy.id for copy in _quarantined(evidence)}
    for group, messages in sent.items():
        # Each source queue has an order of its own.
        for source in {message.source for message in messages}:
            places = [arrived[m.id] for m in messages if m.id in arrived and m.source == source]
            if places != sorted(places):
                yield f"order: {group} of source {source} arrived rearranged"
        # Nothing overtakes what stays.
        behind = False
        for message in messages:
            if behind and message.id in arrived:
                yield f"order: {message.id} overtook a message of {group} that stayed"
            behind = behind or (message.id not in arrived and message.id not in left)


def _first_run(evidence: Evidence, seen: Observation) -> Iterator[str]:
    report, status = seen.report, seen.execution["status"]
    if report is None:
        if status == "SUCCEEDED":
            yield "status: the execution succeeded without a report"
        elif evidence.undisturbed:
            yield f"status: the execution {status} without a report"
        return
    yield from _execution(seen, report)
    yield from _status(evidence, seen, report)
    yield from _counts(evidence, seen, report)


def _execution(seen: Observation, report: dict[str, Any]) -> Iterator[str]:
    succeeded = seen.execution["status"] == "SUCCEEDED"
    published = seen.execution.get("error") != "Redrive.NotPublished"
    if published and succeeded != (report["status"] in _SUCCEEDS):
        yield f"status: the execution {seen.execution['status']}, the report says {report['status']}"


def _status(evidence: Evidence, seen: Observation, report: dict[str, Any]) -> Iterator[str]:
    schedule, status = evidence.schedule, report["status"]
    moved = _ids(seen.delivered) | _ids(seen.quarantined)
    if status == "SUCCEEDED":
        yield from _not_done(evidence, seen, moved)
    if status in {"REJECTED", "DRY_RUN"} and moved:
        yield f"status: {status}, but {len(moved)} messages moved"
    if (status == "DRY_RUN") != (schedule.scenario is Scenario.DRY_RUN) and status in {"DRY_RUN", "SUCCEEDED"}:
        yield f"status: {status} for {schedule.scenario}"
    if status == "STOPPED" and schedule.scenario is not Scenario.STOP:
        yield "status: STOPPED, but nobody stopped it"
    if status in {"INCOMPLETE", "FAILED", "REJECTED"} and not report["reason"]:
        yield f"status: {status} without a reason"
    if evidence.undisturbed and status not in {"SUCCEEDED", "DRY_RUN", "INCOMPLETE"}:
        yield f"status: {status} ({report['reason']}) without any fault"


def _not_done(evidence: Evidence, seen: Observation, moved: set[str]) -> Iterator[str]:
    """SUCCEEDED means that nothing is left that the run may move."""
    most = seen.options.get("maxMessages")
    # What a killed lane may have moved counts toward the limit.
    uncounted = int((seen.report or {}).get("unaccounted", 0))
    if most is not None and len(moved) + uncounted >= most:
        return
    left = [message.id for message in _movable(evidence.schedule) if message.id not in moved]
    if left:
        yield f"status: SUCCEEDED, but {len(left)} movable messages are left ({', '.join(left)})"
    stays = len(evidence.schedule.messages) - len(_movable(evidence.schedule))
    if not left and seen.depth_later.total > stays:
        extra = seen.depth_later.total - stays
        yield f"status: SUCCEEDED, but {extra} messages are still in the queue after they moved"


def _movable(schedule: Schedule) -> list[Message]:
    """Return what a run without a limit moves: all but the messages that stay, and those behind them in their group."""
    blocked: set[str] = set()
    movable = []
    for message in schedule.messages:
        if message.group in blocked:
            continue
        if not message.fate.stays:
            movable.append(message)
        elif message.group is not None:
            blocked.add(message.group)
    return movable


def _counts(evidence: Evidence, seen: Observation, report: dict[str, Any]) -> Iterator[str]:
    counts = report["counts"]
    # What the report itself calls uncertain.
    slack = int(report["duplicatesPossible"])
    if evidence.undisturbed and slack:
        yield f"counts: {slack} duplicates possible without any fault"
    # What a killed lane moved and didn't count.
    uncounted = int(report.get("unaccounted", 0))
    if evidence.undisturbed and uncounted:
        yield f"counts: {uncounted} unaccounted without any fault"
    for name, copies in (("redriven", seen.delivered), ("quarantined", seen.quarantined)):
        if not -slack <= len(_ids(copies)) - counts[name] <= slack + uncounted:
            yield f"counts: {counts[name]} {name} reported, {len(_ids(copies))} arrived, {slack} uncertain"
    if abs(counts["remaining"] - seen.depth_later.total) > slack:
        yield f"counts: {counts['remaining']} remaining reported, {seen.depth_later.total} are, {slack} uncertain"
    yield from _sums(report, counts)
    if evidence.undisturbed and evidence.schedule.scenario is not Scenario.DRY_RUN:
        stays = len(evidence.schedule.messages) - len(_movable(evidence.schedule))
        expected = {"redriven": _fated(evidence, Fate.REDRIVEN), "quarantined": _fated(evidence, Fate.QUARANTINED)}
        # SQS doesn't return what is behind a held message of its group, so a FIFO run may not see all that stays.
        skipped = counts["skipped"] <= stays if evidence.schedule.fifo else counts["skipped"] == stays
        if "maxMessages" not in seen.options and not (
            skipped and all(counts[name] == number for name, number in expected.items())
        ):
            yield f"counts: expected {expected} and {stays} skipped, found {counts}"


def _fated(evidence: Evidence, fate: Fate) -> int:
    return sum(message.fate is fate for message in _movable(evidence.schedule))


def _sums(report: dict[str, Any], counts: dict[str, int]) -> Iterator[str]:
    for name, parts in (("quarantined", "quarantineReasons"), ("skipped", "skipReasons"), ("failed", "failureCodes")):
        if sum(report[parts].values()) != counts[name]:
            yield f"counts: {counts[name]} {name}, but {report[parts]}"
    if "seen" in counts:
        ends = ("redriven", "quarantined", "skipped", "failed", "released")
        if counts["seen"] != sum(counts[end] for end in ends):
            yield f"counts: don't add up: {counts}"


def _follow_up(evidence: Evidence, seen: Observation) -> Iterator[str]:
    """A run without faults moves whatever the one before it left."""
    report = seen.report or {"status": seen.execution["status"], "reason": seen.execution.get("cause")}
    status, stays = report["status"], len(evidence.schedule.messages) - len(_movable(evidence.schedule))
    # What stays is a reason to be incomplete, and an empty queue doesn't say where its messages belong.
    excused = {"SUCCEEDED"} | ({"INCOMPLETE"} if stays else set()) | ({"REJECTED"} if not seen.depth.total else set())
    if status not in excused:
        yield f"follow-up: {status}: {report['reason']}"
    moved = _ids(_delivered(evidence)) | _ids(_quarantined(evidence))
    left = [message.id for message in _movable(evidence.schedule) if message.id not in moved]
    if left:
        yield f"follow-up: {len(left)} movable messages are left ({', '.join(left)})"


def _invisible(evidence: Evidence) -> Iterator[str]:
    for number, seen in enumerate(evidence.observations, 1):
        if seen.depth_later.in_flight:
            yield f"invisible: {seen.depth_later.in_flight} messages {INVISIBLE_SECONDS:.0f} s after run {number}"


def _limit(evidence: Evidence) -> Iterator[str]:
    seen = evidence.observations[0]
    most = seen.options.get("maxMessages")
    if most is None:
        return
    moved = len(_ids(seen.delivered) | _ids(seen.quarantined))
    gone = len(evidence.schedule.messages) - seen.depth_later.total
    if max(moved, gone) > most:
        yield f"limit: {moved} messages moved and {gone} left the queue, {most} allowed"


def _ids(copies: Iterable[Copy]) -> set[str]:
    return {copy.id for copy in copies}
