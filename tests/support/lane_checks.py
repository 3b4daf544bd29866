"""What must be true of a lane after any schedule, judged from its requests and their answers alone.

Used by the lane's property tests; the evidence is that of `tests.support.lane_player`.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.destinations import Destination
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.retries import MAX_ATTEMPTS
from tests.support.lane_player import VISIBILITY, Evidence
from tests.support.lane_worlds import QUARANTINE, World


def check(world: World, lane: Lane, evidence: Evidence) -> None:
    """Check everything that holds for one lane that started with nothing sent before it."""
    assert lane.in_hand == 0
    assert lane._intake.bytes_in_hand == 0
    check_that_nothing_is_lost(world)
    check_counts(world, lane, evidence)
    check_what_stays(world, lane, evidence)
    check_duplicates(world, lane, evidence)
    check_limits(world, lane, evidence)
    check_order(world, evidence)
    check_end(world, lane, evidence)


def check_that_nothing_is_lost(world: World, deletable: frozenset[str] = frozenset()) -> None:
    """Every message is in the queue, or was delivered and then deleted."""
    sqs = world.sqs
    assert sqs.names == sqs.stored.keys() | sqs.deleted
    assert sqs.deleted <= sqs.copies.keys() | deletable


def check_that_only_skipped_messages_stay(world: World) -> None:
    """Every message that isn't skipped has left, unless it is locked behind a skipped one of its FIFO group."""
    skipped = {name for name, wish in world.wish_of.items() if wish.destination is None}
    locked = {
        name
        for name in world.wish_of
        if (line := world.line_of(name)) is not None
        # The messages of a standard queue come in any order.
        and any(world.line_of(other) == line and (other < name or not world.fifo) for other in skipped)
    }
    assert skipped - locked <= world.sqs.stored.keys() <= skipped | locked


def check_counts(world: World, lane: Lane, evidence: Evidence) -> None:
    """Each message is counted once, as what happened to it."""
    result = lane.result()
    assert set(evidence.accepted.values()) <= {1}
    accepted = [world.wish_of[name] for name in evidence.accepted]
    redriven = [wish for wish in accepted if wish.destination is not QUARANTINE]
    quarantined = [wish.reason for wish in accepted if wish.destination is QUARANTINE]
    assert result.counts.redriven == len(redriven)
    assert result.counts.repaired == sum(wish.repaired for wish in redriven)
    assert result.without_contract == sum(wish.contract is None for wish in redriven)
    assert result.counts.quarantined == len(quarantined)
    assert result.quarantine_reasons == Counter(quarantined)
    failed = {record.message_id: record.reason for record in evidence.records if record.failed}
    skipped = {record.message_id: record.reason for record in evidence.records if not record.failed}
    assert not failed.keys() & skipped.keys()
    assert not evidence.accepted.keys() & (failed.keys() | skipped.keys())
    assert result.counts.failed == len(failed)
    assert result.failure_codes == Counter(failed.values())
    assert result.counts.skipped == len(skipped)
    assert result.skip_reasons == Counter(skipped.values())
    assert result.counts.bounced == sum(reason == Reason.CAME_BACK for reason in skipped.values())
    if world.lost and evidence.stopped_at is not None:
        # Nobody reads the counts of a lane that has lost its place.
        return
    # Adds up to the messages that SQS returned to the lane, each once.
    assert result.counts.all_seen == len(evidence.returned)
    assert result.counts.released == len(evidence.returned - evidence.accepted.keys() - failed.keys() - skipped.keys())


