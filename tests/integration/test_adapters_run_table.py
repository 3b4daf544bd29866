"""The table of runs: one run at a time on a queue, and notes that outlive a lane."""

import base64
import random
import uuid
from collections.abc import Iterator

import boto3
import pytest

from redrive.adapters.run_table import RunTable
from redrive.domain.automation import Record
from redrive.domain.errors import LockLostError
from redrive.domain.lane import HeldRecord
from redrive.domain.runs import SliceResult
from tests.support import factories
from tests.support.moto_cloud import moto_cloud

FIRST = factories.plan()
SECOND = factories.plan(
    run_id="run-2", execution_arn="arn:aws:states:us-east-1:123456789012:execution:redrive:run-2"
)
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


def test_a_second_run_gets_to_know_who_has_the_queue(table):
    table.lock(FIRST)
    assert table.lock(SECOND) == FIRST.execution_arn


def test_a_run_that_asks_again_keeps_its_lock(table):
    table.lock(FIRST)
    assert table.lock(FIRST) is None


def test_runs_on_different_queues_do_not_meet(table):
    table.lock(FIRST)
    assert table.lock(ELSEWHERE) is None


def test_the_lock_of_a_dead_run_can_be_taken_over(table):
    table.lock(FIRST)
    assert table.lock(SECOND, instead_of=FIRST.execution_arn) is None
    assert table.lock(FIRST) == SECOND.execution_arn


def test_only_the_lock_of_the_run_that_is_known_to_be_dead_is_taken_over(table):
    table.lock(FIRST)
    assert table.lock(SECOND, instead_of="arn:another") == FIRST.execution_arn


def test_a_run_gives_its_lock_back(table):
    table.lock(FIRST)
    table.unlock(FIRST)
    assert table.lock(SECOND) is None


def test_a_run_does_not_give_back_what_another_has_taken_over(table):
    table.lock(FIRST)
    table.lock(SECOND, instead_of=FIRST.execution_arn)
    table.unlock(FIRST)
    assert table.lock(FIRST) == SECOND.execution_arn


def test_giving_back_a_lock_that_nobody_has_is_no_error(table):
    table.unlock(FIRST)
    assert table.lock(FIRST) is None


def test_a_run_with_the_lock_moves_on(table):
    table.lock(FIRST)
    assert table.wants_stop(FIRST) is False


def test_an_operator_stops_the_run_that_has_the_queue(table):
    table.lock(FIRST)
    assert table.ask_to_stop(FIRST.dlq.arn) == FIRST.run_id
    assert table.wants_stop(FIRST) is True


def test_there_is_nothing_to_stop_on_a_free_queue(table):
    assert table.ask_to_stop(FIRST.dlq.arn) is None
    assert table.lock(FIRST) is None  # asking left no lock behind


def test_a_new_run_is_not_stopped_by_what_was_asked_of_the_one_before(table):
    table.lock(FIRST)
    table.ask_to_stop(FIRST.dlq.arn)
    table.unlock(FIRST)
    table.lock(SECOND)
    assert table.wants_stop(SECOND) is False


@pytest.mark.parametrize("taken", [False, True])
def test_a_run_without_the_lock_must_not_move_anything(table, taken):
    if taken:
        table.lock(SECOND)
    with pytest.raises(LockLostError, match="Expected the run run-1 to hold the lock of orders-dlq"):
        table.wants_stop(FIRST)


# Metrics


def test_the_counts_of_a_step_are_claimed_once(table):
    assert [table.claim_metrics("run-1", step) for step in ("round-1", "round-1", "round-2")] == [
        True,
        False,
        True,
    ]
    assert table.claim_metrics("run-2", "round-1")


# Lanes


def test_the_first_attempt_at_a_slice_finds_nothing(table):
    assert table.interrupted(FIRST, factories.work()) is None


def test_another_attempt_finds_what_the_one_before_had_counted(table):
    result = SliceResult(redriven=7, skipped={"came-back": 1}, calls={"Send": 2}, seconds=3.5)
    table.note_progress(FIRST, factories.work(), result, in_hand=0)
    assert table.interrupted(FIRST, factories.work()) == result


def test_what_an_attempt_that_died_had_in_hand_may_be_doubled(table):
    result = SliceResult(redriven=7, duplicates_possible=3)
    table.note_progress(FIRST, factories.work(), result, in_hand=20)
    assert table.interrupted(FIRST, factories.work()).duplicates_possible == 23


@pytest.mark.parametrize("other", [factories.work(round=1), factories.work(lane=1)])
def test_the_notes_of_another_round_or_lane_are_not_this_slices(table, other):
    table.note_progress(FIRST, other, SliceResult(redriven=7), in_hand=20)
    assert table.interrupted(FIRST, factories.work()) is None


def test_what_a_broken_round_had_counted_is_found_lane_by_lane(table):
    for lane, redriven in enumerate((5, 6)):
        table.note_progress(
            FIRST, factories.work(lane=lane, round=3), SliceResult(redriven=redriven), in_hand=0
        )
    table.note_progress(FIRST, factories.work(lane=2, round=2), SliceResult(redriven=99), in_hand=0)
    table.note_progress(SECOND, factories.work(lane=3, round=3), SliceResult(redriven=99), in_hand=0)
    assert [result.redriven for result in table.unfinished(FIRST, 3)] == [5, 6]


