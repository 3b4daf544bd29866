"""Slices with moto: what a slice moves, what it records for the next one, and how it handles failures."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from examples.store_events.contract import STORE_EVENT
from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import sqs_client
from redrive.domain.errors import LockLostError, RejectedError, SupersededError, UnavailableError
from redrive.domain.judging.judge import Judge
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.message import MAX_BATCH_ENTRIES, MAX_BYTES
from redrive.domain.messages.provenance import ATTRIBUTE, Provenance
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.results import Counts, LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.rates import MaxRate
from redrive.domain.plan.run_plan import RunPlan
from redrive.workflow import move
from redrive.workflow.move import Mover, in_hand_limit
from redrive.workflow.ports import LEASE_SECONDS, Checkpoint
from tests.support import factories
from tests.support.definitions import template
from tests.support.fakes import FakeExecutions
from tests.support.faulty_sqs import FaultySqs, ObservedSqs, TimedSqs
from tests.support.moto_cloud import MOTO_SENDER, MotoCloud, in_a_moment, moto_cloud

pytestmark = pytest.mark.usefixtures("client_of_sqs")

THREADS = 8
RUNNING = "arn:aws:states:us-east-1:123456789012:execution:redrive:other"


class Stage:
    """A dead-letter queue with its source queue, a quarantine, and the runs table."""

    def __init__(self, cloud: MotoCloud) -> None:
        self.cloud = cloud
        self.dlq = cloud.queue("orders-dlq")
        self.orders = cloud.queue("orders", dlq=self.dlq)
        self.quarantine = cloud.queue("quarantine")
        name = cloud.run_table()
        self.table, self.checkpoints, self.facts = RunTable(name), Checkpoints(name), MessageFacts(name)
        self.shares = RateShares(name, FakeExecutions({RUNNING, factories.plan().execution_arn}))
        self.pauses: list[float] = []
        self.errors: list[tuple[str, str]] = []

    def plan(self, **changes: Any) -> RunPlan:
        plan = factories.plan(
            **{
                "dlq": self.dlq,
                "sources": (self.orders,),
                "quarantine": self.quarantine,
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
        mover = Mover(
            lane_runner=lambda memory, log_error: Pipeline(
                client,
                plan.dlq.url,
                move.VISIBILITY_SECONDS,
                THREADS,
                time.monotonic,
                Deliveries(THREADS),
                memory,
                log_error,
            ),
            queues=lambda: self.cloud.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            shares=self.shares,
            facts=self.facts,
            contracts=lambda: (contracts or {}).get,
            error_log=lambda: lambda message_id, error: self.errors.append((message_id, error)),
            delivery_policy=DeliveryPolicy(),
            confirms=lambda _run_id: factories.confirmed,
            movers=frozenset({MOTO_SENDER}),
            time=time.time,
            pause=self.pauses.append,
        )
        return mover.move(plan, work or factories.work(rate=5000), seconds=20, seconds_left=60)

    def remaining(self) -> tuple[int, int]:
        """Return the numbers of visible and invisible messages in the dead-letter queue."""
        return self.cloud.visible(self.dlq), self.cloud.invisible(self.dlq)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with moto_cloud() as cloud:
        yield Stage(cloud)


@pytest.fixture
def frequent_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move, "HEARTBEAT_SECONDS", 0.02)


def bodies(number: int) -> list[str]:
    return [f"body-{n}" for n in range(number)]


def test_a_slice_moves_all_messages_and_returns_its_counts(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    result = stage.run(stage.plan())
    assert (result.counts.redriven, result.drained, result.stopped, result.failure) == (60, True, False, None)
    assert (stage.cloud.visible(stage.orders), stage.remaining()) == (60, (0, 0))
    assert result.calls["Send"] >= 6


def test_a_lane_has_its_place_in_the_rhythm_that_the_time_of_day_gives(stage, monkeypatch):
    made: list[dict[str, Any]] = []
    limiter = move.RateLimiter
    monkeypatch.setattr(move, "RateLimiter", lambda rate, **keys: made.append(keys) or limiter(rate, **keys))
    stage.run(stage.plan(), factories.work(rate=500, lane=1, lanes=4))
    [keys] = made
    assert (keys["lane"], keys["lanes"]) == (1, 4)
    assert keys["epoch"] + time.monotonic() == pytest.approx(time.time(), abs=1)


def test_messages_that_break_their_contract_are_quarantined_with_the_reason(stage):
    attributes = {"store_id": {"DataType": "Number", "StringValue": "3"}}
    good = {"MessageBody": factories.store_event(), "MessageAttributes": attributes}
    stage.cloud.send(stage.dlq, [good, factories.store_event(), "not JSON", good])
    result = stage.run(stage.plan(), contracts={"orders": STORE_EVENT})
    assert (result.counts.redriven, result.counts.quarantined) == (2, 2)
    assert result.quarantine_reasons == {"missing-attribute": 1, "not-json": 1}
    notes = [
        message["MessageAttributes"]["redrive"]["StringValue"] for message in stage.cloud.take_all(stage.quarantine)
    ]
    assert sorted('"reason":"missing-attribute"' in note for note in notes) == [False, True]
    assert stage.remaining() == (0, 0)


def test_skipped_messages_stay_invisible_and_their_handles_are_recorded(stage):
    plan = stage.plan(started_at=1)
    stage.cloud.send(stage.dlq, bodies(12))
    result = stage.run(plan)
    assert (result.counts.redriven, result.skip_reasons) == (0, {"arrived-after-start": 12})
    assert stage.remaining() == (0, 12)
    held = stage.checkpoints.held(plan.run_id)
    assert {record.reason for record in held} == {"arrived-after-start"}
    stage.cloud.queues.release(stage.dlq, [record.receipt_handle for record in held])
    assert stage.remaining() == (12, 0)


def test_a_slice_moves_no_more_messages_than_its_quota(stage):
    stage.cloud.send(stage.dlq, bodies(30))
    assert stage.run(stage.plan(), factories.work(rate=5000, quota=13)).counts.redriven == 13
    assert stage.remaining() == (17, 0)


def test_deleting_the_destination_ends_the_slice_and_the_rest_stays(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    sends = iter(range(1000))

    def delete_after_two_sends() -> None:
        if next(sends) == 2:
            stage.cloud.sqs.delete_queue(QueueUrl=stage.orders.url)

    client = ObservedSqs(sqs_client(THREADS, retries=False), delete_after_two_sends)
    # Slow enough that the first send has ended before the third begins, on a busy machine too.
    result = stage.run(stage.plan(), factories.work(rate=10), client=client)
    assert result.failure is not None
    assert result.failure.startswith("orders doesn't accept messages anymore (AWS.SimpleQueueService.NonExistentQueue)")
    assert 0 < result.counts.redriven < 60
    assert stage.remaining() == (60 - result.counts.redriven, 0)


def test_a_destination_whose_key_can_t_be_used_ends_the_slice_and_nothing_is_lost_or_quarantined(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    denied = "KMS.AccessDeniedException"
    client = FaultySqs(
        sqs_client(THREADS, retries=False), "send_message_batch", range(1, 10), denied, sender_fault=True
    )
    result = stage.run(stage.plan(), factories.work(rate=10), client=client)
    assert result.failure is not None
    assert result.failure.startswith(f"orders doesn't accept messages anymore ({denied})")
    assert (result.counts.failed, result.counts.quarantined, result.counts.skipped) == (0, 0, 0)
    assert 0 < result.counts.redriven < 60
    assert stage.remaining() == (60 - result.counts.redriven, 0)


def test_a_contract_that_cannot_be_read_now_ends_the_attempt_and_the_next_one_moves_the_rest_once(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan = stage.plan()
    judged = iter(range(1000))
    ask = Judge.judge

    def judge(self: Judge, message: Any) -> Any:
        if next(judged) == 25:
            raise UnavailableError("The contract of orders can't be read now.")
        return ask(self, message)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Judge, "judge", judge)
        with pytest.raises(UnavailableError):
            stage.run(plan)
    visible, invisible = stage.remaining()
    assert (stage.cloud.visible(stage.orders) + visible, invisible) == (60, 0)
    result = stage.run(plan)
    assert (result.counts.redriven, result.duplicates_possible, result.unaccounted) == (60, 0, 0)
    assert (stage.cloud.visible(stage.orders), stage.remaining()) == (60, (0, 0))
    assert stage.pauses == [LEASE_SECONDS]


def test_a_run_without_the_lock_moves_nothing(stage):
    stage.cloud.send(stage.dlq, bodies(5))
    plan = stage.plan()
    stage.table.unlock(plan)
    with pytest.raises(LockLostError):
        stage.run(plan)
    assert stage.remaining() == (5, 0)


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_stopped_slice_leaves_the_remaining_messages_visible(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan = stage.plan()
    client = ObservedSqs(sqs_client(THREADS, retries=False), lambda: stage.table.ask_to_stop(plan.dlq.arn))
    result = stage.run(plan, factories.work(rate=50), client=client)
    assert result.stopped
    assert 0 < result.counts.redriven < 60
    assert stage.remaining() == (60 - result.counts.redriven, 0)
    assert stage.cloud.visible(stage.orders) == result.counts.redriven


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_slice_that_loses_its_lock_leaves_no_unrecorded_duplicates(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan = stage.plan()
    sends = iter(range(1000))

    def lose_the_lock() -> None:
        if next(sends) == 1:
            stage.table.unlock(plan)

    client = ObservedSqs(sqs_client(THREADS, retries=False), lose_the_lock)
    with pytest.raises(LockLostError):
        stage.run(plan, factories.work(rate=20), client=client)
    assert sum(stage.remaining()) + stage.cloud.visible(stage.orders) == 60 + len(stage.checkpoints.undeleted(plan))


def interrupted(stage: Stage, plan: RunPlan, work: LaneWork, result: SliceResult, **reached: Any) -> None:
    """Write the checkpoint of an attempt that was killed afterwards."""
    stage.checkpoints.take(plan, work, "killed")
    values = {"in_hand": 0, "granted": result.counts.moved, "finished": False} | reached
    stage.checkpoints.checkpoint(plan, work, "killed", Checkpoint(result, **values))


def test_a_retried_slice_continues_from_the_checkpoint_after_the_lease_of_the_one_before(stage):
    stage.cloud.send(stage.dlq, bodies(30))
    plan, work = stage.plan(), factories.work(rate=5000, quota=20)
    before = SliceResult(counts=Counts(redriven=7, quarantined=1), calls={"Send": 2}, seconds=5)
    interrupted(stage, plan, work, before, in_hand=40)
    result = stage.run(plan, work)
    assert (result.counts.redriven, result.counts.quarantined) == (19, 1)
    assert result.duplicates_possible == 40
    assert result.seconds >= 5
    assert stage.remaining() == (18, 0)
    assert stage.pauses == [LEASE_SECONDS]


def test_what_a_killed_slice_was_granted_counts_as_moved(stage):
    stage.cloud.send(stage.dlq, bodies(30))
    plan, work = stage.plan(), factories.work(rate=5000, quota=20)
    interrupted(stage, plan, work, SliceResult(counts=Counts(redriven=7)), granted=12)
    result = stage.run(plan, work)
    assert (result.counts.redriven, result.unaccounted) == (7 + 8, 5)
    assert stage.remaining() == (22, 0)


def test_a_slice_that_had_finished_is_not_repeated(stage):
    stage.cloud.send(stage.dlq, bodies(10))
    plan, work = stage.plan(), factories.work(rate=5000)
    first = stage.run(plan, work)
    stage.cloud.send(stage.dlq, bodies(5))
    assert stage.run(plan, work) == first
    assert (stage.remaining(), stage.pauses) == ((5, 0), [])


@pytest.mark.usefixtures("frequent_heartbeats")
def test_an_attempt_whose_place_is_taken_stops_and_releases_its_messages(stage):
    stage.cloud.send(stage.dlq, bodies(60))
    plan, work = stage.plan(), factories.work(rate=20)
    sends = iter(range(1000))

    def take_over() -> None:
        if next(sends) == 1:
            stage.checkpoints.take(plan, work, "another")

    client = ObservedSqs(sqs_client(THREADS, retries=False), take_over)
    with pytest.raises(SupersededError, match="another attempt or the clean-up has taken its place"):
        stage.run(plan, work, client=client)
    arrived = stage.cloud.visible(stage.orders)
    assert 0 < arrived < 20
    assert stage.remaining() == (60 - arrived, 0)


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_quota_is_granted_in_parts_and_kept(stage):
    stage.cloud.send(stage.dlq, bodies(120))
    assert stage.run(stage.plan(), factories.work(rate=30, quota=70)).counts.redriven == 70
    assert stage.remaining() == (50, 0)


def test_a_lane_with_a_high_rate_is_granted_a_second_s_work_of_few_messages(stage, monkeypatch):
    granted, checkpoint = [], stage.checkpoints.checkpoint

    def watch(plan, work, attempt, reached):
        granted.append(reached.granted)
        checkpoint(plan, work, attempt, reached)

    monkeypatch.setattr(stage.checkpoints, "checkpoint", watch)
    stage.cloud.send(stage.dlq, bodies(3))
    stage.run(stage.plan(), factories.work(rate=10_000))
    # What a lane has in hand, and a thousand more. A run whose lane dies counts them all as moved.
    assert max(granted) <= 320 + 1_000


def test_messages_that_another_run_sent_and_did_not_delete_are_only_deleted(stage):
    stage.cloud.send(stage.dlq, bodies(5))
    sent = [message["MessageId"] for message in stage.cloud.peek(stage.dlq, 5)][:2]
    stage.checkpoints.record_sent(stage.plan(run_id="run-0"), factories.work(), sent)
    stage.table.unlock(stage.plan(run_id="run-0"))
    plan = stage.plan()
    assert stage.run(plan).counts.redriven == 3
    assert (stage.cloud.visible(stage.orders), stage.remaining()) == (3, (0, 0))
    assert stage.checkpoints.undeleted(plan) == []


def test_a_retried_slice_keeps_the_handles_that_were_recorded_before(stage):
    plan, work = stage.plan(started_at=1), factories.work(rate=5000)
    record = HeldRecord("m-1", "handle", "came-back", failed=False)
    stage.checkpoints.record_held(plan, work, [record])
    stage.cloud.send(stage.dlq, bodies(3))
    stage.run(plan, work)
    assert "m-1" in {record.message_id for record in stage.checkpoints.held(plan.run_id)}


def test_messages_that_an_earlier_slice_sent_are_only_deleted(stage):
    stage.cloud.send(stage.dlq, bodies(5))
    plan = stage.plan()
    sent = [message["MessageId"] for message in stage.cloud.peek(stage.dlq, 5)][:2]
    stage.checkpoints.record_sent(plan, factories.work(lane=3), sent)
    assert stage.run(plan).counts.redriven == 3
    assert (stage.cloud.visible(stage.orders), stage.remaining()) == (3, (0, 0))


def test_a_slice_writes_a_checkpoint_before_it_sends_anything(stage):
    stage.cloud.send(stage.dlq, bodies(1))
    plan, checkpoints = stage.plan(), []
    client = ObservedSqs(
        sqs_client(THREADS, retries=False),
        lambda: checkpoints.extend(stage.checkpoints.unfinished(plan, 0)),
    )
    stage.run(plan, factories.work(rate=50), client=client)
    assert (checkpoints[0].counts.redriven, checkpoints[0].duplicates_possible) == (0, in_hand_limit(50))


def test_messages_whose_origin_is_inaccessible_stay_in_the_queue(stage):
    provenance = '{"run":"run-0","count":0,"id":"m","sent":1,"source":"arn:aws:sqs:eu-west-1:123456789012:elsewhere"}'
    attributes = {"redrive": {"DataType": "String", "StringValue": provenance}}
    stage.cloud.send(stage.quarantine, [{"MessageBody": "x", "MessageAttributes": attributes}])
    assert stage.run(stage.plan(dlq=stage.quarantine)).skip_reasons == {"no-destination": 1}


def test_a_group_that_waits_in_the_quarantine_waits_in_the_next_slice_too(stage):
    fifo = stage.cloud.queue("orders.fifo")
    provenance = {"run": "run-0", "count": 0, "id": "m", "sent": 1, "source": fifo.arn}

    def send(kind: str, group: str) -> None:
        attributes = {"redrive": factories.string(json.dumps(provenance)), "kind": factories.string(kind)}
        message = {"MessageBody": kind, "MessageAttributes": attributes, "MessageGroupId": group}
        stage.cloud.send(stage.quarantine, [message])

    select = {"attributes": {"kind": "good"}}
    plan = stage.plan(dlq=stage.quarantine, started_at=in_a_moment() + 60_000, select=select)
    send("bad", "g-1")
    assert stage.run(plan).skip_reasons == {"not-selected": 1}
    send("good", "g-1")
    send("good", "g-2")
    result = stage.run(plan, factories.work(round=1, rate=5000))
    assert (result.counts.redriven, result.skip_reasons) == (1, {"group-waits": 1})
    assert [message["Attributes"]["MessageGroupId"] for message in stage.cloud.take_all(fifo)] == ["g-2"]


def test_a_run_that_cannot_record_what_a_message_does_not_carry_ends_and_says_so(stage, monkeypatch):
    def refuse(_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchWriteItem")

    monkeypatch.setattr(stage.facts, "record", refuse)
    full = {f"a{number}": factories.string("x") for number in range(10)}
    stage.cloud.send(stage.dlq, [{"MessageBody": str(n), "MessageAttributes": full} for n in range(60)])
    result = stage.run(stage.plan(), factories.work(rate=10))
    assert (result.failure or "").startswith("The runs table can't be written (AccessDeniedException)")
    # What was sent is deleted all the same, and the rest stays.
    assert 0 < result.counts.redriven < 60
    assert stage.remaining() == (60 - result.counts.redriven, 0)


@pytest.mark.parametrize(("rate", "messages"), [(0.1, 20), (50, 100), (100, 200), (500, 320)])
def test_a_lane_has_two_seconds_worth_of_messages_in_hand_within_bounds(rate, messages):
    assert in_hand_limit(rate) == messages


def test_the_messages_in_hand_fit_in_the_smallest_memory_of_a_deployment_and_keep_requests_busy():
    smallest_memory = template()["Parameters"]["MoveMemory"]["MinValue"] * 1024 * 1024
    assert 4 * MAX_BATCH_ENTRIES * MAX_BYTES <= move.IN_HAND_BYTES <= smallest_memory / 5


# Max rates of queues that the plan doesn't know


class Elsewhere:
    """A queue without a dead-letter queue: earlier runs sent messages to it, and it declares a max rate."""

    def __init__(self, stage: Stage, value: str | None = "20") -> None:
        self.stage = stage
        self.queue = stage.cloud.queue("elsewhere")
        if value is not None:
            stage.cloud.sqs.tag_queue(QueueUrl=self.queue.url, Tags={"redrive:max-rate": value})

    def send(self, number: int) -> None:
        note = Provenance("run-0", 1, "m", 1, self.queue.arn).to_json()
        attributes = {ATTRIBUTE: factories.string(note)}
        entries = [{"MessageBody": str(n), "MessageAttributes": attributes} for n in range(number)]
        self.stage.cloud.send(self.stage.dlq, entries)


def test_a_queue_first_met_in_mid_run_keeps_its_max_rate_and_the_slice_reports_it(stage):
    elsewhere = Elsewhere(stage, "20")
    elsewhere.send(30)
    stage.cloud.send(stage.dlq, bodies(30))
    times: dict[str, list[float]] = {}
    client = TimedSqs(sqs_client(THREADS, retries=False), times)
    result = stage.run(stage.plan(rate=5000), client=client)
    assert (result.counts.redriven, result.max_rate) == (60, 20)
    # Thirty messages in batches of four take at least six intervals of a fifth of a second.
    assert times[elsewhere.queue.url][-1] - times[elsewhere.queue.url][0] > 1.1
    assert times[stage.orders.url][-1] < times[elsewhere.queue.url][-1]


def test_all_slices_of_a_run_reserve_one_share_of_a_queue_and_the_clean_up_releases_it(stage):
    elsewhere = Elsewhere(stage, "1000")
    elsewhere.send(4)
    plan = stage.plan(rate=400)
    for lane in range(2):
        assert stage.run(plan, factories.work(lane=lane, rate=200, quota=2)).counts.redriven == 2
    with pytest.raises(RejectedError, match=rf"{plan.execution_arn} \(400\)"):
        stage.shares.reserve("run-2", RUNNING, elsewhere.queue, 1000, 400)
    stage.shares.release(plan.run_id)
    assert stage.shares.reserve("run-2", RUNNING, elsewhere.queue, 1000, 1000).share == 1000


def test_messages_for_a_queue_whose_max_rate_other_runs_have_stay(stage):
    elsewhere = Elsewhere(stage, "20")
    stage.shares.reserve("run-2", RUNNING, elsewhere.queue, 20, 20)
    elsewhere.send(3)
    stage.cloud.send(stage.dlq, bodies(3))
    result = stage.run(stage.plan())
    assert (result.counts.redriven, result.skip_reasons, result.max_rate) == (3, {"rate-unavailable": 3}, 20)
    assert [f"{elsewhere.queue.name} accepts 20 messages per second" in text for text in result.explanations] == [True]
    assert stage.remaining() == (0, 3)


def test_the_share_of_a_run_that_has_ended_is_taken_over_in_mid_run(stage):
    elsewhere = Elsewhere(stage, "20")
    stage.shares.reserve("run-2", "arn:dead", elsewhere.queue, 20, 20)
    elsewhere.send(3)
    assert stage.run(stage.plan()).counts.redriven == 3


def test_messages_for_a_queue_with_an_invalid_max_rate_stay(stage):
    elsewhere = Elsewhere(stage, "slow")
    elsewhere.send(2)
    result = stage.run(stage.plan())
    assert result.skip_reasons == {"max-rate-invalid": 2}
    assert [text.startswith(f"{elsewhere.queue.name}: the tag ") for text in result.explanations] == [True]


def test_a_run_that_gets_a_part_of_a_max_rate_in_mid_run_says_so(stage):
    elsewhere = Elsewhere(stage, "20")
    stage.shares.reserve("run-2", RUNNING, elsewhere.queue, 12, 20)
    elsewhere.send(2)
    result = stage.run(stage.plan(rate=50))
    assert result.counts.redriven == 2
    assert [text.endswith("so this run kept to 8.") for text in result.explanations] == [True]


def test_messages_for_a_queue_whose_tags_cannot_be_read_stay(stage, monkeypatch):
    def refuse(queue: QueueRef) -> dict[str, str]:
        raise RejectedError(f"The tags of {queue.name} can't be read.")

    Elsewhere(stage, None).send(2)
    monkeypatch.setattr(stage.cloud.queues, "tags", refuse)
    assert stage.run(stage.plan()).skip_reasons == {"rate-unavailable": 2}


def test_a_queue_without_the_tag_has_no_max_rate(stage):
    Elsewhere(stage, None).send(2)
    result = stage.run(stage.plan())
    assert (result.counts.redriven, result.max_rate) == (2, None)


def test_the_lanes_of_a_run_keep_its_share_of_a_known_queue(stage):
    stage.cloud.send(stage.dlq, bodies(15))
    times: dict[str, list[float]] = {}
    client = TimedSqs(sqs_client(THREADS, retries=False), times)
    plan = stage.plan(rate=1000, max_rates=(MaxRate(queue=stage.orders, max_rate=10, share=10),))
    # One of two lanes: it has every other turn, so it sends five a second.
    assert stage.run(plan, factories.work(rate=500), client=client).counts.redriven == 15
    sends = times[stage.orders.url]
    assert sends[-1] - sends[0] > 2.2
