"""The lanes' part of the runs table: whose a slice is, how far it is, and what others must know of it."""

import base64
import random
import uuid
from collections.abc import Iterator

import boto3
import pytest

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.run_table import RunTable
from redrive.domain.errors import LockLostError, SupersededError
from redrive.domain.moving.results import Counts, LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunPlan
from redrive.workflow.ports import Checkpoint, Taken
from tests.support import factories
from tests.support.moto_cloud import moto_cloud

FIRST = factories.plan()
SECOND = factories.plan(run_id="run-2", execution_arn="arn:aws:states:us-east-1:123456789012:execution:redrive:run-2")
WORK = factories.work()
RESULT = SliceResult(
    counts=Counts(redriven=7), skip_reasons={"came-back": 1}, duplicates_possible=3, calls={"Send": 2}, seconds=3.5
)


@pytest.fixture
def name() -> Iterator[str]:
    with moto_cloud() as cloud:
        yield cloud.run_table()


@pytest.fixture
def checkpoints(name) -> Checkpoints:
    return Checkpoints(name)


def reach(
    checkpoints: Checkpoints,
    result: SliceResult = RESULT,
    *,
    plan: RunPlan = FIRST,
    work: LaneWork = WORK,
    attempt: str = "first",
    in_hand: int = 0,
    granted: int = 0,
    finished: bool = False,
) -> None:
    checkpoints.take(plan, work, attempt)
    checkpoints.checkpoint(plan, work, attempt, Checkpoint(result, in_hand, granted, finished))


def held(number: int, handle: str = "h", reason: str = "came-back") -> list[HeldRecord]:
    return [HeldRecord(f"m-{n}", f"{handle}-{n}", reason, failed=False) for n in range(number)]


# Attempts


def test_the_first_attempt_at_a_slice_finds_no_checkpoint(checkpoints):
    assert checkpoints.take(FIRST, WORK, "first") == Taken()


def test_an_attempt_that_was_killed_before_its_first_checkpoint_leaves_none(checkpoints):
    checkpoints.take(FIRST, WORK, "first")
    assert checkpoints.take(FIRST, WORK, "second") == Taken()
    assert checkpoints.unfinished(FIRST, 0) == []


def test_a_retry_finds_the_checkpoint_of_the_attempt_before(checkpoints):
    reach(checkpoints, granted=7)
    assert checkpoints.take(FIRST, WORK, "second") == Taken(RESULT, interrupted=True)


def test_a_retry_finds_the_result_of_an_attempt_whose_answer_was_lost(checkpoints):
    reach(checkpoints, in_hand=20, granted=99, finished=True)
    assert checkpoints.take(FIRST, WORK, "second") == Taken(RESULT, finished=True)


def test_what_a_killed_attempt_had_in_hand_may_be_duplicated_and_what_it_was_granted_may_have_moved(checkpoints):
    reach(checkpoints, in_hand=20, granted=50)
    before = checkpoints.take(FIRST, WORK, "second").before
    assert (before.duplicates_possible, before.unaccounted) == (23, 43)


def test_an_attempt_whose_place_is_taken_writes_no_more_checkpoints(checkpoints):
    reach(checkpoints)
    checkpoints.take(FIRST, WORK, "second")
    with pytest.raises(SupersededError):
        checkpoints.checkpoint(FIRST, WORK, "first", Checkpoint(RESULT, 0, 0, finished=False))
    assert issubclass(SupersededError, LockLostError)
    checkpoints.checkpoint(FIRST, WORK, "second", Checkpoint(RESULT, 0, 0, finished=False))


@pytest.mark.parametrize("other", [factories.work(round=1), factories.work(lane=1)])
def test_the_checkpoint_of_another_round_or_lane_is_ignored(checkpoints, other):
    reach(checkpoints, work=other)
    assert checkpoints.take(FIRST, WORK, "second") == Taken()


def test_the_clean_up_takes_the_place_of_the_lanes_that_have_not_finished(checkpoints):
    reach(checkpoints)
    reach(checkpoints, work=factories.work(lane=1), finished=True)
    assert checkpoints.fence(FIRST, 0)
    with pytest.raises(SupersededError):
        checkpoints.checkpoint(FIRST, WORK, "first", Checkpoint(RESULT, 0, 0, finished=False))
    assert [result.counts.redriven for result in checkpoints.unfinished(FIRST, 0)] == [7, 7]


def test_there_is_nobody_to_fence_after_a_round_that_went_well(checkpoints):
    reach(checkpoints, finished=True)
    assert not checkpoints.fence(FIRST, 0)
    assert not checkpoints.fence(FIRST, 1)