def test_what_lanes_of_a_broken_round_had_in_hand_may_be_doubled(table):
    table.note_progress(FIRST, factories.work(), SliceResult(redriven=5), in_hand=20)
    assert sum(result.duplicates_possible for result in table.unfinished(FIRST, 0)) == 20


# Letters kept invisible


def test_letters_kept_invisible_are_found_by_their_run(table):
    table.note_held(FIRST, factories.work(), held(3))
    table.note_held(SECOND, factories.work(), [HeldRecord("other", "h", "x", failed=True)])
    assert table.held(FIRST) == held(3)


def test_more_letters_than_one_item_holds_are_all_found(table):
    table.note_held(FIRST, factories.work(), held(1203))
    assert sorted(table.held(FIRST), key=lambda record: int(record.message_id[2:])) == held(1203)


def test_a_full_item_of_held_letters_fits_into_dynamodb_although_handles_do_not_compress(table):
    # Receipt handles are 400 characters of base64 or a little more; an item holds 400 KB.
    dice = random.Random(1)
    records = [
        HeldRecord(
            str(uuid.UUID(int=dice.getrandbits(128))),
            base64.b64encode(dice.randbytes(375)).decode(),
            "x",
            True,
        )
        for _ in range(500)
    ]
    table.note_held(FIRST, factories.work(), records)
    assert len(table.held(FIRST)) == 500


def test_letters_of_several_beats_lanes_and_rounds_are_all_found(table):
    for number, (lane, round_) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        record = HeldRecord(f"m-{number}", "h", "came-back", failed=False)
        table.note_held(FIRST, factories.work(lane=lane, round=round_), [record])
    assert {record.message_id for record in table.held(FIRST)} == {"m-0", "m-1", "m-2", "m-3"}


def test_of_a_letter_that_was_kept_twice_the_latest_handle_is_found(table):
    for round_ in (0, 1):
        table.note_held(FIRST, factories.work(round=round_), held(1, handle=f"round{round_}"))
    assert [record.receipt_handle for record in table.held(FIRST)] == ["round1-0"]


def test_the_latest_handle_is_found_if_another_lane_kept_the_letter_before(table):
    table.note_held(FIRST, factories.work(lane=5, round=1), held(1, handle="old"))
    table.note_held(FIRST, factories.work(lane=0, round=9), held(1, handle="new"))
    assert [record.receipt_handle for record in table.held(FIRST)] == ["new-0"]


# Letters sent but perhaps not deleted


def test_letters_sent_but_perhaps_not_deleted_are_found_by_every_later_slice(table):
    table.note_undeleted(FIRST, factories.work(lane=0), ["a", "b"])
    table.note_undeleted(FIRST, factories.work(lane=1), ["c"])
    table.note_undeleted(SECOND, factories.work(), ["d"])
    assert sorted(table.undeleted(FIRST)) == ["a", "b", "c"]


def test_nothing_is_written_where_everything_was_deleted(table):
    table.note_undeleted(FIRST, factories.work(), [])
    assert table.undeleted(FIRST) == []


def test_everything_in_the_table_goes_away_by_itself(table):
    table.lock(FIRST)
    table.note_progress(FIRST, factories.work(), SliceResult(), in_hand=0)
    table.note_held(FIRST, factories.work(), held(1))
    table.note_undeleted(FIRST, factories.work(), ["a"])
    items = boto3.client("dynamodb").scan(TableName="redrive-runs")["Items"]
    assert len(items) == 4
    assert all(int(item["expiresAt"]["N"]) > factories.STARTED_AT / 1000 for item in items)


# Runs that start by themselves


def test_a_queue_that_no_run_has_ever_started_on_by_itself_has_an_empty_record(table):
    assert table.automatic(FIRST.dlq.arn) == (Record(), 0)


def test_a_record_is_read_as_it_was_written(table):
    record = Record(starts=(1.5, 2.5), in_a_row=2, not_before=99.0, last_run="auto-1", told_at=3.0)
    assert table.note_automatic(FIRST.dlq.arn, record, 0)
    assert table.automatic(FIRST.dlq.arn) == (record, 1)
    assert table.automatic(ELSEWHERE.dlq.arn) == (Record(), 0)


def test_of_two_that_write_a_record_at_the_same_time_one_is_told_to_read_it_again(table):
    assert table.note_automatic(FIRST.dlq.arn, Record(in_a_row=1), 0)
    assert not table.note_automatic(FIRST.dlq.arn, Record(in_a_row=9), 0)
    assert table.automatic(FIRST.dlq.arn) == (Record(in_a_row=1), 1)


def test_one_execution_takes_up_a_trigger_however_often_it_asks(table):
    assert [table.is_first("event", execution) for execution in ("a", "b", "a")] == [True, False, True]


def test_who_has_the_lock_of_a_queue_is_known(table):
    assert table.holder(FIRST.dlq.arn) is None
    table.lock(FIRST)
    assert table.holder(FIRST.dlq.arn) == FIRST.execution_arn
