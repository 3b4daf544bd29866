"""The runs table: one run at a time per queue, and checkpoints that survive a lane's failure."""

from collections.abc import Iterator
from typing import Any

import pytest

from redrive.adapters.run_table import RunTable
from redrive.domain.automatic.limits import Record
from redrive.domain.errors import LockLostError
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories
from tests.support.moto_cloud import moto_cloud

FIRST = factories.plan()
SECOND = factories.plan(run_id="run-2", execution_arn="arn:aws:states:us-east-1:123456789012:execution:redrive:run-2")
ELSEWHERE = factories.plan(run_id="run-2", dlq=factories.queue("invoices-dlq"))


@pytest.fixture
def table() -> Iterator[RunTable]:
    with moto_cloud() as cloud:
        yield RunTable(cloud.run_table())


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


def test_a_run_knows_whose_lock_it_took_over_also_if_it_is_retried(table):
    third = factories.plan(run_id="run-3", execution_arn=FIRST.execution_arn.replace("run-1", "run-3"))
    table.lock(FIRST)
    assert table.taken_over_from(FIRST) == ()
    table.lock(SECOND, instead_of=FIRST.execution_arn)
    table.lock(third, instead_of=SECOND.execution_arn)
    assert table.lock(third) is None
    assert table.taken_over_from(third) == ("run-1", "run-2")
    table.unlock(third)
    table.lock(FIRST)
    assert table.taken_over_from(FIRST) == ()


def test_a_run_has_lost_its_lock_if_another_run_holds_it(table):
    assert not table.lost(FIRST)
    table.lock(FIRST)
    assert not table.lost(FIRST)
    table.lock(SECOND, instead_of=FIRST.execution_arn)
    assert table.lost(FIRST)


def test_a_run_that_locks_again_keeps_the_request_to_stop(table):
    table.lock(FIRST)
    table.ask_to_stop(FIRST.dlq.arn)
    table.lock(FIRST)
    assert table.wants_stop(FIRST) is True


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
    assert table.ask_to_stop(FIRST.dlq.arn) == (FIRST.run_id, FIRST.execution_arn)
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


# Progress


def progress(rounds: int = 1, plan: RunPlan = FIRST, **tally: Any) -> RunProgress:
    return RunProgress(plan=plan, sample=Sample(sampled=3), tally=Tally(rounds=rounds, **tally))


def test_how_far_a_run_is_can_be_read_by_its_id(table):
    assert table.progress("run-1") is None
    reached = progress(seconds=0.1, successor="run-1-a")
    assert table.record(reached) == reached.tally
    assert table.progress("run-1") == reached
    assert table.progress("run-2") is None


def test_a_later_round_replaces_an_earlier_one(table):
    table.record(progress(1, successor="run-1-a"))
    table.record(progress(2))
    assert table.progress("run-1") == progress(2)


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_was_recorded_first_of_a_round_stands_and_every_later_attempt_gets_it(table, rounds):
    table.record(progress(2, successor="run-1-a"))
    assert table.record(progress(rounds, successor="run-1-b")).successor == "run-1-a"
    assert table.progress("run-1") == progress(2, successor="run-1-a")


# Metrics


def test_a_steps_counts_can_be_claimed_only_once(table):
    assert [table.claim_metrics("run-1", step) for step in ("round-1", "round-1", "round-2")] == [
        True,
        False,
        True,
    ]
    assert table.claim_metrics("run-2", "round-1")


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
