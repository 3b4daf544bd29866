"""Slices against moto: what one does, what it leaves for the next, how it ends when something gives way."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.store_event import STORE_EVENT
from redrive.adapters import slices
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.run_table import RunTable
from redrive.adapters.slices import Slices, in_hand_limit
from redrive.adapters.sqs import sqs_client
from redrive.domain.destinations import Allowed
from redrive.domain.errors import LockLostError
from redrive.domain.lane import HeldRecord
from redrive.domain.runs import LaneWork, RunPlan, SliceResult
from tests.support import factories
from tests.support.faulty_sqs import TellingSqs
from tests.support.moto_cloud import MotoCloud, in_a_moment, moto_cloud

THREADS = 8


class Stage:
    """A dead-letter queue with its source and quarantine, the table of runs, and a run that has the lock."""

    def __init__(self, cloud: MotoCloud) -> None:
        self.cloud = cloud
        self.dlq = cloud.queue("orders-dlq")
        self.orders = cloud.queue("orders", dlq=self.dlq)
        self.quarantine = cloud.queue("quarantine")
        self.table = RunTable(cloud.run_table())

    def plan(self, **changes: Any) -> RunPlan:
        plan = factories.plan(
            **{
                "dlq": self.dlq,
                "sources": (self.orders,),
                "quarantine_url": self.quarantine.url,
                "started_at": in_a_moment(),
            }
            | changes
        )
        assert self.table.lock(plan) is None
        return plan

    def run(
        self, plan: RunPlan, work: LaneWork | None = None, *, client: Any = None, contracts: Any = None
    ) -> SliceResult:
        client = client or sqs_client(THREADS, retries=False)
        made = Slices(
            pipeline=lambda url: Pipeline(
                client, url, slices.VISIBILITY_SECONDS, THREADS, time.monotonic, Deliveries(THREADS)
            ),
            find_queue=self.cloud.queues.find,
            table=self.table,
            contracts=lambda: (contracts or {}).get,
            allowed=Allowed(),
        )
        return made.run(plan, work or factories.work(rate=5000), seconds=20, seconds_left=60)

    def left(self) -> tuple[int, int]:
        """Return the letters in the dead-letter queue, visible and invisible."""
        return self.cloud.visible(self.dlq), self.cloud.invisible(self.dlq)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with moto_cloud() as cloud:
        yield Stage(cloud)


@pytest.fixture
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "HEARTBEAT_SECONDS", 0.02)


def bodies(number: int) -> list[str]:
    return [f"body-{n}" for n in range(number)]


def test_a_slice_moves_what_is_there_and_tells_what_it_did(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    result = stage.run(stage.plan())
    assert (result.redriven, result.drained, result.stopped, result.failure) == (60, True, False, None)
    assert (stage.cloud.visible(stage.orders), stage.left()) == (60, (0, 0))
    assert result.calls["Send"] >= 6


def test_letters_that_break_their_contract_go_to_the_quarantine_with_the_reason(stage):
    attributes = {"store_id": {"DataType": "Number", "StringValue": "3"}}
    good = {"MessageBody": factories.store_event(), "MessageAttributes": attributes}
    stage.cloud.send(stage.dlq, [good, factories.store_event(), "no event", good])
    result = stage.run(stage.plan(), contracts={"orders": STORE_EVENT})
    assert (result.redriven, result.quarantined) == (2, 2)
    assert result.quarantine_reasons == {"missing-attribute": 1, "not-json": 1}
    told = [
        message["MessageAttributes"]["redrive"]["StringValue"]
        for message in stage.cloud.take_all(stage.quarantine)
    ]
    assert sorted('"reason":"missing-attribute"' in text for text in told) == [False, True]
    assert stage.left() == (0, 0)


def test_skipped_letters_are_invisible_and_their_handles_known(stage):
    plan = stage.plan(started_at=1)
    stage.cloud.send(stage.dlq, bodies(12))
    result = stage.run(plan)
    assert (result.redriven, result.skipped) == (0, {"arrived-after-start": 12})
    assert stage.left() == (0, 12)
    held = stage.table.held(plan)
    assert {record.reason for record in held} == {"arrived-after-start"}
    stage.cloud.queues.release(stage.dlq, [record.receipt_handle for record in held])
    assert stage.left() == (12, 0)


def test_a_quota_is_what_one_slice_takes_out(stage):
    stage.cloud.send(stage.dlq, bodies(30))
    assert stage.run(stage.plan(), factories.work(rate=5000, quota=13)).redriven == 13
    assert stage.left() == (17, 0)


def test_a_destination_that_is_deleted_meanwhile_ends_the_slice_and_the_rest_stays(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    sends = iter(range(1000))

    def delete_after_two_sends() -> None:
        if next(sends) == 2:
            stage.cloud.sqs.delete_queue(QueueUrl=stage.orders.url)

    client = TellingSqs(sqs_client(THREADS, retries=False), delete_after_two_sends)
    result = stage.run(stage.plan(), factories.work(rate=100), client=client)
    assert result.failure is not None
    assert result.failure.startswith(
        "orders does not take letters any more (AWS.SimpleQueueService.NonExistentQueue)"
    )
    assert 0 < result.redriven < 60
    assert stage.left() == (60 - result.redriven, 0)


def test_a_run_without_the_lock_moves_nothing(stage):
    stage.cloud.send(stage.dlq, bodies(5))
    plan = stage.plan()
    stage.table.unlock(plan)
    with pytest.raises(LockLostError):
        stage.run(plan)
    assert stage.left() == (5, 0)


@pytest.mark.usefixtures("quick_heart")
def test_an_operator_stops_a_slice_and_what_is_left_is_visible(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan = stage.plan()
    client = TellingSqs(sqs_client(THREADS, retries=False), lambda: stage.table.ask_to_stop(plan.dlq.arn))
    result = stage.run(plan, factories.work(rate=50), client=client)
    assert result.stopped
    assert 0 < result.redriven < 60
    assert stage.left() == (60 - result.redriven, 0)
    assert stage.cloud.visible(stage.orders) == result.redriven


@pytest.mark.usefixtures("quick_heart")
def test_a_slice_that_loses_its_lock_leaves_no_letter_in_both_queues(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan = stage.plan()
    sends = iter(range(1000))

    def lose_the_lock() -> None:
        if next(sends) == 1:
            stage.table.unlock(plan)

    client = TellingSqs(sqs_client(THREADS, retries=False), lose_the_lock)
    with pytest.raises(LockLostError):
        stage.run(plan, factories.work(rate=20), client=client)
    assert sum(stage.left()) + stage.cloud.visible(stage.orders) == 60 + len(stage.table.undeleted(plan))


def test_another_attempt_at_a_slice_goes_on_from_the_counts_of_the_one_that_died(stage):
    stage.cloud.send(stage.dlq, bodies(30))
    plan, work = stage.plan(), factories.work(rate=5000, quota=20)
    died = SliceResult(redriven=7, quarantined=1, calls={"Send": 2}, seconds=5)
    stage.table.note_progress(plan, work, died, in_hand=40)
    result = stage.run(plan, work)
    assert (result.redriven, result.quarantined) == (19, 1)
    assert result.duplicates_possible == 40
    assert result.seconds >= 5
    assert stage.left() == (18, 0)


def test_another_attempt_at_a_slice_keeps_the_handles_that_the_one_that_died_wrote_down(stage):
    plan, work = stage.plan(started_at=1), factories.work(rate=5000)
    first = [HeldRecord("m-1", "handle", "came-back", failed=False)]
    stage.table.note_held(plan, work, first)
    stage.cloud.send(stage.dlq, bodies(3))
    stage.run(plan, work)
    assert "m-1" in {record.message_id for record in stage.table.held(plan)}


def test_what_an_earlier_slice_sent_but_did_not_delete_is_only_deleted(stage):
    stage.cloud.send(stage.dlq, bodies(5))
    plan = stage.plan()
    sent = [message["MessageId"] for message in stage.cloud.look(stage.dlq, 5)][:2]
    stage.table.note_undeleted(plan, factories.work(lane=3), sent)
    assert stage.run(plan).redriven == 3
    assert (stage.cloud.visible(stage.orders), stage.left()) == (3, (0, 0))


def test_how_far_a_slice_is_can_be_read_before_it_sends_anything(stage):
    stage.cloud.send(stage.dlq, bodies(1))
    plan, seen = stage.plan(), []
    client = TellingSqs(
        sqs_client(THREADS, retries=False),
        lambda: seen.append(stage.table.interrupted(plan, factories.work())),
    )
    stage.run(plan, factories.work(rate=50), client=client)
    assert (seen[0].redriven, seen[0].duplicates_possible) == (0, in_hand_limit(50))


def test_letters_of_a_queue_that_the_deployment_may_not_find_stay(stage):
    told = (
        '{"run":"run-0","count":0,"id":"m","sent":1,"source":"arn:aws:sqs:eu-west-1:123456789012:far-away"}'
    )
    attributes = {"redrive": {"DataType": "String", "StringValue": told}}
    stage.cloud.send(stage.dlq, [{"MessageBody": "x", "MessageAttributes": attributes}])
    assert stage.run(stage.plan()).skipped == {"no-destination": 1}


@pytest.mark.parametrize(("rate", "letters"), [(0.1, 20), (50, 100), (100, 200), (500, 320)])
def test_a_lane_has_two_seconds_of_its_rate_in_hand_within_bounds(rate, letters):
    assert in_hand_limit(rate) == letters
