"""The runs table: one run at a time per queue, and checkpoints that survive a lane's failure."""

import base64
import random
import uuid
from collections.abc import Iterator

import boto3
import pytest

from redrive.adapters.run_table import RunTable
from redrive.domain.automatic.limits import Record
from redrive.domain.errors import LockLostError
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from tests.support import factories
from tests.support.moto_cloud import moto_cloud

FIRST = factories.plan()
SECOND = factories.plan(run_id="run-2", execution_arn="arn:aws:states:us-east-1:123456789012:execution:redrive:run-2")
ELSEWHERE = factories.plan(run_id="run-2", dlq=factories.queue("invoices-dlq"))


@pytest.fixture
def table() -> Iterator[RunTable]:
    with moto_cloud() as cloud:
        yield RunTable(cloud.run_table())


def held(number: int, handle: str = "h", reason: str = "came-back") -> list[HeldRecord]:
    return [HeldRecord(f"m-{n}", f"{handle}-{n}", reason, failed=False) for n in range(number)]


# The lock


def test_a_free_queue_can_be_locked(table):
    assert table.lock(FIRST) is None


def test_a_second_run_learns_which_execution_holds_the_lock(table):
    table.lock(FIRST)
    assert table.lock(SECOND) == FIRST.execution_arn


def test_a_run_that_locks_again_keeps_its_lock(table):
    table.lock(FIRST)
    assert table.lock(FIRST) is None


def test_runs_on_different_queues_do_not_block_each_other(table):
    table.lock(FIRST)
    assert table.lock(ELSEWHERE) is None


def test_the_lock_of_a_dead_run_can_be_taken_over(table):
    table.lock(FIRST)
    assert table.lock(SECOND, instead_of=FIRST.execution_arn) is None
    assert table.lock(FIRST) == SECOND.execution_arn


def test_a_lock_is_taken_over_only_from_the_given_execution(table):
    table.lock(FIRST)
    assert table.lock(SECOND, instead_of="arn:another") == FIRST.execution_arn


def test_a_run_releases_its_lock(table):
    table.lock(FIRST)
    table.unlock(FIRST)
    assert table.lock(SECOND) is None


def test_a_run_does_not_release_a_lock_that_another_run_took_over(table):
    table.lock(FIRST)
    table.lock(SECOND, instead_of=FIRST.execution_arn)
    table.unlock(FIRST)
    assert table.lock(FIRST) == SECOND.execution_arn


def test_releasing_a_free_lock_is_not_an_error(table):
    table.unlock(FIRST)
    assert table.lock(FIRST) is None


def test_a_run_that_holds_the_lock_continues(table):
    table.lock(FIRST)
    assert table.wants_stop(FIRST) is False


def test_an_operator_stops_the_run_that_holds_the_lock(table):
    table.lock(FIRST)
    assert table.ask_to_stop(FIRST.dlq.arn) == FIRST.run_id
    assert table.wants_stop(FIRST) is True


def test_there_is_nothing_to_stop_on_a_free_queue(table):
    assert table.ask_to_stop(FIRST.dlq.arn) is None
    assert table.lock(FIRST) is None  # the request created no lock


def test_a_stop_request_does_not_affect_the_next_run(table):
    table.lock(FIRST)
    table.ask_to_stop(FIRST.dlq.arn)
    table.unlock(FIRST)
    table.lock(SECOND)
    assert table.wants_stop(SECOND) is False


@pytest.mark.parametrize("taken", [False, True])
def test_a_run_without_the_lock_must_not_move_messages(table, taken):
    if taken:
        table.lock(SECOND)
    with pytest.raises(LockLostError, match="Expected the run run-1 to hold the lock of orders-dlq"):
        table.wants_stop(FIRST)


# Metrics


def test_a_steps_counts_can_be_claimed_only_once(table):
    assert [table.claim_metrics("run-1", step) for step in ("round-1", "round-1", "round-2")] == [
        True,
        False,
        True,
    ]
    assert table.claim_metrics("run-2", "round-1")


# Lanes


def test_the_first_attempt_at_a_slice_finds_no_checkpoint(table):
    assert table.interrupted(FIRST, factories.work()) is None


def test_a_retry_finds_the_checkpoint_of_the_previous_attempt(table):
    result = SliceResult(counts=Counts(redriven=7), skip_reasons={"came-back": 1}, calls={"Send": 2}, seconds=3.5)
    table.checkpoint(FIRST, factories.work(), result, in_hand=0)
    assert table.interrupted(FIRST, factories.work()) == result


def test_messages_in_hand_of_a_failed_attempt_are_possible_duplicates(table):
    result = SliceResult(counts=Counts(redriven=7), duplicates_possible=3)
    table.checkpoint(FIRST, factories.work(), result, in_hand=20)
    assert table.interrupted(FIRST, factories.work()).duplicates_possible == 23


@pytest.mark.parametrize("other", [factories.work(round=1), factories.work(lane=1)])
def test_the_checkpoint_of_another_round_or_lane_is_ignored(table, other):
    table.checkpoint(FIRST, other, SliceResult(counts=Counts(redriven=7)), in_hand=20)
    assert table.interrupted(FIRST, factories.work()) is None