def check_what_stays(world: World, lane: Lane, evidence: Evidence) -> None:
    """What stays has its reason, and can be released or comes back by itself."""
    failed = {record.message_id: record.reason for record in evidence.records if record.failed}
    skipped = {record.message_id: record.reason for record in evidence.records if not record.failed}
    # At its deadline, or if it has lost its place, a lane releases what isn't recorded yet.
    lost = world.lost and evidence.stopped_at is not None
    in_time = not lost and evidence.ended < evidence.started + world.seconds + world.grace
    if in_time:
        assert evidence.refused.items() <= failed.items()
    for name in failed.keys() - evidence.refused.keys():
        assert evidence.attempts[name] >= MAX_ATTEMPTS
    stays = [name for name, reason in (failed | skipped).items() if reason != Reason.GROUP_WAITS]
    blocked = {world.line_of(name) for name in stays}
    for name, reason in skipped.items():
        if reason == Reason.GROUP_WAITS:
            assert world.line_of(name) in blocked - {None}
        else:
            assert (world.wish_of[name].destination, world.wish_of[name].reason) == (None, reason)
    to_skip = {name for name in evidence.taken_in if world.wish_of[name].destination is None}
    waits = {name for name, reason in skipped.items() if reason == Reason.GROUP_WAITS}
    if in_time and not world.fifo:
        assert skipped.keys() - waits == to_skip
    handles = {record.message_id: record.receipt_handle for record in evidence.records}
    for name, stored in world.sqs.stored.items():
        if stored.visible_at > evidence.ended + VISIBILITY:
            assert handles.get(name) == stored.handle, f"{name} stays invisible and nobody can release it"
    undeleted = evidence.accepted.keys() & world.sqs.stored.keys()
    assert undeleted <= lane.undeleted <= evidence.accepted.keys()


def check_duplicates(world: World, lane: Lane, evidence: Evidence) -> None:
    """What may have arrived twice is counted, and what can't have isn't."""
    twice = {name for name, copies in world.sqs.copies.items() if copies > 1}
    assert twice <= evidence.uncertain.keys()
    counted = lane.result().duplicates_possible
    undeleted = evidence.accepted.keys() & world.sqs.stored.keys()
    assert undeleted <= evidence.undeleted
    # What stays is sent again by a later run, too late for a FIFO queue to recognize it.
    uncertain = evidence.uncertain.keys() | (evidence.uncertain_once.keys() - evidence.accepted.keys())
    most = evidence.uncertain.total() + len(evidence.uncertain_once)
    if world.alone:
        # What is still in the queue is counted at the end of the run.
        assert len(uncertain) <= counted <= most
    else:
        # Another lane may have received what was visible after it had been sent.
        assert len(uncertain | evidence.exposed | undeleted) <= counted
        assert counted <= most + len(evidence.deleted_late | evidence.exposed)


def check_limits(world: World, lane: Lane, evidence: Evidence) -> None:
    """Quota, concurrency, messages in hand, and rate are kept."""
    moved = lane.result().counts.moved
    if world.quota is not None:
        assert moved <= world.quota
        assert len(world.sqs.deleted) <= world.quota
    assert evidence.most_in_flight <= world.concurrency
    assert evidence.most_in_hand <= world.in_hand
    check_pace(evidence.sends, world.rate)
    for address, max_rate in world.max_rates.items():
        check_pace([send for send in evidence.sends if send[2].address == address], max_rate)


def check_pace(sends: list[tuple[float, int, Destination]], rate: float) -> None:
    """No second has more than the rate and one batch."""
    batch = max(1, min(10, round(rate / 5)))
    for start, _, _ in sends:
        assert sum(count for at, count, _ in sends if start <= at < start + 1) <= rate + batch + 1e-9


def check_order(world: World, evidence: Evidence) -> None:
    """In a FIFO queue, a group's messages arrive in order, and nothing passes one that stays."""
    if not world.fifo:
        return
    arrived = defaultdict(list)
    for name in world.sqs.copies:
        arrived[world.group_of[name]].append(name)
    for names in arrived.values():
        assert names == sorted(names)
    for record in evidence.records:
        behind = [name for name in evidence.accepted if world.group_of[name] == world.group_of[record.message_id]]
        assert all(name < record.message_id for name in behind)


def check_end(world: World, lane: Lane, evidence: Evidence) -> None:
    """A lane ends for a reason, and says which."""
    result = lane.result()
    assert result.stopped == (evidence.stopped_at is not None)
    if evidence.gave_up is None:
        assert lane.failure is None
        if evidence.ended < evidence.started + world.seconds:
            assert result.drained or result.counts.moved == world.quota
    elif evidence.gave_up[1] not in {"stopped", "deadline"}:
        assert lane.failure is not None
        assert lane.failure[1].code == evidence.gave_up[1]