def test_checkpoints_of_an_interrupted_round_are_found_for_each_lane(checkpoints):
    for lane, redriven in enumerate((5, 6)):
        work = factories.work(lane=lane, round=3)
        reach(checkpoints, SliceResult(counts=Counts(redriven=redriven)), work=work, in_hand=10)
    reach(checkpoints, work=factories.work(lane=2, round=2))
    reach(checkpoints, plan=SECOND, work=factories.work(lane=3, round=3))
    found = checkpoints.unfinished(FIRST, 3)
    assert [(result.counts.redriven, result.duplicates_possible) for result in found] == [(5, 10), (6, 10)]


# Messages kept invisible


def test_messages_kept_invisible_are_found_by_their_run(checkpoints):
    checkpoints.record_held(FIRST, WORK, held(3))
    checkpoints.record_held(SECOND, WORK, [HeldRecord("other", "h", "x", failed=True)])
    assert checkpoints.held("run-1") == held(3)


def test_more_messages_than_fit_in_one_item_are_all_found(checkpoints):
    checkpoints.record_held(FIRST, WORK, held(1203))
    assert sorted(checkpoints.held("run-1"), key=lambda record: int(record.message_id[2:])) == held(1203)


def test_a_full_item_of_incompressible_handles_fits_in_dynamodb(checkpoints):
    # Receipt handles have about 400 base64 characters or a few more; an item can hold 400 KB.
    randomness = random.Random(1)
    records = [
        HeldRecord(
            str(uuid.UUID(int=randomness.getrandbits(128))),
            base64.b64encode(randomness.randbytes(375)).decode(),
            "x",
            True,
        )
        for _ in range(500)
    ]
    checkpoints.record_held(FIRST, WORK, records)
    assert len(checkpoints.held("run-1")) == 500


def test_messages_of_several_heartbeats_lanes_and_rounds_are_all_found(checkpoints):
    for number, (lane, round_) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        record = HeldRecord(f"m-{number}", "h", "came-back", failed=False)
        checkpoints.record_held(FIRST, factories.work(lane=lane, round=round_), [record])
    assert {record.message_id for record in checkpoints.held("run-1")} == {"m-0", "m-1", "m-2", "m-3"}


def test_the_latest_handle_is_found_if_another_lane_held_the_message_before(checkpoints):
    checkpoints.record_held(FIRST, factories.work(lane=5, round=1), held(1, handle="old"))
    checkpoints.record_held(FIRST, factories.work(lane=0, round=9), held(1, handle="new"))
    assert [record.receipt_handle for record in checkpoints.held("run-1")] == ["new-0"]


# Messages sent but possibly not deleted


def test_undeleted_messages_are_found_by_every_later_slice_and_run_on_the_queue(checkpoints):
    checkpoints.record_sent(FIRST, factories.work(lane=0), ["a", "b"])
    checkpoints.record_sent(FIRST, factories.work(lane=1), ["c"])
    elsewhere = factories.plan(dlq=factories.queue("invoices-dlq"))
    checkpoints.record_sent(elsewhere, WORK, ["d"])
    assert sorted(checkpoints.undeleted(FIRST)) == sorted(checkpoints.undeleted(SECOND)) == ["a", "b", "c"]


def test_messages_that_were_deleted_later_are_settled_until_they_are_seen_again(checkpoints):
    checkpoints.record_sent(FIRST, WORK, ["a", "b"])
    checkpoints.record_sent(SECOND, WORK, [], ["a"])
    assert checkpoints.undeleted(FIRST) == ["b"]
    checkpoints.record_sent(SECOND, WORK, ["a"])
    assert sorted(checkpoints.undeleted(FIRST)) == ["a", "b"]


def test_a_run_counts_what_it_left_undeleted_unless_its_lanes_have(checkpoints):
    checkpoints.record_sent(FIRST, WORK, ["a", "b", "c"])
    checkpoints.record_sent(FIRST, WORK, [], ["b"])
    checkpoints.record_sent(FIRST, factories.work(lanes=2), ["counted by its lane"])
    checkpoints.record_sent(SECOND, WORK, ["of another run"])
    assert checkpoints.undeleted_uncounted(FIRST) == 2


def test_nothing_is_recorded_if_everything_was_deleted(checkpoints):
    checkpoints.record_sent(FIRST, WORK, [])
    assert checkpoints.undeleted(FIRST) == []


def test_every_item_in_the_table_expires(checkpoints, name):
    RunTable(name).lock(FIRST)
    reach(checkpoints)
    checkpoints.take(FIRST, factories.work(lane=1), "killed at once")
    checkpoints.record_held(FIRST, WORK, held(1))
    checkpoints.record_sent(FIRST, WORK, ["a"])
    items = boto3.client("dynamodb").scan(TableName=name)["Items"]
    assert len(items) == 5
    assert all(int(item["expiresAt"]["N"]) > factories.STARTED_AT / 1000 for item in items)