def test_checkpoints_of_an_interrupted_round_are_found_for_each_lane(table):
    for lane, redriven in enumerate((5, 6)):
        result = SliceResult(counts=Counts(redriven=redriven))
        table.checkpoint(FIRST, factories.work(lane=lane, round=3), result, in_hand=0)
    table.checkpoint(FIRST, factories.work(lane=2, round=2), SliceResult(counts=Counts(redriven=99)), in_hand=0)
    table.checkpoint(SECOND, factories.work(lane=3, round=3), SliceResult(counts=Counts(redriven=99)), in_hand=0)
    assert [result.counts.redriven for result in table.unfinished(FIRST, 3)] == [5, 6]


def test_messages_in_hand_of_an_interrupted_round_are_possible_duplicates(table):
    table.checkpoint(FIRST, factories.work(), SliceResult(counts=Counts(redriven=5)), in_hand=20)
    assert sum(result.duplicates_possible for result in table.unfinished(FIRST, 0)) == 20


# Messages kept invisible


def test_messages_kept_invisible_are_found_by_their_run(table):
    table.record_held(FIRST, factories.work(), held(3))
    table.record_held(SECOND, factories.work(), [HeldRecord("other", "h", "x", failed=True)])
    assert table.held(FIRST) == held(3)


def test_more_messages_than_fit_in_one_item_are_all_found(table):
    table.record_held(FIRST, factories.work(), held(1203))
    assert sorted(table.held(FIRST), key=lambda record: int(record.message_id[2:])) == held(1203)


def test_a_full_item_of_incompressible_handles_fits_in_dynamodb(table):
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
    table.record_held(FIRST, factories.work(), records)
    assert len(table.held(FIRST)) == 500


def test_messages_of_several_heartbeats_lanes_and_rounds_are_all_found(table):
    for number, (lane, round_) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        record = HeldRecord(f"m-{number}", "h", "came-back", failed=False)
        table.record_held(FIRST, factories.work(lane=lane, round=round_), [record])
    assert {record.message_id for record in table.held(FIRST)} == {"m-0", "m-1", "m-2", "m-3"}


def test_the_latest_handle_of_a_message_is_found(table):
    for round_ in (0, 1):
        table.record_held(FIRST, factories.work(round=round_), held(1, handle=f"round{round_}"))
    assert [record.receipt_handle for record in table.held(FIRST)] == ["round1-0"]


def test_the_latest_handle_is_found_if_another_lane_held_the_message_before(table):
    table.record_held(FIRST, factories.work(lane=5, round=1), held(1, handle="old"))
    table.record_held(FIRST, factories.work(lane=0, round=9), held(1, handle="new"))
    assert [record.receipt_handle for record in table.held(FIRST)] == ["new-0"]


# Messages sent but possibly not deleted


def test_undeleted_messages_are_found_by_every_later_slice(table):
    table.record_undeleted(FIRST, factories.work(lane=0), ["a", "b"])
    table.record_undeleted(FIRST, factories.work(lane=1), ["c"])
    table.record_undeleted(SECOND, factories.work(), ["d"])
    assert sorted(table.undeleted(FIRST)) == ["a", "b", "c"]


def test_nothing_is_recorded_if_everything_was_deleted(table):
    table.record_undeleted(FIRST, factories.work(), [])
    assert table.undeleted(FIRST) == []


def test_every_item_in_the_table_expires(table):
    table.lock(FIRST)
    table.checkpoint(FIRST, factories.work(), SliceResult(), in_hand=0)
    table.record_held(FIRST, factories.work(), held(1))
    table.record_undeleted(FIRST, factories.work(), ["a"])
    items = boto3.client("dynamodb").scan(TableName="redrive-runs")["Items"]
    assert len(items) == 4
    assert all(int(item["expiresAt"]["N"]) > factories.STARTED_AT / 1000 for item in items)


# Automatic runs


def test_a_queue_without_automatic_runs_has_an_empty_record(table):
    assert table.automatic(FIRST.dlq.arn) == (Record(), 0)


def test_a_record_is_read_as_written(table):
    record = Record(starts=(1.5, 2.5), in_a_row=2, not_before=99.0, last_run="auto-1", notified_at=3.0)
    assert table.note_automatic(FIRST.dlq.arn, record, 0)
    assert table.automatic(FIRST.dlq.arn) == (record, 1)
    assert table.automatic(ELSEWHERE.dlq.arn) == (Record(), 0)


def test_only_one_of_two_concurrent_writes_of_a_record_succeeds(table):
    assert table.note_automatic(FIRST.dlq.arn, Record(in_a_row=1), 0)
    assert not table.note_automatic(FIRST.dlq.arn, Record(in_a_row=9), 0)
    assert table.automatic(FIRST.dlq.arn) == (Record(in_a_row=1), 1)


def test_only_one_execution_can_claim_a_trigger_and_may_claim_it_again(table):
    assert [table.is_first("event", execution) for execution in ("a", "b", "a")] == [True, False, True]


def test_the_holder_of_a_lock_can_be_read(table):
    assert table.holder(FIRST.dlq.arn) is None
    table.lock(FIRST)
    assert table.holder(FIRST.dlq.arn) == FIRST.execution_arn
