"""The judge of the fault suite notices each violation, and nothing else."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from tests.faults.judge import Evidence, Observation, judge
from tests.faults.ledger import Copy, Depth
from tests.faults.messages import Fate, Message
from tests.faults.schedules import Fault, Kind, Scenario, Schedule

NOISE = Fault("AmazonSQS.SendMessageBatch", 0, 1, Kind.RESET_AFTER)


def messages(number: int, fate: Fate = Fate.REDRIVEN, group: str | None = None, start: int = 0) -> list[Message]:
    return [
        Message(f"fault-1-{n:03}", f'{{"id": "fault-1-{n:03}"}}', {}, fate, n, group)
        for n in range(start, start + number)
    ]


def schedule(sent: Sequence[Message], **changes: Any) -> Schedule:
    fields = {
        "seed": 1,
        "scenario": Scenario.PLAIN,
        "fifo": any(message.group for message in sent),
        "messages": tuple(sent),
        "options": {},
        "faults": (NOISE,),
    }
    return Schedule(**fields | changes)


def copies(found: Sequence[Message]) -> list[Copy]:
    return [Copy(message.id, message.body, message.attributes, message.group) for message in found]


def report(redriven: int = 0, **changes: Any) -> dict[str, Any]:
    counts = {"redriven": redriven, "quarantined": 0, "skipped": 0, "failed": 0, "remaining": 0}
    made = {
        "status": "SUCCEEDED",
        "reason": None,
        "duplicatesPossible": 0,
        "quarantineReasons": {},
        "skipReasons": {},
        "failureCodes": {},
    }
    return made | changes | {"counts": counts | changes.get("counts", {})}


def observed(said: dict[str, Any] | None, delivered: Sequence[Copy] = (), **changes: Any) -> Observation:
    fields = {
        "options": {},
        "execution": {"status": "SUCCEEDED"},
        "report": said,
        "delivered": delivered,
        "quarantined": (),
        "depth": Depth(0, 0, 0),
        "depth_later": Depth(0, 0, 0),
    }
    return Observation(**fields | changes)


def kinds(played: Schedule, *seen: Observation, remaining: Sequence[Copy] = ()) -> set[str]:
    return {violation.split(":", 1)[0] for violation in judge(Evidence(played, seen, remaining))}


def test_a_run_that_moved_everything_and_says_so_holds():
    sent = messages(3)
    assert kinds(schedule(sent), observed(report(3), copies(sent))) == set()


def test_a_message_that_is_nowhere_is_lost():
    sent = messages(3)
    assert "lost" in kinds(schedule(sent), observed(report(3), copies(sent[:2])))


def test_what_waits_behind_an_invisible_message_is_not_lost():
    sent = messages(3, group="a")
    said = report(status="FAILED", reason="broken", counts={"remaining": 3})
    seen = observed(said, execution={"status": "FAILED"}, depth_later=Depth(2, 1, 0))
    assert kinds(schedule(sent), seen) == {"invisible"}


@pytest.mark.parametrize(
    "change",
    [
        {"body": '{"id": "fault-1-000", "more": 1}'},
        {"attributes": {"new": {"DataType": "String", "StringValue": "x"}}},
        {"group": "other"},
        {"id": "fault-1-999"},
    ],
)
def test_a_changed_message_is_altered(change: dict):
    sent = messages(1)
    found = [dataclasses.replace(copy, **change) for copy in copies(sent)]
    assert "altered" in kinds(schedule(sent), observed(report(1), found))


def test_the_redrives_own_attribute_alters_nothing():
    sent = messages(1)
    ours = {"redrive": {"DataType": "String", "StringValue": "{}"}}
    found = [dataclasses.replace(copy, attributes=ours) for copy in copies(sent)]
    assert kinds(schedule(sent), observed(report(1), found)) == set()


@pytest.mark.parametrize(("possible", "violated"), [(0, True), (1, False)])
def test_duplicates_are_no_more_than_reported(possible: int, violated: bool):
    sent = messages(2)
    said = report(2, duplicatesPossible=possible)
    assert ("duplicates" in kinds(schedule(sent), observed(said, copies([*sent, sent[0]])))) == violated


def test_a_message_that_was_sent_and_not_deleted_is_a_duplicate():
    sent = messages(2)
    seen = observed(report(2), copies(sent), depth_later=Depth(1, 0, 0))
    assert {"duplicates", "status"} <= kinds(schedule(sent), seen, remaining=copies(sent[:1]))


def test_a_group_that_arrives_in_another_order_is_reordered():
    sent = messages(3, group="a")
    assert "order" in kinds(schedule(sent), observed(report(3), copies([sent[1], sent[0], sent[2]])))


def test_groups_may_arrive_interleaved():
    one, other = messages(2, group="a"), messages(2, group="b", start=2)
    arrived = copies([other[0], one[0], other[1], one[1]])
    assert kinds(schedule([*one, *other]), observed(report(4), arrived)) == set()


def test_a_group_has_an_order_in_each_of_its_source_queues():
    one, other = messages(2, group="a")
    sent = [one, dataclasses.replace(other, source=1)]
    assert kinds(schedule(sent), observed(report(2), copies(sent[::-1]))) == set()


def test_nothing_overtakes_what_stays_in_its_group():
    sent = messages(1, Fate.INVALID, "a") + messages(2, group="a", start=1)
    seen = observed(report(2, counts={"skipped": 1, "remaining": 1}), copies(sent[1:]), depth_later=Depth(1, 0, 0))
    assert "order" in kinds(schedule(sent, scenario=Scenario.LEAVE), seen, remaining=copies(sent[:1]))


def test_what_waits_behind_a_message_that_stays_may_stay():
    sent = messages(1, Fate.INVALID, "a") + messages(2, group="a", start=1)
    said = report(counts={"skipped": 3, "remaining": 3}, skipReasons={"invalid-body": 1, "group-waits": 2})
    seen = observed(said, depth_later=Depth(3, 0, 0))
    assert kinds(schedule(sent, scenario=Scenario.LEAVE), seen, remaining=copies(sent)) == set()


def test_succeeded_is_untrue_while_something_movable_is_left():
    sent = messages(3)
    seen = observed(report(2, counts={"remaining": 1}), copies(sent[:2]), depth_later=Depth(1, 0, 0))
    assert "status" in kinds(schedule(sent), seen, remaining=copies(sent[2:]))


def test_an_incomplete_run_that_says_why_is_true():
    sent = messages(3)
    said = report(2, counts={"remaining": 1}, status="INCOMPLETE", reason="one is left")
    seen = observed(said, copies(sent[:2]), depth_later=Depth(1, 0, 0))
    assert kinds(schedule(sent), seen, remaining=copies(sent[2:])) == set()


@pytest.mark.parametrize("status", ["DRY_RUN", "REJECTED"])
def test_a_run_that_says_it_moved_nothing_moved_nothing(status: str):
    sent = messages(1)
    said = report(1, status=status, reason="why")
    execution = {"status": "FAILED" if status == "REJECTED" else "SUCCEEDED"}
    assert "status" in kinds(
        schedule(sent, scenario=Scenario.DRY_RUN), observed(said, copies(sent), execution=execution)
    )


def test_execution_and_report_agree():
    sent = messages(1)
    assert "status" in kinds(schedule(sent), observed(report(1), copies(sent), execution={"status": "FAILED"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": {"redriven": 2}},
        {"counts": {"quarantined": 1}, "quarantineReasons": {"invalid-body": 1}},
        {"counts": {"remaining": 4}},
        {"counts": {"skipped": 1}},
        {"counts": {"failed": 1}},
        {"counts": {"seen": 4, "released": 0}},
    ],
)
def test_counts_that_the_ledger_does_not_confirm_are_untrue(changes: dict):
    sent = messages(3)
    assert "counts" in kinds(schedule(sent), observed(report(3, **changes), copies(sent)))


@pytest.mark.parametrize(("uncounted", "violated"), [(0, True), (1, True), (2, False)])
def test_what_a_killed_lane_moved_is_counted_or_said_to_be_unaccounted(uncounted: int, violated: bool):
    sent = messages(3)
    said = report(1, unaccounted=uncounted)
    assert ("counts" in kinds(schedule(sent), observed(said, copies(sent)))) == violated


def test_no_more_is_reported_than_arrived_even_if_some_is_unaccounted():
    sent = messages(1)
    assert "counts" in kinds(schedule(sent), observed(report(2, unaccounted=5), copies(sent)))


def test_without_faults_nothing_is_uncertain():
    sent = messages(1)
    said = report(1, duplicatesPossible=5)
    assert kinds(schedule(sent, faults=()), observed(said, copies(sent))) == {"counts"}


def test_messages_must_not_stay_invisible():
    sent = messages(1)
    said = report(status="FAILED", reason="broken", counts={"remaining": 1})
    seen = observed(said, execution={"status": "FAILED"}, depth_later=Depth(0, 1, 0))
    assert kinds(schedule(sent), seen) == {"invisible"}


@pytest.mark.parametrize(("uncounted", "violated"), [(0, True), (1, True), (2, False)])
def test_a_limit_is_reached_with_what_a_killed_lane_may_have_moved(uncounted: int, violated: bool):
    sent = messages(3)
    played = schedule(sent, options={"maxMessages": 3})
    seen = observed(report(1, unaccounted=uncounted), copies(sent[:1]), options={"maxMessages": 3})
    assert ("status" in kinds(played, seen, remaining=copies(sent[1:]))) == violated


@pytest.mark.parametrize(("most", "violated"), [(1, True), (2, False)])
def test_no_more_than_max_messages_leave_the_queue(most: int, violated: bool):
    sent = messages(3)
    seen = observed(
        report(2, counts={"remaining": 1}),
        copies(sent[:2]),
        options={"maxMessages": most},
        depth_later=Depth(1, 0, 0),
    )
    played = schedule(sent, scenario=Scenario.MAX_MESSAGES)
    assert ("limit" in kinds(played, seen, remaining=copies(sent[2:]))) == violated


def test_a_second_run_without_faults_moves_what_the_first_one_left():
    sent = messages(2)
    first = observed(None, execution={"status": "ABORTED"}, depth_later=Depth(2, 0, 0))
    assert kinds(schedule(sent), first, observed(report(2), copies(sent))) == set()
    later = observed(report(1), copies(sent[:1]), depth_later=Depth(1, 0, 0))
    assert kinds(schedule(sent), first, later, remaining=copies(sent[1:])) == {"follow-up"}
